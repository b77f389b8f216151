//! The recorder that takes a call, and the names of the metrics.
//!
//! A call site keeps handles of our own recorder only. Any other recorder may
//! forget a series (`idle_timeout`) or add labels when a handle is registered
//! (metrics-tracing-context), so a call looks up its handles there each time.
//!
//! Our recorder is only ever installed as the global one, which is never freed:
//! its address tells it from every other recorder. Calls find that address the
//! first time they reach our recorder through the facade.

use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{Recorder, Unit};

use crate::names::MetricNames;
use crate::settings;

/// The address of our own recorder, once a call has reached it.
static OURS: AtomicUsize = AtomicUsize::new(0);

/// The names that the current installation gave the metrics.
pub(crate) fn names() -> &'static MetricNames {
    static DEFAULT: MetricNames = MetricNames::DEFAULT;
    settings::installed().map_or(&DEFAULT, |settings| &settings.names)
}

/// 0 for a recorder without a size, such as the one that stands in while none
/// is installed: such a recorder has no address of its own.
fn address(recorder: &dyn Recorder) -> usize {
    if size_of_val(recorder) == 0 {
        0
    } else {
        std::ptr::from_ref(recorder).cast::<()>().addr()
    }
}

/// Whether nothing at all is recorded by this thread.
pub(crate) fn is_none() -> bool {
    metrics::with_recorder(address) == 0
}

/// Whether this thread's current recorder is our own.
#[inline]
pub(crate) fn is_ours() -> bool {
    let current = metrics::with_recorder(address);
    current != 0 && current == OURS.load(Ordering::Relaxed)
}

/// `recorder` is ours, and the global one.
pub(crate) fn set_ours(recorder: &dyn Recorder) {
    OURS.store(address(recorder), Ordering::Relaxed);
}

/// The text of each metric's HELP.
const HELP: [&str; 3] = [
    "Calls that started and have ended, by how they ended.",
    "Time from a call's start (its first poll) to its end, in seconds.",
    "Calls that have started and not ended yet.",
];

/// Describes the three metrics to a recorder of the application's, unless it was
/// one of the last few that calls were recorded by.
pub(crate) fn describe_once(recorder: &dyn Recorder) {
    static DESCRIBED: [AtomicUsize; 8] = [const { AtomicUsize::new(0) }; 8];
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let address = address(recorder);
    let is_described = |known: &AtomicUsize| known.load(Ordering::Relaxed) == address;
    if address == 0 || is_described(&OURS) || DESCRIBED.iter().any(is_described) {
        return;
    }
    let next = NEXT.fetch_add(1, Ordering::Relaxed) % DESCRIBED.len();
    DESCRIBED[next].store(address, Ordering::Relaxed);
    describe(recorder, names());
}

/// Describes the three metrics: their unit and their meaning.
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
