//! Which recorder takes a call: our own, another one, or none.
//!
//! A call site keeps handles of our own recorder only. Any other recorder may
//! forget a series (`idle_timeout`) or add labels when a handle is registered
//! (metrics-tracing-context), so a call looks up its handles there each time.

use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::Recorder;

use crate::names;
use crate::recorder::direct;
use crate::settings;

/// Whether no recorder is installed for this thread, so that a call is not recorded.
pub(crate) fn is_none() -> bool {
    metrics::with_recorder(direct::address) == 0
}

/// Whether this thread's current recorder is our own.
#[inline]
pub(crate) fn is_ours() -> bool {
    let current = metrics::with_recorder(direct::address);
    current != 0 && current == direct::reached()
}

/// Describes the three metrics to a recorder of the application's, unless it is
/// one of the last few recorders that the metrics were described to.
pub(crate) fn describe_once(recorder: &dyn Recorder) {
    static DESCRIBED: [AtomicUsize; 8] = [const { AtomicUsize::new(0) }; 8];
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let address = direct::address(recorder);
    let is_described = |known: &AtomicUsize| known.load(Ordering::Relaxed) == address;
    if address == 0 || address == direct::reached() || DESCRIBED.iter().any(is_described) {
        return;
    }
    let next = NEXT.fetch_add(1, Ordering::Relaxed) % DESCRIBED.len();
    DESCRIBED[next].store(address, Ordering::Relaxed);
    names::describe(recorder, settings::names());
}
