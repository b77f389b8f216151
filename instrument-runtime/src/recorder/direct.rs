//! Direct handles to the series of the call metrics, for call sites.
//!
//! Direct handles update the same series as the handles of the `metrics` facade, but
//! without the facade's virtual calls and conversions to `f64`. A call looks up the
//! current thread's number once for all three metrics.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use metrics::Key;

pub(crate) use crate::recorder::Families;
use crate::recorder::counter::Counter;
use crate::recorder::exemplars::{Exemplar, Exemplars};
use crate::recorder::gauge::Gauge;
use crate::recorder::histogram::Histogram;
use crate::recorder::oldest::Oldest;
pub(crate) use crate::recorder::oldest::Place;
use crate::recorder::registry::Cell;
pub(crate) use crate::recorder::threads::Thread;

/// The families of our own recorder, once the recorder is installed globally.
static INSTALLED: OnceLock<Arc<Families>> = OnceLock::new();

/// Returns the families of our own recorder, once the recorder is installed globally.
pub(crate) fn installed() -> Option<&'static Families> {
    INSTALLED.get().map(Arc::as_ref)
}

/// Sets the families of the global recorder.
pub(crate) fn set_installed(families: Arc<Families>) {
    // `set` cannot fail: a process has one global recorder.
    let _ = INSTALLED.set(families);
}

/// The address of our own recorder, or 0 until the facade has registered a handle with
/// it.
///
/// The address identifies our recorder: the global recorder is never freed, so no other
/// recorder can get the same address.
static REACHED: AtomicUsize = AtomicUsize::new(0);

/// Records that the facade has registered a handle with `recorder`, which must be our
/// own recorder, installed globally.
pub(super) fn set_reached(recorder: &dyn metrics::Recorder) {
    REACHED.store(address(recorder), Ordering::Relaxed);
}

/// Returns the address of our own recorder, or 0 until the facade has registered a
/// handle with it.
#[inline]
pub(crate) fn reached() -> usize {
    REACHED.load(Ordering::Relaxed)
}

/// Returns the address of a recorder, or 0 if the recorder is zero-sized. Zero-sized
/// values have no unique address. The facade's no-op recorder, which is current while
/// no recorder is installed, is zero-sized.
pub(crate) fn address(recorder: &dyn metrics::Recorder) -> usize {
    if size_of_val(recorder) == 0 {
        0
    } else {
        std::ptr::from_ref(recorder).cast::<()>().addr()
    }
}

/// A series of the gauge of calls in progress.
#[derive(Debug)]
pub(crate) struct InProgressHandle(Arc<Cell<Gauge>>);

/// A series of the age of the oldest call in progress.
#[derive(Debug)]
pub(crate) struct OldestHandle(Arc<Cell<Oldest>>);

/// A series of the counter of calls.
#[derive(Debug)]
pub(crate) struct RequestsHandle(Arc<Cell<Counter>>);

/// A series of the latency histogram.
#[derive(Debug)]
pub(crate) struct LatencyHandle(Arc<Cell<Histogram>>);

/// A series of the histogram of response sizes.
#[derive(Debug)]
pub(crate) struct SizeHandle(Arc<Cell<Histogram>>);

pub(crate) fn in_progress(families: &Families, key: &Key) -> InProgressHandle {
    InProgressHandle(families.gauge(key.name()).series(key))
}

/// `None` if the age of the oldest call is not turned on. `key` is not called then.
pub(crate) fn oldest(families: &Families, key: impl FnOnce() -> Key) -> Option<OldestHandle> {
    let family = families.oldest.as_ref()?;
    Some(OldestHandle(family.series(&key())))
}

/// Without a key, the counter is not on the page. A call that needs no counter counts there,
/// so that other calls need not check for one.
pub(crate) fn requests(families: &Families, key: Option<&Key>) -> RequestsHandle {
    RequestsHandle(match key {
        Some(key) => families.requests.series(key),
        None => families.uncounted(),
    })
}

pub(crate) fn latency(families: &Families, key: &Key) -> LatencyHandle {
    LatencyHandle(families.histogram(key.name()).series(key))
}

pub(crate) fn response_size(families: &Families, key: &Key) -> SizeHandle {
    SizeHandle(families.histogram(key.name()).series(key))
}

impl InProgressHandle {
    #[inline]
    pub(crate) fn up(&self, thread: Thread) {
        self.0.instrument.up(thread, 1);
    }

    #[inline]
    pub(crate) fn down(&self, thread: Thread) {
        self.0.instrument.down(thread, 1);
    }
}

impl OldestHandle {
    /// Records a call that has started at `start`, a reading of the clock. The call must hand
    /// the place back to [`ended`](Self::ended).
    #[inline]
    pub(crate) fn started(&self, thread: Thread, start: u64) -> Option<Place> {
        self.0.instrument.started(thread, start)
    }

    #[inline]
    pub(crate) fn ended(&self, thread: Thread, place: Place) {
        self.0.instrument.ended(thread, place);
    }
}

impl RequestsHandle {
    #[inline]
    pub(crate) fn count(&self, thread: Thread) {
        self.0.instrument.add(thread, 1);
    }

    /// Shows a call as the exemplar of the counter.
    pub(crate) fn keep_exemplar(&self, exemplar: Exemplar) {
        self.0.instrument.keep_exemplar(exemplar);
    }
}

impl LatencyHandle {
    /// Records a duration in nanoseconds. If an exemplar is due, returns its slot. `now` is
    /// a reading of the clock, in its own unit.
    #[inline(always)]
    pub(crate) fn record(&self, thread: Thread, nanos: u64, now: u64) -> Option<usize> {
        let histogram = &self.0.instrument;
        let slot = histogram.record_amount(thread, nanos);
        histogram.exemplars()?.is_due(slot, now).then_some(slot)
    }

    /// Returns whether a call with this duration should become an exemplar.
    pub(crate) fn wants_exemplar(&self, nanos: u64, now: u64) -> bool {
        let histogram = &self.0.instrument;
        let is_due = |exemplars: &Exemplars| exemplars.is_due(histogram.slot(nanos), now);
        histogram.exemplars().is_some_and(is_due)
    }

    /// Returns the exemplars, if they are turned on.
    pub(crate) fn exemplars(&self) -> Option<&Exemplars> {
        self.0.instrument.exemplars()
    }
}

impl SizeHandle {
    /// Records a size in bytes.
    pub(crate) fn record(&self, thread: Thread, bytes: u64) {
        self.0.instrument.record_amount(thread, bytes);
    }
}
