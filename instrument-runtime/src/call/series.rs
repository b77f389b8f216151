//! The series of one label set: one gauge, and a counter and a histogram for each way in
//! which calls have ended. Requests with the metrics of OpenTelemetry's conventions have no
//! counter.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use metrics::{Gauge, Label, Level, Metadata};

use crate::call::clock::{self, Elapsed, Instant};
use crate::call::counted::{Counted, EndKeys};
use crate::call::global;
use crate::lock_free::list::List;
use crate::lock_free::sync::AtomicU64;
use crate::objective::Objective;
use crate::outcome::End;
use crate::recorder::direct::{self, OldestHandle, Place, Thread};
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

/// What a call must know from its start until its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started {
    pub(crate) at: Instant,
    /// Where the series remembers the start. `None` unless the age of the oldest call is
    /// turned on.
    pub(crate) place: Option<Place>,
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
    /// The same, if the age of the oldest call is turned on. A variant of its own, so that
    /// other calls do not pay for it.
    OursWithOldest(Ours, OldestHandle),
    /// The gauge of another recorder, for one call. It is held until the call ends, so
    /// that the call decrements the gauge that it incremented. The counter and the
    /// histogram are registered at the end.
    ///
    /// The recorder is our own for a series that must not be cached. Then there may be a
    /// handle for the age of the oldest call.
    Facade(Gauge, Option<OldestHandle>),
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
        let ours = Ours {
            families,
            in_progress: direct::in_progress(families, &counted.in_progress()),
            ends: List::default(),
            sizes: List::default(),
            objectives: List::default(),
            trace_due: AtomicU64::new(0),
        };
        let handles = match direct::oldest(families, || counted.oldest()) {
            None => Handles::Ours(ours),
            Some(oldest) => Handles::OursWithOldest(ours, oldest),
        };
        Some(Self { counted, handles })
    }

    /// Creates handles for one call, from the current recorder.
    pub(crate) fn of_current(counted: Counted) -> Self {
        let key = counted.in_progress();
        let gauge = metrics::with_recorder(|recorder| {
            let gauge = recorder.register_gauge(&key, &METADATA);
            global::describe_once(recorder);
            gauge
        });
        let oldest = direct::installed()
            .filter(|families| families.has_oldest() && global::is_ours())
            .and_then(|families| direct::oldest(families, || counted.oldest()));
        Self {
            counted,
            handles: Handles::Facade(gauge, oldest),
        }
    }

    /// Increments the gauge, and then starts the clock of a call, if the call needs no place.
    /// Otherwise does nothing: call [`started`](Self::started).
    #[inline(always)]
    pub(crate) fn started_without_place(&self) -> Option<Instant> {
        if let Handles::Ours(ours) = &self.handles {
            ours.in_progress.up(Thread::current());
            return Some(Instant::now());
        }
        None
    }

    /// Increments the gauge, and then starts the clock of a call.
    ///
    /// The place must be passed to [`ended`](Self::ended) or
    /// [`moved_away`](Self::moved_away), once.
    #[inline]
    pub(crate) fn started(&self) -> Started {
        match &self.handles {
            Handles::OursWithOldest(ours, oldest) => {
                let thread = Thread::current();
                ours.in_progress.up(thread);
                let at = Instant::now();
                let place = oldest.started(thread, at.raw());
                Started { at, place }
            }
            _ => {
                self.up();
                let at = Instant::now();
                let place = self.place(at);
                Started { at, place }
            }
        }
    }

    /// Increments the gauge for a call that has started earlier.
    ///
    /// The place must be passed to [`ended`](Self::ended) or
    /// [`moved_away`](Self::moved_away), once.
    pub(crate) fn started_at(&self, at: Instant) -> Option<Place> {
        self.up();
        self.place(at)
    }

    fn up(&self) {
        match &self.handles {
            Handles::Ours(ours) | Handles::OursWithOldest(ours, _) => {
                ours.in_progress.up(Thread::current());
            }
            Handles::Facade(gauge, _) => gauge.increment(1.0),
        }
    }

    fn oldest(&self) -> Option<&OldestHandle> {
        match &self.handles {
            Handles::Ours(_) => None,
            Handles::OursWithOldest(_, oldest) => Some(oldest),
            Handles::Facade(_, oldest) => oldest.as_ref(),
        }
    }

    /// Remembers the start of a call, if the age of the oldest call is turned on.
    fn place(&self, at: Instant) -> Option<Place> {
        self.oldest()?.started(Thread::current(), at.raw())
    }

    /// Forgets the start of a call.
    fn leave(&self, place: Option<Place>) {
        if let Some(oldest) = self.oldest() {
            leave(oldest, place);
        }
    }

    /// Decrements the gauge without counting an end, for a call that moves to another
    /// series.
    pub(crate) fn moved_away(&self, place: Option<Place>) {
        self.leave(place);
        match &self.handles {
            Handles::Ours(ours) | Handles::OursWithOldest(ours, _) => {
                ours.in_progress.down(Thread::current());
            }
            Handles::Facade(gauge, _) => gauge.decrement(1.0),
        }
    }

    /// Shows these objectives on the page, with the labels of this series. They replace those
    /// with the labels in `guesses`, which were on the page because nobody knew better.
    ///
    /// Does nothing without our own recorder. Does nothing either if the series is not cached,
    /// because its label values are too long or there are `max_series` series already.
    #[inline]
    pub(crate) fn show_objectives(
        &self,
        objectives: &'static [Objective],
        guesses: impl FnOnce() -> Vec<Vec<Label>>,
    ) {
        if !objectives.is_empty()
            && let Some(ours) = self.ours()
        {
            let list = objectives.as_ptr().addr();
            if ours.objectives.get(&list).is_none() {
                self.first_objectives(ours, objectives, &guesses());
                ours.objectives.add(list, ());
            }
        }
    }

    #[cold]
    fn first_objectives(&self, ours: &Ours, objectives: &[Objective], guesses: &[Vec<Label>]) {
        let on_page = ours.families.objectives();
        let labels: Vec<_> = self.counted.of_objective().collect();
        for objective in objectives {
            let mut is_on_page = false;
            for labels in &labels {
                is_on_page |= on_page.add(labels, objective);
            }
            if is_on_page {
                for guess in guesses {
                    on_page.withdraw(guess, objective);
                }
            }
        }
    }

    /// Returns the endpoint, unless no route has matched.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.counted.endpoint()
    }

    /// Counts a call that has ended and was never in this gauge.
    pub(crate) fn ended_elsewhere(&self, end: End, elapsed: Elapsed, trace: Trace) {
        self.up();
        self.ended(None, end, elapsed, trace);
    }

    /// Counts the end of a call, records its latency and decrements the gauge.
    #[inline(always)]
    pub(crate) fn ended(&self, place: Option<Place>, end: End, elapsed: Elapsed, trace: Trace) {
        let ours = match &self.handles {
            Handles::Ours(ours) => ours,
            Handles::OursWithOldest(ours, oldest) => {
                leave(oldest, place);
                ours
            }
            Handles::Facade(gauge, _) => {
                self.ended_by_facade(gauge, place, end, elapsed.nanos);
                return;
            }
        };
        match ours.ends.get(&end) {
            Some(handles) => ours.record(handles, elapsed, trace),
            None => self.first_ended(ours, end, elapsed, trace),
        }
    }

    /// Returns the handles of our own recorder that are cached.
    fn ours(&self) -> Option<&Ours> {
        match &self.handles {
            Handles::Ours(ours) | Handles::OursWithOldest(ours, _) => Some(ours),
            Handles::Facade(..) => None,
        }
    }

    /// Records the size of the response to a request that ended this way, in bytes.
    pub(crate) fn response_size(&self, end: End, bytes: u64) {
        let key = || self.counted.response_size(end);
        let Some(ours) = self.ours() else {
            metrics::with_recorder(|recorder| {
                let sizes = recorder.register_histogram(&key(), &METADATA);
                sizes.record(bytes as f64);
            });
            return;
        };
        match ours.sizes.get(&end) {
            Some(handle) => handle.record(Thread::current(), bytes),
            None => {
                let handle = direct::response_size(ours.families, &key());
                handle.record(Thread::current(), bytes);
                ours.sizes.add(end, handle);
            }
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
        let ours = self.ours()?;
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
        if let Some(ours) = self.ours() {
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
    fn ended_by_facade(&self, gauge: &Gauge, place: Option<Place>, end: End, nanos: u64) {
        self.leave(place);
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

/// Forgets the start of a call. Out of line, to keep the path of a call without a place small.
#[inline(never)]
fn leave(oldest: &OldestHandle, place: Option<Place>) {
    if let Some(place) = place {
        oldest.ended(Thread::current(), place);
    }
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

/// A call in the gauge of its series, from its start until its end.
#[derive(Debug)]
pub(crate) struct InProgress {
    series: SeriesRef,
    place: Option<Place>,
}

impl InProgress {
    /// Increments the gauge, and then starts the clock of the call.
    pub(crate) fn start(series: SeriesRef) -> (Self, Instant) {
        let Started { at, place } = series.started();
        (Self { series, place }, at)
    }

    /// Increments the gauge for a call that has started earlier.
    pub(crate) fn start_at(series: SeriesRef, at: Instant) -> Self {
        let place = series.started_at(at);
        Self { series, place }
    }

    pub(crate) fn series(&self) -> &SeriesRef {
        &self.series
    }

    /// Moves the call, which has started at `at`, to the gauge of another series.
    pub(crate) fn move_to(&mut self, to: SeriesRef, at: Instant) {
        if std::ptr::eq::<Series>(&*self.series, &*to) {
            return;
        }
        let Self { series, place } = std::mem::replace(self, Self::start_at(to, at));
        series.moved_away(place);
    }

    /// Counts the end of the call.
    pub(crate) fn end(self, end: End, elapsed: Elapsed, trace: Trace) {
        self.series.ended(self.place, end, elapsed, trace);
    }
}
