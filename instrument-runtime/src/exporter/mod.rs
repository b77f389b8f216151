//! The page's server, on a thread of its own: it answers however busy the
//! application's own runtime is.

pub(crate) mod allow_list;
mod connections;
pub(crate) mod joined_renders;
pub(crate) mod listener;
mod respond;
mod server;
#[cfg(unix)]
mod socket_file;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};

use tokio::sync::watch;

use crate::discovery::departure;
use crate::error::InitError;
#[cfg(feature = "push")]
use crate::error::PushError;
use crate::exporter::allow_list::AllowList;
use crate::exporter::listener::{AsyncListener, Listener, Sockets};
#[cfg(feature = "push")]
use crate::page::pushes;
use crate::page::{Page, panics};
use crate::push;

/// An installation: where its page is, what it shows, and its end.
///
/// Dropping it stops nothing; clones are the same exporter.
///
/// # The endpoint
///
/// | request | answer |
/// |---|---|
/// | `GET /metrics` | 200 and the page, compressed if the request accepts gzip; 500 if a panic kept the page from being made; 503 once the exporter stops |
/// | `GET /health` | 200, or 503 if the last page could not be made |
/// | `HEAD` of either | the same without a body |
/// | another method | 405 with `Allow: GET, HEAD` |
/// | another path | 404 |
/// | anything, from an address that [`allow`](crate::Builder::allow) does not list | 403 |
///
/// A panic costs one page. The exporter goes on, and
/// `instrument_render_panics_total` on the next page counts the pages that were
/// lost. With `panic = "abort"` a panic ends the process, as everywhere.
///
/// # After a fork
///
/// Call [`init`](crate::init) after the process has forked, if it forks at all: a
/// child has a copy of the listening socket and no thread that answers on it, and
/// keeps the port taken for as long as it lives. [`shutdown`](Self::shutdown) in
/// the child gives up the child's copy and returns at once; the parent serves on.
/// A program that the process runs (`fork` and `exec`, as
/// [`std::process::Command`] does) has no copy.
///
/// ```no_run
/// # async fn serve() {}
/// # async fn run() -> Result<(), instrument_runtime::InitError> {
/// let exporter = instrument_runtime::init("webapp_1")?;
/// serve().await;
/// exporter.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Exporter {
    page: Page,
    local_addr: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    /// Closed when the thread has nothing bound any more.
    running: watch::Receiver<()>,
    #[cfg(unix)]
    sockets: Sockets,
    /// The id of the process that has the thread.
    process: u32,
}

// Stated here because tokio's channels are unwind-safe only without tokio's feature
// `parking_lot`, which another crate may turn on. A panic cannot leave a channel half
// changed: it holds a flag or nothing.
impl UnwindSafe for Exporter {}
impl RefUnwindSafe for Exporter {}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

impl Exporter {
    /// Starts the thread; it serves by the time this returns.
    pub(crate) fn start(
        listener: Listener,
        allow: AllowList,
        page: Page,
        installed: push::Installed,
    ) -> Result<Self, InitError> {
        let (stop, stopped) = watch::channel(false);
        let (ended, running) = watch::channel(());
        let (ready, is_ready) = mpsc::sync_channel(1);
        let local_addr = listener.local_addr();
        let sockets = Sockets::new(listener);
        let exporter = Self {
            page: page.clone(),
            local_addr,
            stop,
            running,
            #[cfg(unix)]
            sockets: sockets.clone(),
            process: std::process::id(),
        };
        thread::Builder::new()
            .name("instrument-exporter".to_owned())
            .spawn(move || {
                let _ended = ended;
                serve(sockets, allow, page, stopped, &ready, installed);
            })
            .and_then(|_thread| is_ready.recv().map_err(io::Error::other)?)
            .map_err(|error| InitError::Thread { error })?;
        Ok(exporter)
    }

