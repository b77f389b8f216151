//! The series of one label set: one gauge, and a counter and a histogram for each way in
//! which calls have ended. Requests with the metrics of OpenTelemetry's conventions have no
//! counter.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use metrics::{Gauge, Level, Metadata};

use crate::call::clock::{self, Elapsed};
use crate::call::counted::{Counted, EndKeys};
use crate::call::global;
use crate::lock_free::list::List;
use crate::lock_free::sync::AtomicU64;
use crate::objective::Objective;
use crate::outcome::End;
use crate::recorder::direct::{self, Thread};
use crate::recorder::exemplars::{self, Intervals, TraceContext};
use crate::settings::{self, ExemplarSource};

/// The origin of the metrics, which a recorder may filter by.
static METADATA: Metadata<'static> = Metadata::new(
    "instrument_runtime",
    Level::INFO,
    Some("instrument_runtime"),
);

/// The trace of a call that ends, for its exemplar.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trace {
    /// The source of exemplars returns the current trace, if one is wanted.
    Current,
    /// The trace was current earlier. `None` if there was none, or if none was wanted.
    Known(Option<TraceContext>),
}

impl Trace {
    fn get(self) -> Option<TraceContext> {
        match self {
            Self::Current => settings::installed()?.exemplars.as_ref()?.ask(),
            Self::Known(trace) => trace,
        }
    }
}

/// The handles of one label set.
#[derive(Debug)]
pub(crate) struct Series {
    counted: Counted,
    handles: Handles,
}

#[derive(Debug)]
enum Handles {
    /// Handles of our own recorder. They can be cached, because it never drops a series.
    Ours(Ours),
    /// The gauge of another recorder, for one call. It is held until the call ends, so
    /// that the call decrements the gauge that it incremented. The counter and the
    /// histogram are registered at the end.
    Facade(Gauge),
}

#[derive(Debug)]
struct Ours {
    families: &'static direct::Families,
    in_progress: direct::InProgressHandle,
    /// The handles for each end, in the order in which the ends first occurred. Most
    /// calls have the first or the second end in the list.
    ends: List<End, EndHandles>,
    /// The handle of the response sizes for each end.
    sizes: List<End, direct::SizeHandle>,
    /// The clock reading at which [`Series::wanted_trace`] may call the source again, for
    /// any bucket.
    trace_due: AtomicU64,
    /// The objectives that the page shows for this series, by the addresses of their lists.
    objectives: List<usize, ()>,
}

#[derive(Debug)]
struct EndHandles {
    requests: direct::RequestsHandle,
    latency: direct::LatencyHandle,
}

impl EndHandles {
    /// Stores the trace of a call as an exemplar.
    #[cold]
    #[inline(never)]
    fn offer_exemplar(&self, slot: usize, elapsed: Elapsed, trace: Trace) {
        let Some(exemplars) = self.latency.exemplars() else {
            return;
        };
        if let Trace::Known(None) = trace {
            return;
        }
        let Elapsed { nanos, end } = elapsed;
        let exemplar = exemplars.offer(slot, end, intervals(), nanos, || trace.get());
        if let Some(exemplar) = exemplar {
            self.requests.keep_exemplar(exemplar);
        }
    }
}

fn intervals() -> Intervals {
    static INTERVALS: LazyLock<Intervals> = LazyLock::new(|| Intervals::new(clock::ticks));
    *INTERVALS
}

impl Series {
    /// Creates handles that can be cached. `None` unless our own recorder is the global
    /// recorder.
    pub(crate) fn of_ours(counted: Counted) -> Option<Self> {
        let families = direct::installed()?;
        let in_progress = direct::in_progress(families, &counted.in_progress());
        Some(Self {
            counted,
            handles: Handles::Ours(Ours {
                families,
                in_progress,
                ends: List::default(),
                sizes: List::default(),
                trace_due: AtomicU64::new(0),
                objectives: List::default(),
            }),
        })
    }

    /// Creates handles for one call, from the current recorder.
    pub(crate) fn of_current(counted: Counted) -> Self {
        let key = counted.in_progress();
        let gauge = metrics::with_recorder(|recorder| {
            let gauge = recorder.register_gauge(&key, &METADATA);
            global::describe_once(recorder);
            gauge
        });
        Self {
            counted,
            handles: Handles::Facade(gauge),
        }
    }

    /// Increments the gauge.
    #[inline]
    pub(crate) fn started(&self) {
        match &self.handles {
            Handles::Ours(ours) => ours.in_progress.up(Thread::current()),
            Handles::Facade(gauge) => up_by_facade(gauge),
        }
    }

    /// Decrements the gauge without counting an end, for a call that moves to another
    /// series.
    pub(crate) fn moved_away(&self) {
        match &self.handles {
            Handles::Ours(ours) => ours.in_progress.down(Thread::current()),
            Handles::Facade(gauge) => gauge.decrement(1.0),
        }
    }

    /// Shows these objectives on the page, with the labels of this series.
    ///
    /// Does nothing without our own recorder. Does nothing either if the series is not cached,
    /// because its label values are too long or there are `max_series` series already.
    #[inline]
    pub(crate) fn show_objectives(&self, objectives: &'static [Objective]) {
        if !objectives.is_empty()
            && let Handles::Ours(ours) = &self.handles
        {
            let list = objectives.as_ptr().addr();
            if ours.objectives.get(&list).is_none() {
                self.first_objectives(ours, objectives);
                ours.objectives.add(list, ());
            }
        }
    }

