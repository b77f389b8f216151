//! The HTTP server of the page, on its own thread, so that a busy application runtime
//! does not delay scrapes.
//!
//! - `mod`: [`Exporter`], the public handle, and the start and end of the thread.
//! - [`listener`]: the listening socket and the accepted streams.
//! - `socket_file`: the file of a Unix socket, and how a stale one is replaced.
//! - `server`: the accept loop, the timeouts and the shutdown.
//! - `connections`: limits on open connections and on the pages being sent.
//! - [`allow_list`]: which client addresses may use the endpoint.
//! - `respond`: the response to each request.
//! - [`joined_renders`]: one render of the page for all scrapers that wait for the same text.
//!
//! What may block:
//!
//! - Binding a Unix socket and removing its file each wait up to one second for a lock on
//!   the folder.
//! - `Exporter::start` waits until the exporter's thread accepts connections.
//! - `Exporter::abort` waits until the exporter's thread has ended.
//! - [`Exporter::blocking_shutdown`] blocks the calling thread.
//! - [`Exporter::render`] renders on the calling thread. Renders for scrapes and pushes
//!   block the exporter's thread.

pub(crate) mod allow_list;
mod connections;
pub(crate) mod joined_renders;
pub(crate) mod listener;
pub(crate) mod respond;
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
use crate::exporter::listener::{AsyncListener, Listener, Sockets};
use crate::exporter::respond::Routes;
#[cfg(feature = "push")]
use crate::page::pushes;
use crate::page::{Page, panics};
use crate::push;

/// A handle to the installed exporter: its address, its page, and its shutdown.
///
/// Dropping the handle does not stop the exporter. Clones refer to the same exporter.
///
/// # The endpoint
///
/// | request | answer |
/// |---|---|
/// | `GET /metrics` | 200 and the page, in the format that `Accept` prefers (OpenMetrics 1.0.0 or 0.0.1, or Prometheus's text format 1.0.0 or 0.0.4; by default text 0.0.4), compressed if the request accepts gzip; 500 if rendering the page panicked; 503 if the exporter is shutting down |
/// | `GET /` | 200 and the [live view](Self#the-live-view); 404 with [`without_live_view`](crate::Builder::without_live_view) |
/// | `GET /health` | 200, or 503 if the last page could not be rendered |
/// | `HEAD` of these | the same response without a body |
/// | another method | 405 with `Allow: GET, HEAD` |
/// | another path | 404 |
/// | any request from an address that [`allow`](crate::Builder::allow) does not list | 403 |
///
/// A panic while the page is rendered loses that page only: the exporter keeps
/// running, and `instrument_render_panics_total` on the next page counts the lost
/// pages. With `panic = "abort"`, a panic aborts the process, as anywhere else.
///
/// # The live view
///
/// `GET /` returns a live view of the application: an HTML page for a browser, with nothing to
/// install and no Prometheus. For each method and endpoint, the view shows the requests per
/// second, the share of errors and the latency of the last minute, the requests in flight, and
/// the totals since the start. A row opens to its statuses, its labels, its latencies and its
/// objectives. Above the table are the process, the runtime and warnings. Each number shows the
/// PromQL query that returns it in Prometheus; see
/// [`Builder::prometheus_url`](crate::Builder::prometheus_url). The queries use the labels as
/// they are on the page. If a scrape configuration renames a label, the queries find nothing:
/// for example, a target label `endpoint` renames ours to `exported_endpoint`, unless
/// `honor_labels` is set.
///
/// The view requests `/metrics` every two seconds, and computes everything in the browser. It
/// pauses while its tab is hidden. So the process does no work for the view unless somebody
/// looks at it. Each request counts as a scrape in `instrument_scrapes_total`, but does not end
/// the wait of [`wait_for_last_scrape`](crate::Builder::wait_for_last_scrape), because the view
/// stores nothing.
///
/// The view shows nothing that `/metrics` does not, except the URL of Prometheus if it is set.
/// The same clients can open both. The response has a `Content-Security-Policy` that allows
/// only the style and the script of the view, by their hashes, and requests only to the same
/// server. The view treats the values of labels as text.
///
/// The view needs a browser of 2024 or later: Chrome 123, Firefox 125 or Safari 17.5.
/// `axum::live_view` and `actix_web::live_view` serve the view on a route of the application.
///
/// # After a fork
///
/// If the process forks, call [`init`](crate::init) after the fork. A child that is
/// forked after `init` inherits the listening socket, but not the exporter's thread. The
/// child then keeps the port in use for as long as it lives, and answers no request. To
/// close the child's copy of the socket, call [`shutdown`](Self::shutdown) in the child.
/// The call returns at once, and the parent keeps serving. A program started with `fork`
/// and `exec`, as [`std::process::Command`] does, does not inherit the socket.
///
/// # Examples
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
    /// Closed when the thread has ended and its sockets are closed.
    running: watch::Receiver<()>,
    #[cfg(unix)]
    sockets: Sockets,
    /// The id of the process that runs the thread.
    process: u32,
}

