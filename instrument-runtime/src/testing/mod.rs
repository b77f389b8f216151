//! Records metrics in unit tests, and checks the recorded values.
//!
//! Requires the feature `testing`, which belongs in the `[dev-dependencies]`:
//!
//! ```toml
//! [dev-dependencies]
//! instrument-runtime = { version = "0.1", features = ["testing"] }
//! ```
//!
//! A [`Recording`] records only the metrics of the code that runs inside it. Tests that run
//! in parallel do not see each other's metrics.
//!
//! ```test_harness
//! use instrument_runtime::instrumented;
//! use instrument_runtime::testing::Recording;
//!
//! #[instrumented(endpoint = "/users/{id}", method = "GET")]
//! async fn user(id: u32) -> Result<String, std::num::TryFromIntError> {
//!     Ok(format!("user {}", u8::try_from(id)?))
//! }
//!
//! #[tokio::test]
//! async fn counts_users() {
//!     let recording = Recording::new();
//!     recording.scope(async {
//!         user(7).await.unwrap();
//!         user(1_000).await.unwrap_err();
//!     }).await;
//!
//!     recording.assert_requests(&[("endpoint", "/users/{id}"), ("outcome", "ok")], 1);
//!     recording.assert_requests(&[("endpoint", "/users/{id}"), ("outcome", "error")], 1);
//!     recording.assert_in_progress(&[], 0);
//!     assert_eq!(recording.latency(&[("method", "GET")]).count, 2);
//! }
//! ```
//!
//! A query such as `assert_requests` takes a list of labels. It matches every series that
//! has these labels; a matching series may have more labels. The result is the sum over all
//! matching series, or 0 if no series matches. A failing assertion prints every series that
//! was recorded:
//!
//! ```text
//! requests_total{endpoint="/users/{id}",outcome="ok"} is 0, not 1
//! no requests_total series has outcome="ok"; recorded values: "error"
//! recorded:
//!   request_latency_seconds{endpoint="/users/{id}",method="GET",outcome="error"} count 1, sum 0.000004211
//!   requests_in_progress{endpoint="/users/{id}",method="GET"} 0
//!   requests_total{endpoint="/users/{id}",method="GET",outcome="error"} 1
//! ```
//!
//! # Where the code runs
//!
//! | the code under test | how to record it |
//! |---|---|
//! | runs on the thread of the test | [`Recording::run`] |
//! | is a future, on any runtime | [`Recording::scope`] |
//! | is a task that the test spawns | `tokio::spawn(recording.scope(task))` |
//! | is a thread that the test spawns | a clone: `thread::spawn(move \|\| recording.run(…))` |
//! | spawns tasks itself, on a current-thread runtime | `recording.run(\|\| runtime.block_on(…))` |
//! | spawns tasks itself, on a multi-thread runtime | [`Recording::record_thread`] on each of its threads |
//! | starts threads or runtimes that the test cannot reach | [`Recording::global`] |
//!
//! This test records a cancelled call on its own thread:
//!
//! ```
//! use instrument_runtime::instrumented;
//! use instrument_runtime::testing::Recording;
//! use std::task::{Context, Waker};
//!
//! #[instrumented(labels(tenant = tenant))]
//! async fn import(tenant: &str) {
//!     std::future::pending().await
//! }
//!
//! let recording = Recording::new();
//! recording.run(|| {
//!     let mut call = Box::pin(import("acme"));
//!     let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
//!     recording.assert_in_progress(&[("tenant", "acme")], 1);
//! });
//! recording.assert_in_progress(&[("tenant", "acme")], 0);
//! recording.assert_requests(&[("tenant", "acme"), ("outcome", "cancelled")], 1);
//! ```
//!
//! This test records tasks on several threads. It wraps each task in a scope:
//!
//! ```test_harness
//! # use instrument_runtime::instrumented;
//! # use instrument_runtime::testing::Recording;
//! # #[instrumented(endpoint = "/users/{id}", method = "GET")]
//! # async fn user(id: u32) {}
//! #[tokio::test(flavor = "multi_thread")]
//! async fn counts_tasks() {
//!     let recording = Recording::new();
//!     let tasks: Vec<_> = (0..10)
//!         .map(|id| tokio::spawn(recording.scope(user(id))))
//!         .collect();
//!     for task in tasks {
//!         task.await.unwrap();
//!     }
//!     recording.assert_requests(&[("endpoint", "/users/{id}")], 10);
//! }
//! ```
//!
//! # What is recorded
//!
//! A recording contains everything that goes through the facade of the crate
//! [`metrics`](https://docs.rs/metrics): calls of annotated functions, requests that a layer
//! counts, and the application's own metrics
//! ([`counter`](Recording::counter), [`gauge`](Recording::gauge),
//! [`histogram`](Recording::histogram)):
//!
//! ```
//! use instrument_runtime::testing::Recording;
//!
//! let recording = Recording::new();
//! recording.run(|| {
//!     metrics::counter!("orders_total", "region" => "eu").increment(2);
//!     metrics::gauge!("queue_length").set(3.0);
//!     metrics::histogram!("order_bytes").record(512.0);
//! });
//! assert_eq!(recording.counter("orders_total", &[("region", "eu")]), 2);
//! assert_eq!(recording.gauge("queue_length", &[]), 3.0);
//! assert_eq!(recording.histogram("order_bytes", &[]).count, 1);
//! ```
//!
//! A recording has no global labels such as `app_name`, no limit on the number of series,
//! and no zero-valued series for handlers that were not called.
//!
//! Metrics inside a recording do not reach a globally installed recorder. That recorder
//! still receives all other metrics.
//!
//! Latencies are measured with the real clock, even if tokio's clock is paused.
//!
//! The three metrics of a call are not updated atomically. Read them after the calls have
//! ended.

