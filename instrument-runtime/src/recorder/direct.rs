//! The three metrics' series for the call sites: the same that the facade gives,
//! without its virtual calls, its floats and a look at the thread for each.

use std::sync::{Arc, OnceLock};

use metrics::Key;

use crate::recorder::Families;
use crate::recorder::counter::Counter;
use crate::recorder::gauge::Gauge;
use crate::recorder::histogram::Histogram;
use crate::recorder::registry::Series;
pub(crate) use crate::recorder::threads::Thread;

/// Those of the global recorder, if it is ours.
static INSTALLED: OnceLock<Arc<Families>> = OnceLock::new();

/// `families` are those of the global recorder now.
pub(crate) fn set_installed(families: Arc<Families>) {
    // A process has one global recorder.
    let _ = INSTALLED.set(families);
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
        self.0.instrument.up(thread, 1);
    }

    #[inline]
    pub(crate) fn down(&self, thread: Thread) {
        self.0.instrument.down(thread, 1);
    }
}

impl Requests {
    #[inline]
    pub(crate) fn count(&self, thread: Thread) {
        self.0.instrument.add(thread, 1);
    }
}

impl Latency {
    #[inline(always)]
    pub(crate) fn record(&self, thread: Thread, nanos: u64) {
        self.0.instrument.record_nanos(thread, nanos);
    }
}