// Implemented by hand: tokio's channels lose these auto traits with tokio's feature
// `parking_lot`, which any crate in the dependency graph may enable. The channels are
// unwind safe: a channel holds a flag or nothing, so a panic cannot leave it half changed.
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
    /// Starts the exporter's thread and waits until it accepts connections.
    pub(crate) fn start(
        listener: Listener,
        routes: Routes,
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
                serve(sockets, routes, page, stopped, &ready, installed);
            })
            .and_then(|_thread| is_ready.recv().map_err(io::Error::other)?)
            .map_err(|error| InitError::Thread { error })?;
        Ok(exporter)
    }

    /// Returns the address on which the page is served. If port 0 was requested, the
    /// address has the port that the operating system chose.
    ///
    /// Returns `None` on a Unix socket and without a listener.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// Renders the page in Prometheus's text format 0.0.4: the metrics of this crate and
    /// everything else that the application recorded through the `metrics` facade.
    ///
    /// The exporter's own scrape metrics appear only on the page it serves.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), instrument_runtime::InitError> {
    /// let exporter = instrument_runtime::builder("report").without_listener().install()?;
    /// print!("{}", exporter.render());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// A panic while the page is rendered reaches the caller.
    /// `instrument_render_panics_total` counts it.
    #[must_use]
    pub fn render(&self) -> String {
        panics::counted(|| self.page.render())
    }

    #[cfg(any(feature = "axum", feature = "actix-web"))]
    pub(crate) fn page(&self) -> Page {
        self.page.clone()
    }

    /// Stops the exporter: accepts no more connections, answers the scrapes in progress
    /// (for at most 5 seconds), and frees the port.
    ///
    /// Before that, the exporter waits for a last scrape if
    /// [`wait_for_last_scrape`](crate::Builder::wait_for_last_scrape) is set, and then removes
    /// the target file that [`file_sd`](crate::Builder#method.file_sd) wrote. With the feature
    /// `push`, the final counts are pushed once more (at most 5 seconds, plus up to 5
    /// seconds for a push already in progress).
    ///
    /// Calls are still counted after the shutdown, and [`render`](Self::render) shows
    /// them. The future works in any async runtime. A second call waits for the same
    /// shutdown. In a forked child, the call returns at once; see
    /// [After a fork](Self#after-a-fork).
    pub async fn shutdown(&self) {
        if std::process::id() != self.process {
            self.leave_to_parent();
            return;
        }
        self.stop.send_replace(true);
        let mut running = self.running.clone();
        // Nothing is ever sent. The channel closes when the thread ends.
        while running.changed().await.is_ok() {}
    }

    /// Does the same as [`shutdown`](Self::shutdown), for a `main` that is not async.
    ///
    /// It blocks the calling thread, so do not call it on a thread of an async runtime.
    ///
    /// # Examples
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

    /// Returns the error of the last push.
    ///
    /// `None` if the last push succeeded, and before the first push. See
    /// [`Builder::push`](crate::Builder::push) for when pushes are sent.
    ///
    /// Requires the feature `push`.
    #[cfg(feature = "push")]
    #[must_use]
    pub fn last_push_error(&self) -> Option<PushError> {
        pushes::last_error()
    }

    /// Closes what a forked child inherited: the parent's descriptors, without the
    /// threads that use them.
    fn leave_to_parent(&self) {
        #[cfg(unix)]
        self.sockets.close_in_child();
        departure::leave_to_parent();
    }

    /// Undoes [`start`](Self::start) and waits for the thread to end. Used when the
    /// installation fails, so the application has not received the handle.
    pub(crate) fn abort(&self) {
        self.stop.send_replace(true);
        while self.running.has_changed().is_ok() {
            thread::yield_now();
        }
    }
}

/// Runs the exporter's thread, from start to end.
fn serve(
    sockets: Sockets,
    routes: Routes,
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
    // `Exporter::start` waits for this message.
    match started {
        Ok((runtime, listener)) => {
            let _ = ready.send(Ok(()));
            let (left, stop_server) = watch::channel(false);
            let pushing = runtime.spawn(push::run(installed, page.clone(), stop.clone()));
            runtime.spawn(departure::take_leave(stop, left));
            runtime.block_on(server::run(listener, routes, page, stop_server));
            // The task catches panics of the render. Any other failure of the task only
            // means that the final push is lost.
            let _ = runtime.block_on(pushing);
            // A DNS lookup of the gateway's name may still block a thread of the
            // runtime's pool: do not wait for it.
            runtime.shutdown_background();
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}