    /// Where the page is served, with the port that was taken for port 0.
    /// `None` on a Unix socket and without a listener.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// The page, in Prometheus's text format 0.0.4: these metrics and whatever
    /// else the application recorded through the `metrics` facade. What the
    /// exporter tells of its own scrapes is on the page that it serves only.
    #[must_use]
    pub fn render(&self) -> String {
        panics::counted(|| self.page.render())
    }

    #[cfg(any(feature = "axum", feature = "actix-web"))]
    pub(crate) fn page(&self) -> Page {
        self.page.clone()
    }

    /// Takes no more connections, answers the scrapes under way (for 5 seconds
    /// at most) and stops; then the port is free.
    ///
    /// Before that, an instance of a fleet waits for its
    /// [`wait_for_last_scrape`](crate::Builder::wait_for_last_scrape) and takes away the target that
    /// [`file_sd`](crate::Builder#method.file_sd) wrote.
    /// With the feature `push`, what was counted by now is pushed once more, in 5
    /// seconds at most, and as many for a push that is under way.
    ///
    /// Calls are counted as before, and [`render`](Self::render) shows them.
    /// Works in any async runtime; a second call waits for the first. In a forked
    /// child it returns at once, see [After a fork](Self#after-a-fork).
    pub async fn shutdown(&self) {
        if std::process::id() != self.process {
            self.leave_to_parent();
            return;
        }
        self.stop.send_replace(true);
        let mut running = self.running.clone();
        // Nothing is ever sent: the channel closes when the thread ends.
        while running.changed().await.is_ok() {}
    }

    /// [`shutdown`](Self::shutdown) for a `main` that is not async: waits on this
    /// thread, which should be none of an async runtime's.
    ///
    /// ```no_run
    /// fn main() -> Result<(), instrument_runtime::InitError> {
    ///     let exporter = instrument_runtime::init("report")?;
    ///     // … the work
    ///     exporter.blocking_shutdown();
    ///     Ok(())
    /// }
    /// ```
    pub fn blocking_shutdown(&self) {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }

        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut shutdown = pin!(self.shutdown());
        while shutdown.as_mut().poll(&mut context).is_pending() {
            thread::park();
        }
    }

    /// Returns why the last push did not arrive. `None` if it arrived, and before the
    /// first push.
    ///
    /// See [`Builder::push`](crate::Builder::push).
    #[cfg(feature = "push")]
    #[must_use]
    pub fn last_push_error(&self) -> Option<PushError> {
        pushes::last_error()
    }

    /// In a forked child, which has copies of the parent's descriptors and none of
    /// its threads.
    fn leave_to_parent(&self) {
        #[cfg(unix)]
        self.sockets.close_in_child();
        departure::leave_to_parent();
    }

    /// Undoes a start; only for one that nobody has seen yet.
    pub(crate) fn abort(&self) {
        self.stop.send_replace(true);
        while self.running.has_changed().is_ok() {
            thread::yield_now();
        }
    }
}

/// The thread's whole life.
fn serve(
    sockets: Sockets,
    allow: AllowList,
    page: Page,
    stop: watch::Receiver<bool>,
    ready: &mpsc::SyncSender<io::Result<()>>,
    installed: push::Installed,
) {
    let started = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| {
            let listener = {
                let _inside = runtime.enter();
                AsyncListener::new(sockets)?
            };
            Ok((runtime, listener))
        });
    // Whoever started the thread waits for this.
    match started {
        Ok((runtime, listener)) => {
            let _ = ready.send(Ok(()));
            let (left, stop_server) = watch::channel(false);
            let pushing = runtime.spawn(push::run(installed, page.clone(), stop.clone()));
            runtime.spawn(departure::take_leave(stop, left));
            runtime.block_on(server::run(listener, allow, page, stop_server));
            // It does not panic; if it did, nothing would be left to push.
            let _ = runtime.block_on(pushing);
            // A look-up of the gateway's name may still hang.
            runtime.shutdown_background();
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}
