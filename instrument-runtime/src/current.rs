//! Which recorder is current, and whether handles from it may be kept.
//!
//! Only a global recorder's handles may be kept: it is never freed, so its
//! address names it for good. A thread-local recorder's address is used again
//! as soon as it is dropped, and the facade does not tell the two apart; a new
//! thread does, since it has no local recorder.

use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{Recorder, Unit};

use crate::names::MetricNames;
use crate::settings;

/// The address of the process's global recorder, once it is known.
static GLOBAL: AtomicUsize = AtomicUsize::new(0);
/// The recorder that was last found not to be the global one.
static LAST_LOCAL: AtomicUsize = AtomicUsize::new(0);

/// The names that the current installation gave the metrics.
pub(crate) fn names() -> &'static MetricNames {
    static DEFAULT: MetricNames = MetricNames::DEFAULT;
    settings::installed().map_or(&DEFAULT, |settings| &settings.names)
}

/// 0 for a recorder without a size, such as the one that stands in while none
/// is installed: such have no address of their own.
fn address(recorder: &dyn Recorder) -> usize {
    if size_of_val(recorder) == 0 {
        0
    } else {
        std::ptr::from_ref(recorder).cast::<()>().addr()
    }
}

/// Whether this thread's current recorder is the global one, so that handles
/// taken from it now stay right for as long as the process lives.
#[inline]
pub(crate) fn is_global() -> bool {
    let current = metrics::with_recorder(address);
    current != 0 && (current == GLOBAL.load(Ordering::Relaxed) || is_new_global(current))
}

/// Finds out which recorder is the global one, so that no call has to.
pub(crate) fn learn_global() {
    on_new_thread(is_global);
}

#[cold]
fn is_new_global(current: usize) -> bool {
    // The global recorder is set once, so a known one settles the question.
    if GLOBAL.load(Ordering::Relaxed) != 0 || LAST_LOCAL.load(Ordering::Relaxed) == current {
        return false;
    }
    let global = on_new_thread(|| metrics::with_recorder(address)).unwrap_or(0);
    if global != current {
        // Should a global recorder come to stand at this address later, its
        // handles are looked up at every call: slower, and right.
        LAST_LOCAL.store(current, Ordering::Relaxed);
        return false;
    }
    if GLOBAL.swap(global, Ordering::Relaxed) == 0 && settings::installed().is_none() {
        metrics::with_recorder(|recorder| describe(recorder, names()));
    }
    true
}

/// Runs `f` where the global recorder is current. `None` if that would take a
/// thread and none can be had.
pub(crate) fn with_global<T: Send>(f: impl FnOnce(&dyn Recorder) -> T + Send) -> Option<T> {
    if is_global() {
        Some(metrics::with_recorder(f))
    } else {
        on_new_thread(|| metrics::with_recorder(f))
    }
}

fn on_new_thread<T: Send>(f: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("instrument-recorder".to_owned())
            .spawn_scoped(scope, f)
            .ok()?
            .join()
            .ok()
    })
}

/// The text of each metric's HELP.
pub(crate) const HELP: [&str; 3] = [
    "Calls that started and have ended, by how they ended.",
    "Time from a call's start (its first poll) to its end, in seconds.",
    "Calls that have started and not ended yet.",
];

/// Tells a recorder the unit and the meaning of the three metrics.
pub(crate) fn describe(recorder: &dyn Recorder, names: &MetricNames) {
    recorder.describe_counter(
        names.requests_total.clone().into(),
        Some(Unit::Count),
        HELP[0].into(),
    );
    recorder.describe_histogram(
        names.request_latency_seconds.clone().into(),
        Some(Unit::Seconds),
        HELP[1].into(),
    );
    recorder.describe_gauge(
        names.requests_in_progress.clone().into(),
        Some(Unit::Count),
        HELP[2].into(),
    );
}
