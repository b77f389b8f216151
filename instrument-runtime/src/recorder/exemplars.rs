//! Exemplars: for a bucket, the trace of one of its calls.

use std::fmt;
use std::sync::PoisonError;
use std::time::Duration;

use crate::lock_free::sync::{AtomicU64, Mutex, OnceLock, Ordering};
use crate::recorder::number::{Number, UnixTime};

/// The minimum interval between two exemplars of a bucket.
const INTERVAL: Duration = Duration::from_secs(1);
/// The minimum interval between two calls of the source after it returned `None`. It is
/// short, because a bucket whose calls are rarely sampled should still get an exemplar.
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
    /// Creates a context from a trace id and a span id.
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
    /// The value that the call added: its duration in a histogram, 1 in a counter.
    pub(crate) value: Number,
    pub(crate) at: UnixTime,
}

/// The exemplars of one histogram, by bucket.
#[derive(Debug)]
pub(crate) struct Exemplars {
    /// The number of slots.
    len: usize,
    /// The clock reading at which the source may be called again, as long as there are no
    /// slots.
    due: AtomicU64,
    /// Allocated for the first exemplar, because most series may never have one.
    slots: OnceLock<Box<[Slot]>>,
}

#[derive(Debug)]
struct Slot {
    /// The clock reading at which the source may be called again.
    due: AtomicU64,
    /// The duration in nanoseconds, and the exemplar.
    kept: Mutex<Option<Box<(u64, Exemplar)>>>,
}

/// When the source may be called again, relative to a reading of the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intervals {
    /// After an exemplar.
    pub(crate) interval: u64,
    /// After the source returned `None`.
    pub(crate) retry: u64,
}

impl Intervals {
    /// `ticks` converts durations to the unit of the clock.
    pub(crate) fn new(ticks: impl Fn(Duration) -> u64) -> Self {
        Self {
            interval: ticks(INTERVAL),
            retry: ticks(RETRY),
        }
    }
}

/// Claims a clock reading that is due: sets it to `next`. Returns whether no other thread
/// was faster.
pub(crate) fn claim(due: &AtomicU64, now: u64, next: u64) -> bool {
    let before = due.load(Ordering::Relaxed);
    before <= now
        && due
            .compare_exchange(before, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
}

impl Exemplars {
    pub(super) fn new(len: usize) -> Self {
        Self {
            len,
            due: AtomicU64::new(0),
            slots: OnceLock::new(),
        }
    }

    fn due(&self, slot: usize) -> &AtomicU64 {
        let slot = self.slots.get().and_then(|slots| slots.get(slot));
        slot.map_or(&self.due, |slot| &slot.due)
    }

    /// Returns whether the source should be called for an exemplar for this slot. `now` is a
    /// reading of the clock, in its own unit.
    #[inline]
    pub(crate) fn is_due(&self, slot: usize, now: u64) -> bool {
        self.due(slot).load(Ordering::Relaxed) <= now
    }

    /// Calls `source` for the trace of a call, unless another thread has claimed the slot.
    /// Keeps and returns the exemplar.
    pub(crate) fn offer(
        &self,
        slot: usize,
        now: u64,
        intervals: Intervals,
        nanos: u64,
        source: impl FnOnce() -> Option<TraceContext>,
    ) -> Option<Exemplar> {
        let retry = now.wrapping_add(intervals.retry);
        if !claim(self.due(slot), now, retry) {
            return None;
        }
        let exemplar = Exemplar {
            trace: source()?,
            value: Number::Nanos(nanos.into()),
            at: UnixTime::now(),
        };
        let new = |_| Slot {
            due: AtomicU64::new(0),
            kept: Mutex::new(None),
        };
        let slots = self.slots.get_or_init(|| (0..self.len).map(new).collect());
        let slot = slots.get(slot)?;
        // Does not wait for a render that is reading the slot.
        *slot.kept.try_lock().ok()? = Some(Box::new((nanos, exemplar)));
        let next = now.wrapping_add(intervals.interval);
        slot.due.store(next, Ordering::Relaxed);
        Some(exemplar)
    }

    /// Returns all exemplars, with their durations in nanoseconds.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, Exemplar)> {
        self.slots.get().into_iter().flatten().filter_map(|slot| {
            let kept = slot.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.as_deref().copied()
        })
    }
}