use std::fmt;
use std::future::IntoFuture;
use std::sync::{Arc, Mutex, PoisonError};

mod recorder;
mod scope;
mod snapshot;

use recorder::LocalRecorder;
pub use scope::Scope;
pub use snapshot::{Histogram, Latency, Snapshot};

use crate::error::InitError;

/// Records the metrics of the code that runs inside it; see the [module](self).
///
/// Clones refer to the same recording, and can be used on any thread.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    recorder: Arc<LocalRecorder>,
}

impl Recording {
    /// Creates an empty recording.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the recording of the whole process.
    ///
    /// The global recording contains all metrics from outside of other recordings, from any
    /// thread. The first call installs the recording as the global recorder. Later calls
    /// return the same recording.
    ///
    /// Use the global recording for code that starts its own threads and runtimes. All
    /// tests in a process share it, and most test runners run the tests in parallel.
    /// Therefore query only the metrics that were added [`since`](Snapshot::since) the
    /// start of the test, by labels that no other test in the process uses, such as a
    /// unique endpoint. If there are no unique labels, run the test in a separate process:
    /// in its own file in `tests/`, or with `cargo nextest`.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), instrument_runtime::InitError> {
    /// use instrument_runtime::instrumented;
    /// use instrument_runtime::testing::Recording;
    ///
    /// #[instrumented(endpoint = "/jobs", method = "POST")]
    /// async fn job() {}
    ///
    /// let recording = Recording::global()?;
    /// let before = recording.snapshot();
    /// std::thread::spawn(|| {
    ///     let runtime = tokio::runtime::Runtime::new().unwrap();
    ///     runtime.block_on(async { tokio::spawn(job()).await })
    /// })
    /// .join().unwrap().unwrap();
    ///
    /// let added = recording.snapshot().since(&before);
    /// added.assert_requests(&[("endpoint", "/jobs"), ("outcome", "ok")], 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`InitError::AlreadyInstalled`] if the process already has a global
    /// recorder, for example from [`init`](crate::init). In that case, use
    /// [`scope`](Self::scope), [`run`](Self::run) or
    /// [`record_thread`](Self::record_thread), which work together with another global
    /// recorder.
    ///
    /// After this call, [`init`](crate::init) returns [`InitError::AlreadyInstalled`],
    /// because a process can have only one global recorder.
    pub fn global() -> Result<Self, InitError> {
        static GLOBAL: Mutex<Option<Recording>> = Mutex::new(None);
        let mut global = GLOBAL.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(recording) = &*global {
            return Ok(recording.clone());
        }
        let recording = Self::new();
        metrics::set_global_recorder(Arc::clone(&recording.recorder))
            .map_err(|_refused| InitError::AlreadyInstalled)?;
        *global = Some(recording.clone());
        Ok(recording)
    }

