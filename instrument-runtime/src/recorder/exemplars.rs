//! Exemplars: for a bucket, the trace of one of its calls.

use std::fmt;
use std::sync::PoisonError;
use std::time::Duration;

use crate::lock_free::sync::{AtomicU64, Mutex, Ordering};
use crate::recorder::number::{Number, UnixTime};

/// The shortest time between two exemplars of a bucket.
const INTERVAL: Duration = Duration::from_secs(1);
/// The shortest time between two questions to the source, if the first call had no trace. A
/// bucket whose calls are seldom sampled should get an exemplar all the same.
const RETRY: Duration = Duration::from_millis(10);

/// Identifies a span: a trace id and a span id, as in [W3C Trace Context].
///
/// See [`Builder::exemplars`](crate::Builder::exemplars).
///
/// # Examples
///
/// ```
/// use instrument_runtime::TraceContext;
///
/// let span = TraceContext::new([0x4b; 16], [0x0f; 8]);
/// assert_eq!(span.to_string(), "4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b-0f0f0f0f0f0f0f0f");
/// ```
///
/// [W3C Trace Context]: https://www.w3.org/TR/trace-context/
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
}

impl TraceContext {
    /// Creates the identification of a span.
    ///
    /// An id whose bytes are all zero is invalid. A context with such an id is ignored.
    #[must_use]
    pub const fn new(trace_id: [u8; 16], span_id: [u8; 8]) -> Self {
        Self { trace_id, span_id }
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.trace_id != [0; 16] && self.span_id != [0; 8]
    }

    /// Returns the labels of an exemplar. With these names, Grafana links to the trace.
    /// Their names and values together are far below the limit of 128 characters.
    pub(crate) fn labels(&self) -> [(&'static str, String); 2] {
        [
            ("trace_id", Hex(&self.trace_id).to_string()),
            ("span_id", Hex(&self.span_id).to_string()),
        ]
    }
}

impl fmt::Display for TraceContext {
    /// Writes the ids in hexadecimal: `<trace id>-<span id>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", Hex(&self.trace_id), Hex(&self.span_id))
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One call, with its trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Exemplar {
    pub(crate) trace: TraceContext,
    /// What the call added: its duration in a histogram, 1 in a counter.
    pub(crate) value: Number,
    pub(crate) at: UnixTime,
}

/// The exemplars of one histogram, by bucket.
#[derive(Debug)]
pub(crate) struct Exemplars(Box<[Slot]>);

#[derive(Debug)]
struct Slot {
    /// The reading of the clock from which on the source is asked again.
    due: AtomicU64,
    /// The duration in nanoseconds, and the exemplar.
    kept: Mutex<Option<Box<(u64, Exemplar)>>>,
}

impl Exemplars {
    pub(super) fn new(slots: usize) -> Self {
        let slot = |_| Slot {
            due: AtomicU64::new(0),
            kept: Mutex::new(None),
        };
        Self((0..slots).map(slot).collect())
    }

    /// Returns whether the source should be asked for an exemplar for this slot. `now` is a
    /// reading of the clock, in its own unit.
    #[inline]
    pub(crate) fn is_due(&self, slot: usize, now: u64) -> bool {
        let slot = self.0.get(slot);
        slot.is_some_and(|slot| slot.due.load(Ordering::Relaxed) <= now)
    }

    /// Asks `source` for the trace of a call, unless another thread just has. Keeps and
    /// returns the exemplar. `ticks` converts durations to the unit of the clock.
    pub(crate) fn offer(
        &self,
        slot: usize,
        now: u64,
        ticks: impl Fn(Duration) -> u64,
        nanos: u64,
        source: impl FnOnce() -> Option<TraceContext>,
    ) -> Option<Exemplar> {
        let slot = self.0.get(slot)?;
        let due = slot.due.load(Ordering::Relaxed);
        let retry = now.wrapping_add(ticks(RETRY));
        let claimed = due <= now
            && slot
                .due
                .compare_exchange(due, retry, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        let trace = if claimed { source() } else { None }?;
        let exemplar = Exemplar {
            trace,
            value: Number::Nanos(nanos.into()),
            at: UnixTime::now(),
        };
        // Does not wait for a render that is reading the slot.
        *slot.kept.try_lock().ok()? = Some(Box::new((nanos, exemplar)));
        let next = now.wrapping_add(ticks(INTERVAL));
        slot.due.store(next, Ordering::Relaxed);
        Some(exemplar)
    }

    /// Returns all exemplars, with their durations in nanoseconds.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, Exemplar)> {
        self.0.iter().filter_map(|slot| {
            let kept = slot.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.as_deref().copied()
        })
    }
}