    #[cold]
    fn first_objectives(&self, ours: &Ours, objectives: &[Objective]) {
        for labels in self.counted.of_objective() {
            for objective in objectives {
                ours.families.objectives().add(&labels, objective);
            }
        }
    }

    /// Returns the endpoint, unless no route has matched.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.counted.endpoint()
    }

    /// Counts a call that has ended and was never in this gauge.
    pub(crate) fn ended_elsewhere(&self, end: End, elapsed: Elapsed, trace: Trace) {
        self.started();
        self.ended(end, elapsed, trace);
    }

    /// Counts the end of a call, records its latency and decrements the gauge.
    #[inline(always)]
    pub(crate) fn ended(&self, end: End, elapsed: Elapsed, trace: Trace) {
        match &self.handles {
            Handles::Ours(ours) => match ours.ends.get(&end) {
                Some(handles) => ours.record(handles, elapsed, trace),
                None => self.first_ended(ours, end, elapsed, trace),
            },
            Handles::Facade(gauge) => self.ended_by_facade(gauge, end, elapsed.nanos),
        }
    }

    /// Records the size of the response to a request that ended this way, in bytes.
    pub(crate) fn response_size(&self, end: End, bytes: u64) {
        let key = || self.counted.response_size(end);
        match &self.handles {
            Handles::Ours(ours) => match ours.sizes.get(&end) {
                Some(handle) => handle.record(Thread::current(), bytes),
                None => {
                    let handle = direct::response_size(ours.families, &key());
                    handle.record(Thread::current(), bytes);
                    ours.sizes.add(end, handle);
                }
            },
            Handles::Facade(_) => metrics::with_recorder(|recorder| {
                let sizes = recorder.register_histogram(&key(), &METADATA);
                sizes.record(bytes as f64);
            }),
        }
    }

    /// Returns the current trace for the exemplar of a request whose handler ends. Called
    /// when a handler ends, because its request is counted later, when the handler's trace is
    /// no longer current.
    ///
    /// The latency of the request is not known yet. The source is called if the bucket of
    /// the handler's latency should get an exemplar, and otherwise for one request in every
    /// few milliseconds: the request may still become slow outside its handler.
    pub(crate) fn wanted_trace(
        &self,
        source: &ExemplarSource,
        end: End,
        elapsed: Elapsed,
    ) -> Option<TraceContext> {
        let Handles::Ours(ours) = &self.handles else {
            return None;
        };
        // A handler may end without the status that its response will have.
        let same_outcome = |other: &End| other.outcome_label() == end.outcome_label();
        let handles = ours.ends.get(&end).or_else(|| ours.ends.find(same_outcome));
        let Elapsed { nanos, end: now } = elapsed;
        let wants = handles.is_some_and(|handles| handles.latency.wants_exemplar(nanos, now));
        let is_wanted = wants || {
            let next = now.wrapping_add(intervals().retry);
            exemplars::claim(&ours.trace_due, now, next)
        };
        is_wanted.then(|| source.ask()).flatten()
    }

    /// Creates the series of an end with the value 0, before any call has ended this way.
    pub(crate) fn expect(&self, end: End) {
        if let Handles::Ours(ours) = &self.handles {
            ours.ends.add(end, self.end_handles(ours, end));
        }
    }

    #[cold]
    fn first_ended(&self, ours: &Ours, end: End, elapsed: Elapsed, trace: Trace) {
        let handles = self.end_handles(ours, end);
        ours.record(&handles, elapsed, trace);
        ours.ends.add(end, handles);
    }

    fn end_handles(&self, ours: &Ours, end: End) -> EndHandles {
        let EndKeys { requests, latency } = self.counted.ended(end);
        EndHandles {
            requests: direct::requests(ours.families, requests.as_ref()),
            latency: direct::latency(ours.families, &latency),
        }
    }

    /// Out of line, to keep the path of our own recorder small.
    #[inline(never)]
    fn ended_by_facade(&self, gauge: &Gauge, end: End, nanos: u64) {
        let EndKeys { requests, latency } = self.counted.ended(end);
        metrics::with_recorder(|recorder| {
            if let Some(requests) = requests {
                recorder.register_counter(&requests, &METADATA).increment(1);
            }
            let latency = recorder.register_histogram(&latency, &METADATA);
            latency.record(nanos as f64 / 1e9);
        });
        gauge.decrement(1.0);
    }
}

impl Ours {
    /// Records one call in all three metrics.
    #[inline(always)]
    fn record(&self, handles: &EndHandles, elapsed: Elapsed, trace: Trace) {
        let thread = Thread::current();
        handles.requests.count(thread);
        let exemplar = handles.latency.record(thread, elapsed.nanos, elapsed.end);
        self.in_progress.down(thread);
        if let Some(slot) = exemplar {
            handles.offer_exemplar(slot, elapsed, trace);
        }
    }
}

#[inline(never)]
fn up_by_facade(gauge: &Gauge) {
    gauge.increment(1.0);
}

/// The series that one call is counted in: cached by the call site, or owned by the call.
#[derive(Clone, Debug)]
pub(crate) enum SeriesRef {
    Kept(&'static Series),
    Own(Arc<Series>),
}

impl Deref for SeriesRef {
    type Target = Series;

    #[inline]
    fn deref(&self) -> &Series {
        match self {
            Self::Kept(series) => series,
            Self::Own(series) => series,
        }
    }
}