    /// Runs `f`, and records the metrics of the code that runs on this thread meanwhile.
    ///
    /// Recordings may be nested; the innermost one records.
    ///
    /// The end of a call goes to the recording in which its future completes or is dropped.
    /// For a call that starts inside `f` and ends outside of `f`, use
    /// [`scope`](Self::scope).
    pub fn run<T>(&self, f: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&*self.recorder, f)
    }

    /// Returns a future that records the metrics of `future`, on every thread that polls or
    /// drops it.
    ///
    /// Tasks that the future spawns are not recorded. Wrap each spawned task in a scope of
    /// its own.
    pub fn scope<F: IntoFuture>(&self, future: F) -> Scope<F::IntoFuture> {
        Scope::new(self.clone(), future.into_future())
    }

    /// Records the metrics of this thread from now on, until the thread ends.
    ///
    /// Call this method on each thread of a runtime to record all tasks of the runtime, no
    /// matter where the tasks are spawned. Each call leaks a handle of the recording, so
    /// the recording is never freed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use instrument_runtime::instrumented;
    /// # use instrument_runtime::testing::Recording;
    /// #[instrumented]
    /// async fn send_mail() {}
    ///
    /// async fn sign_up() {
    ///     tokio::spawn(send_mail()).await.unwrap();
    /// }
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let recording = Recording::new();
    /// let on_each_thread = recording.clone();
    /// let runtime = tokio::runtime::Builder::new_multi_thread()
    ///     .enable_all()
    ///     .on_thread_start(move || on_each_thread.record_thread())
    ///     .build()?;
    /// // `block_on` polls on the test's thread.
    /// runtime.block_on(recording.scope(sign_up()));
    /// recording.assert_requests(&[("outcome", "ok")], 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn record_thread(&self) {
        // The handle is leaked, because no hook runs after a thread has used the recorder
        // for the last time: destructors of thread-locals may still record.
        let recorder: &'static Arc<LocalRecorder> = Box::leak(Box::new(self.recorder.clone()));
        std::mem::forget(metrics::set_default_local_recorder(&**recorder));
    }

    /// Returns a copy of everything that was recorded so far. The recording keeps its
    /// values.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.recorder.snapshot()
    }

    /// Returns [`Snapshot::requests`] of the current [`snapshot`](Self::snapshot).
    #[must_use]
    pub fn requests(&self, labels: &[(&str, &str)]) -> u64 {
        self.snapshot().requests(labels)
    }

    /// Returns [`Snapshot::in_progress`] of the current [`snapshot`](Self::snapshot).
    #[must_use]
    pub fn in_progress(&self, labels: &[(&str, &str)]) -> i64 {
        self.snapshot().in_progress(labels)
    }

    /// Returns [`Snapshot::latency`] of the current [`snapshot`](Self::snapshot).
    #[must_use]
    pub fn latency(&self, labels: &[(&str, &str)]) -> Latency {
        self.snapshot().latency(labels)
    }

    /// Returns [`Snapshot::counter`] of the current [`snapshot`](Self::snapshot).
    #[must_use]
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.snapshot().counter(name, labels)
    }

    /// Returns [`Snapshot::gauge`] of the current [`snapshot`](Self::snapshot).
    #[must_use]
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.snapshot().gauge(name, labels)
    }

    /// Returns [`Snapshot::histogram`] of the current [`snapshot`](Self::snapshot).
    #[must_use]
    pub fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Histogram {
        self.snapshot().histogram(name, labels)
    }

    /// Calls [`Snapshot::assert_requests`] on the current [`snapshot`](Self::snapshot).
    ///
    /// # Panics
    ///
    /// Panics if the number is not `expected`. The message lists every recorded series.
    #[track_caller]
    pub fn assert_requests(&self, labels: &[(&str, &str)], expected: u64) {
        self.snapshot().assert_requests(labels, expected);
    }

    /// Calls [`Snapshot::assert_in_progress`] on the current
    /// [`snapshot`](Self::snapshot).
    ///
    /// # Panics
    ///
    /// Panics if the number is not `expected`. The message lists every recorded series.
    #[track_caller]
    pub fn assert_in_progress(&self, labels: &[(&str, &str)], expected: i64) {
        self.snapshot().assert_in_progress(labels, expected);
    }
}

/// Formats the current [`Snapshot`]: one line per series.
impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}
