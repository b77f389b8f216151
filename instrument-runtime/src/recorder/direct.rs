//! The three metrics' series for the call sites: the same that the facade gives,
//! without its virtual calls, its floats and a look at the thread for each.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use metrics::Key;

pub(crate) use crate::recorder::Families;
use crate::recorder::counter::Counter;
use crate::recorder::gauge::Gauge;
use crate::recorder::histogram::Histogram;
use crate::recorder::registry::Cell;
pub(crate) use crate::recorder::threads::Thread;

/// The families of our own recorder, once it is the global one.
static INSTALLED: OnceLock<Arc<Families>> = OnceLock::new();

/// The families of our own recorder, once it is the global one.
pub(crate) fn installed() -> Option<&'static Families> {
    INSTALLED.get().map(Arc::as_ref)
}

/// `families` are those of the global recorder now.
pub(crate) fn set_installed(families: Arc<Families>) {
    // A process has one global recorder.
    let _ = INSTALLED.set(families);
}

/// The address of our own recorder, once a call has reached it through the facade.
///
/// Our recorder is only ever installed as the global one, which is never freed, so
/// its address distinguishes it from every other recorder.
static REACHED: AtomicUsize = AtomicUsize::new(0);

/// A call has reached `recorder`, which is ours and the global one.
pub(super) fn set_reached(recorder: &dyn metrics::Recorder) {
    REACHED.store(address(recorder), Ordering::Relaxed);
}

/// The address of our own recorder; 0 until a call has reached it.
#[inline]
pub(crate) fn reached() -> usize {
    REACHED.load(Ordering::Relaxed)
}

/// A recorder's address. 0 for a recorder without a size, such as the one that
/// stands in while none is installed: it has no address of its own.
pub(crate) fn address(recorder: &dyn metrics::Recorder) -> usize {
    if size_of_val(recorder) == 0 {
        0
    } else {
        std::ptr::from_ref(recorder).cast::<()>().addr()
    }
}

#[derive(Debug)]
pub(crate) struct InProgress(Arc<Cell<Gauge>>);

#[derive(Debug)]
pub(crate) struct Requests(Arc<Cell<Counter>>);

#[derive(Debug)]
pub(crate) struct Latency(Arc<Cell<Histogram>>);

pub(crate) fn in_progress(families: &Families, key: &Key) -> InProgress {
    InProgress(families.in_progress.series(key))
}

pub(crate) fn requests(families: &Families, key: &Key) -> Requests {
    Requests(families.requests.series(key))
}

pub(crate) fn latency(families: &Families, key: &Key) -> Latency {
    Latency(families.latency.series(key))
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
