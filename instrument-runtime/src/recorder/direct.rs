//! The three metrics' series for the call sites: the same that the facade gives,
//! without its virtual calls, its floats and a look at the thread for each.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use metrics::Key;

use crate::recorder::Families;
use crate::recorder::counter::Counter;
use crate::recorder::gauge::Gauge;
use crate::recorder::histogram::Histogram;
use crate::recorder::registry::Series;
use crate::recorder::shards::this_thread;

/// Those of the global recorder, if it is ours.
static INSTALLED: OnceLock<Arc<Families>> = OnceLock::new();

/// `families` are those of the global recorder now.
pub(crate) fn set_installed(families: Arc<Families>) {
    // A process has one global recorder.
    let _ = INSTALLED.set(families);
}

/// The number of the thread that records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread(usize);

impl Thread {
    #[inline]
    pub(crate) fn current() -> Self {
        Self(this_thread())
    }
}

#[derive(Debug)]
pub(crate) struct InProgress(Arc<Series<Gauge>>);

#[derive(Debug)]
pub(crate) struct Requests(Arc<Series<Counter>>);

#[derive(Debug)]
pub(crate) struct Latency(Arc<Series<Histogram>>);

pub(crate) fn in_progress(key: &Key) -> Option<InProgress> {
    Some(InProgress(INSTALLED.get()?.in_progress.series(key)))
}

pub(crate) fn requests(key: &Key) -> Option<Requests> {
    Some(Requests(INSTALLED.get()?.requests.series(key)))
}

pub(crate) fn latency(key: &Key) -> Option<Latency> {
    Some(Latency(INSTALLED.get()?.latency.series(key)))
}

impl InProgress {
    #[inline]
    pub(crate) fn up(&self, thread: Thread) {
        let gauge = self.0.instrument.cell_of(thread.0);
        gauge.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn down(&self, thread: Thread) {
        let gauge = self.0.instrument.cell_of(thread.0);
        gauge.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a call that ends. All cells are found before the first is written to:
/// an atomic addition holds up the loads that come after it.
#[inline]
pub(crate) fn end(
    requests: &Requests,
    latency: &Latency,
    in_progress: &InProgress,
    thread: Thread,
    nanos: u64,
) {
    let requests = requests.0.instrument.cell_of(thread.0);
    let gauge = in_progress.0.instrument.cell_of(thread.0);
    let sample = latency.0.instrument.cells_of(thread.0, nanos);
    requests.fetch_add(1, Ordering::Relaxed);
    sample.record(nanos);
    gauge.fetch_sub(1, Ordering::Relaxed);
}

/// Counts a call whose gauge is elsewhere.
pub(crate) fn count(requests: &Requests, latency: &Latency, thread: Thread, nanos: u64) {
    let requests = requests.0.instrument.cell_of(thread.0);
    requests.fetch_add(1, Ordering::Relaxed);
    latency.0.instrument.cells_of(thread.0, nanos).record(nanos);
}
