//! What a unit test asks: did this handler count what it should? Feature
//! `testing`, for the `[dev-dependencies]`:
//!
//! ```toml
//! [dev-dependencies]
//! instrument-runtime = { version = "0.1", features = ["testing"] }
//! ```
//!
//! A [`Recording`] takes what is recorded within it, and nothing else: tests that
//! run side by side do not see each other.
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
//! The labels of a question are those that a series must have; it may have others.
//! The answer is the sum over all such series, and 0 where there is none. A failed
//! assertion prints every series that was recorded:
//!
//! ```text
//! requests_total{endpoint="/users/{id}",outcome="ok"} is 0, not 1
//! no requests_total has outcome="ok"; there is "error"
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
//! | runs on this thread | [`Recording::run`] |
//! | is a future, on any runtime | [`Recording::scope`] |
//! | is a task that the test starts | `tokio::spawn(recording.scope(task))` |
//! | is a thread that the test starts | a clone: `thread::spawn(move \|\| recording.run(…))` |
//! | spawns tasks itself, on a current-thread runtime | `recording.run(\|\| runtime.block_on(…))` |
//! | spawns tasks itself, on a runtime of many threads | [`Recording::record_thread`] on each of them |
//! | starts threads or runtimes that the test cannot reach | [`Recording::global`] |
//!
//! On this thread, with a call that is dropped half-way:
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
//! Tasks on several threads, each wrapped by the test:
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
//! # What is recorded, and what not
//!
//! Everything that goes through the [`metrics`] facade: annotated functions, the
//! layers' requests, and the application's own metrics
//! ([`counter`](Recording::counter), [`gauge`](Recording::gauge),
//! [`histogram`](Recording::histogram)). There are no global labels such as
//! `app_name`, no bound on series, and no zeros for handlers that nobody called.
//! A recorder that is installed besides gets nothing of what happens within a
//! recording, and goes on with the rest.
//!
//! Latencies are of the real clock, also where tokio's is paused.
//!
//! A call's three metrics are written one after the other, not at once: look when
//! the calls in question have ended, or wait until they have.

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

/// Records what runs within it; see the [module](self). A clone is the same
/// recording, on any thread.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    recorder: Arc<LocalRecorder>,
}

impl Recording {
    /// With nothing in it yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The recording of the whole process: whatever happens outside of all others,
    /// on any thread. The first call installs it, each later one gives the same.
    ///
    /// For code that starts threads and runtimes of its own. Tests of one process
    /// share it, and most test runners run them at the same time. So ask for what
    /// was added [`since`](Snapshot::since) the test's start, and by labels that no
    /// other test of the process uses: an endpoint of its own, say. Where there is
    /// none, the test needs a process of its own (a file in `tests/`, or
    /// `cargo nextest`).
    ///
    /// ```
    /// use instrument_runtime::instrumented;
    /// use instrument_runtime::testing::Recording;
    ///
    /// #[instrumented(endpoint = "/jobs", method = "POST")]
    /// async fn job() {}
    ///
    /// let recording = Recording::global().unwrap();
    /// let before = recording.snapshot();
    /// std::thread::spawn(|| {
    ///     let runtime = tokio::runtime::Runtime::new().unwrap();
    ///     runtime.block_on(async { tokio::spawn(job()).await })
    /// })
    /// .join().unwrap().unwrap();
    ///
    /// let added = recording.snapshot().since(&before);
    /// added.assert_requests(&[("endpoint", "/jobs"), ("outcome", "ok")], 1);
    /// ```
    ///
    /// # Errors
    ///
    /// [`InitError::AlreadyInstalled`] if the process has another recorder already, for
    /// example by [`init`](crate::init). A process has one global recorder: install none
    /// in the tests' process, or use [`scope`](Self::scope), [`run`](Self::run) or
    /// [`record_thread`](Self::record_thread), which work beside another recorder.
    ///
    /// After this call, no other recorder can be installed: [`init`](crate::init) then
    /// fails with [`InitError::AlreadyInstalled`].
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

    /// Records what `f` does on this thread. Within one recording, another one takes
    /// what is within itself.
    ///
    /// A call counts as ended where its future is dropped: one that only begins
    /// within `f` wants a [`scope`](Self::scope).
    pub fn run<T>(&self, f: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&*self.recorder, f)
    }

    /// Records what a future does, on whatever thread it is polled and dropped.
    ///
    /// Not the tasks that it spawns: each is a future of its own.
    pub fn scope<F: IntoFuture>(&self, future: F) -> Scope<F::IntoFuture> {
        Scope::new(self.clone(), future.into_future())
    }

    /// Records what this thread does from now on, until it ends; for the threads of
    /// a runtime, whose tasks are then recorded wherever they are spawned.
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
    /// let recording = Recording::new();
    /// let on_each_thread = recording.clone();
    /// let runtime = tokio::runtime::Builder::new_multi_thread()
    ///     .enable_all()
    ///     .on_thread_start(move || on_each_thread.record_thread())
    ///     .build()
    ///     .unwrap();
    /// // `block_on` polls on the test's thread.
    /// runtime.block_on(recording.scope(sign_up()));
    /// recording.assert_requests(&[("outcome", "ok")], 1);
    /// ```
    pub fn record_thread(&self) {
        // Nobody can tell when a thread is done with its recorder.
        let recorder: &'static Arc<LocalRecorder> = Box::leak(Box::new(self.recorder.clone()));
        std::mem::forget(metrics::set_default_local_recorder(&**recorder));
    }

    /// All that is recorded by now. A look changes nothing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.recorder.snapshot()
    }

    /// [`Snapshot::requests`] by now.
    #[must_use]
    pub fn requests(&self, labels: &[(&str, &str)]) -> u64 {
        self.snapshot().requests(labels)
    }

    /// [`Snapshot::in_progress`] by now.
    #[must_use]
    pub fn in_progress(&self, labels: &[(&str, &str)]) -> i64 {
        self.snapshot().in_progress(labels)
    }

    /// [`Snapshot::latency`] by now.
    #[must_use]
    pub fn latency(&self, labels: &[(&str, &str)]) -> Latency {
        self.snapshot().latency(labels)
    }

    /// [`Snapshot::counter`] by now.
    #[must_use]
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.snapshot().counter(name, labels)
    }

    /// [`Snapshot::gauge`] by now.
    #[must_use]
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.snapshot().gauge(name, labels)
    }

    /// [`Snapshot::histogram`] by now.
    #[must_use]
    pub fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Histogram {
        self.snapshot().histogram(name, labels)
    }

    /// [`Snapshot::assert_requests`] by now.
    ///
    /// # Panics
    ///
    /// When there are more or fewer.
    #[track_caller]
    pub fn assert_requests(&self, labels: &[(&str, &str)], expected: u64) {
        self.snapshot().assert_requests(labels, expected);
    }

    /// [`Snapshot::assert_in_progress`] by now.
    ///
    /// # Panics
    ///
    /// When there are more or fewer.
    #[track_caller]
    pub fn assert_in_progress(&self, labels: &[(&str, &str)], expected: i64) {
        self.snapshot().assert_in_progress(labels, expected);
    }
}

/// The [`Snapshot`]'s lines: a series each.
impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}
