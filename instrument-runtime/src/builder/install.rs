//! From settings to one installation, or to the reason why not.

use std::sync::{Arc, Mutex, PoisonError};

use crate::builder::Builder;
use crate::builder::check::Checked;
use crate::call::{clock, site};
use crate::diagnostics;
use crate::discovery::departure;
use crate::error::InitError;
use crate::exporter::Exporter;
use crate::exporter::listener::Listener;
use crate::page::Page;
use crate::push;
use crate::recorder::{Recorder, direct};
use crate::settings;

impl Builder {
    /// Binds the listener, starts the exporter's thread and sets the recorder. Either
    /// all of it is done, or nothing.
    ///
    /// # Errors
    ///
    /// See [`InitError`].
    pub fn install(self) -> Result<Exporter, InitError> {
        static INSTALLING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        if settings::installed().is_some() {
            return Err(InitError::AlreadyInstalled);
        }

        // Every step but the last one can be undone, and dropping its result undoes it.
        // The recorder comes last, because a process cannot get rid of its recorder.
        // The port is bound before the target is published, because the target names
        // the port. The thread starts before the recorder is set, because starting it
        // can fail.

        // 1. Check: nothing has happened yet if a setting is refused.
        let Checked {
            app_name,
            settings,
            target,
            allow,
            discovery,
            last_scrape,
            push,
            diagnostics,
        } = self.check()?;

        // 2. Bind.
        let listener = Listener::bind(target)?;

        // 3. Publish the target. Dropping `presence` removes its file.
        let presence = discovery.publish(&app_name, listener.local_addr())?;

        // 4. Start the exporter's thread.
        let recorder = Recorder::new(Arc::clone(&settings));
        let page = Page::of(&recorder);
        #[cfg(feature = "process")]
        let page = page.with_process();
        let (begin, installed) = push::channel();
        let exporter = Exporter::start(listener, allow, page, installed)?;

        // 5. Take effect: set the recorder, and what needs it.
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
        crate::page::in_app::set(exporter.page());
        site::show_zeros();
        clock::calibrate();
        Ok(exporter)
    }
}
