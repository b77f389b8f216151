//! [`Builder::install`]: installs the recorder and starts the exporter.

use std::sync::{Arc, Mutex, PoisonError};

use crate::builder::Builder;
use crate::builder::check::Checked;
use crate::call::{clock, site};
use crate::diagnostics;
use crate::discovery::departure;
use crate::error::InitError;
use crate::exporter::Exporter;
use crate::exporter::listener::Listener;
use crate::exporter::respond::Routes;
use crate::live_view::{Facts, LiveView, METRICS};
use crate::page::Page;
use crate::push;
use crate::recorder::{Recorder, direct};
use crate::settings;

impl Builder {
    /// Installs the global metrics recorder and starts the exporter.
    ///
    /// Validates the settings, binds the listener, writes the target file (if
    /// [`file_sd`](#method.file_sd) is set), starts the exporter's thread and sets the
    /// recorder. If a step fails, the previous steps are undone.
    ///
    /// The exporter serves the page on a thread of its own. It needs no async runtime, and
    /// responds even while the application's runtime is busy. Dropping the returned
    /// [`Exporter`] does not stop the exporter.
    ///
    /// This method may block: it resolves the host name in `OTEL_EXPORTER_PROMETHEUS_HOST`,
    /// and accesses the file system for `listen_unix` and `file_sd`.
    ///
    /// # Errors
    ///
    /// Returns an [`InitError`] that names the setting at fault. Nothing is left
    /// half-installed, and a corrected `install` in the same process succeeds.
    ///
    /// A second `install` fails with [`InitError::AlreadyInstalled`], also after
    /// [`Exporter::shutdown`], and leaves the first installation as it is.
    pub fn install(self) -> Result<Exporter, InitError> {
        static INSTALLING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        if settings::installed().is_some() {
            return Err(InitError::AlreadyInstalled);
        }

        // If a step fails, dropping `listener` and `presence` undoes steps 2 and 3, and
        // `abort` undoes step 4. A process cannot remove its global recorder, so the
        // recorder is set last. The port is bound before the target file is written,
        // because the file contains the port. The thread starts before the recorder is
        // set, because starting a thread can fail.

        // 1. Check the settings, before any step with side effects.
        let Checked {
            app_name,
            settings,
            target,
            allow,
            live_view,
            discovery,
            last_scrape,
            push,
            diagnostics,
        } = self.check()?;

        // 2. Bind the listener.
        let listener = Listener::bind(target)?;

        // 3. Check the advertised address and write the target file. Dropping `presence`
        // removes the file.
        let presence = discovery.publish(&app_name, listener.local_addr())?;

        // 4. Start the exporter's thread.
        let recorder = Recorder::new(Arc::clone(&settings));
        let page = Page::of(&recorder);
        #[cfg(any(feature = "process", feature = "tokio"))]
        let page = page.with_collectors();
        let (begin, installed) = push::channel();
        let facts = Facts::new(&page, &settings);
        let view = live_view.then(|| LiveView::new(facts.clone(), METRICS.into()));
        let exporter = Exporter::start(listener, Routes { allow, view }, page, installed)?;

        // 5. Set the global recorder, then start everything that needs it.
        let families = recorder.families();
        settings::take_effect(settings, move || {
            metrics::set_global_recorder(recorder)?;
            direct::set_installed(families);
            begin.begin(push);
            Ok(())
        })
        .map_err(|_refused: metrics::SetRecorderError<Recorder>| {
            exporter.abort();
            InitError::AlreadyInstalled
        })?;
        if !diagnostics {
            diagnostics::silence();
        }
        departure::prepare(presence, last_scrape);
        #[cfg(any(feature = "axum", feature = "actix-web"))]
        {
            crate::page::in_app::set(exporter.page());
            crate::live_view::in_app::set(facts);
        }
        #[cfg(feature = "tokio")]
        crate::tokio::watch_current();
        site::show_zeros();
        clock::calibrate();
        Ok(exporter)
    }
}
