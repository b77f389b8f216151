//! Which recorder records a call: our own, another one, or none.
//!
//! A call site caches the handles of our own recorder only. Any other recorder may drop a
//! series (`idle_timeout` of metrics-exporter-prometheus) or add labels when a handle is
//! registered (metrics-tracing-context). With such a recorder, every call registers its
//! handles again.

use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::Recorder;

use crate::names;
use crate::recorder::direct;
use crate::settings;

/// Returns whether no recorder is installed for this thread, so that nothing is recorded.
pub(crate) fn is_none() -> bool {
    metrics::with_recorder(direct::address) == 0
}

/// Returns whether the current recorder of this thread is our own.
#[inline]
pub(crate) fn is_ours() -> bool {
    let current = metrics::with_recorder(direct::address);
    current != 0 && current == direct::reached()
}

/// Describes the three metrics to a recorder that is not our own.
///
/// Remembers the addresses of the last eight recorders, and skips them.
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
