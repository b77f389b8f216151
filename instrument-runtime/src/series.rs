//! The series of one label set: its gauge, and a counter and a histogram for
//! each way that its calls have ended.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};

use crate::current;
use crate::outcome::End;
use crate::recorder::direct::{self, Thread};

/// What a recorder is told of where the metrics come from.
static METADATA: Metadata<'static> = Metadata::new(
    "instrument_runtime",
    Level::INFO,
    Some("instrument_runtime"),
);

/// The handles of one label set, each taken from the recorder on first use.
#[derive(Debug)]
pub(crate) struct Series {
    /// All but the end's: method, endpoint and the function's own.
    labels: Vec<Label>,
    in_progress: InProgress,
    /// Handles stay good, because they come from the global recorder.
    kept: bool,
    ends: EndNode,
}

/// A list that only grows: a reader takes no lock, and the one or two ends
/// that a handler has come first.
#[derive(Debug, Default)]
struct EndNode(OnceLock<Box<(EndSeries, EndNode)>>);

#[derive(Debug)]
struct EndSeries {
    end: End,
    handles: EndHandles,
}

/// Straight to our own recorder where that is the global one; else what the
/// facade gives.
#[derive(Debug)]
enum InProgress {
    Direct(direct::InProgress),
    Facade(Gauge),
}

#[derive(Debug)]
enum EndHandles {
    Direct(direct::Requests, direct::Latency),
    Facade(Counter, Histogram),
}

impl Series {
    /// Handles to keep. `None` if the global recorder is out of reach.
    pub(crate) fn of_global(labels: Vec<Label>) -> Option<Self> {
        current::with_global(|recorder| Self::new(recorder, labels, true))
    }

    /// Handles for one call, from whatever recorder is current.
    pub(crate) fn of_current(labels: Vec<Label>) -> Self {
        metrics::with_recorder(|recorder| Self::new(recorder, labels, false))
    }

    fn new(recorder: &dyn Recorder, labels: Vec<Label>, kept: bool) -> Self {
        let key = Key::from_parts(
            current::names().requests_in_progress.clone(),
            labels.clone(),
        );
        let direct = kept.then(|| direct::in_progress(&key)).flatten();
        Self {
            in_progress: match direct {
                Some(direct) => InProgress::Direct(direct),
                None => InProgress::Facade(recorder.register_gauge(&key, &METADATA)),
            },
            labels,
            kept,
            ends: EndNode::default(),
        }
    }

    #[inline]
    pub(crate) fn started(&self) {
        match &self.in_progress {
            InProgress::Direct(gauge) => gauge.up(Thread::current()),
            InProgress::Facade(gauge) => up_by_facade(gauge),
        }
    }

    /// Takes a start back, for one that goes on in another series.
    pub(crate) fn moved_away(&self) {
        self.in_progress.down(Thread::current());
    }

    /// Counts a call that never was in this gauge.
    #[cfg(feature = "_layer")]
    pub(crate) fn ended_elsewhere(&self, end: End, nanos: u64) {
        self.started();
        self.ended(end, nanos);
    }

    #[inline(always)]
    pub(crate) fn ended(&self, end: End, nanos: u64) {
        let mut node = &self.ends;
        while let Some(found) = node.0.get() {
            if found.0.end == end {
                found.0.record(&self.in_progress, nanos);
                return;
            }
            node = &found.1;
        }
        let mut is_recorded = false;
        self.end_anew(node, end, |series| {
            series.record(&self.in_progress, nanos);
            is_recorded = true;
        });
        if !is_recorded {
            self.moved_away();
        }
    }

    /// Has the series of an end before a call ends so.
    pub(crate) fn expect(&self, end: End) {
        self.end_anew(&self.ends, end, |_| ());
    }

    #[cold]
    fn end_anew(&self, mut node: &EndNode, end: End, record: impl FnOnce(&EndSeries)) {
        let series = if self.kept {
            current::with_global(|recorder| self.end_series(recorder, end))
        } else {
            Some(metrics::with_recorder(|recorder| {
                self.end_series(recorder, end)
            }))
        };
        let Some(series) = series else {
            return;
        };
        record(&series);
        if !self.kept {
            return;
        }
        // Whoever loses the race for a node goes on to the next one.
        let mut fresh = Box::new((series, EndNode::default()));
        while let Err(lost) = node.0.set(fresh) {
            match node.0.get() {
                Some(found) if found.0.end != end => node = &found.1,
                _ => return,
            }
            fresh = lost;
        }
    }

    fn end_series(&self, recorder: &dyn Recorder, end: End) -> EndSeries {
        let names = current::names();
        let mut labels = self.labels.clone();
        labels.push(Label::from_static_parts(
            names.labels.outcome,
            end.outcome_label(),
        ));
        let latency = Key::from_parts(names.request_latency_seconds.clone(), labels.clone());
        if let Some(status) = end.http_status() {
            labels.push(Label::new(names.labels.http_status, status.to_string()));
        }
        if let Some(status) = end.grpc_status() {
            labels.push(Label::from_static_parts(names.labels.grpc_status, status));
        }
        let requests = Key::from_parts(names.requests_total.clone(), labels);
        let direct = self.kept.then(|| {
            Some(EndHandles::Direct(
                direct::requests(&requests)?,
                direct::latency(&latency)?,
            ))
        });
        EndSeries {
            end,
            handles: direct.flatten().unwrap_or_else(|| {
                EndHandles::Facade(
                    recorder.register_counter(&requests, &METADATA),
                    recorder.register_histogram(&latency, &METADATA),
                )
            }),
        }
    }
}

impl EndSeries {
    /// Counts a call, which leaves the gauge.
    #[inline(always)]
    fn record(&self, in_progress: &InProgress, nanos: u64) {
        match &self.handles {
            EndHandles::Direct(requests, latency) => {
                let thread = Thread::current();
                requests.count(thread);
                latency.record(thread, nanos);
                in_progress.down(thread);
            }
            EndHandles::Facade(requests, latency) => {
                by_facade(requests, latency, in_progress, nanos);
            }
        }
    }
}

/// Apart, so that what is done with our own recorder is not held up.
#[inline(never)]
fn by_facade(requests: &Counter, latency: &Histogram, in_progress: &InProgress, nanos: u64) {
    requests.increment(1);
    latency.record(nanos as f64 / 1e9);
    in_progress.down(Thread::current());
}

impl InProgress {
    #[inline]
    fn down(&self, thread: Thread) {
        match self {
            Self::Direct(gauge) => gauge.down(thread),
            Self::Facade(gauge) => down_by_facade(gauge),
        }
    }
}

#[inline(never)]
fn down_by_facade(gauge: &Gauge) {
    gauge.decrement(1.0);
}

#[inline(never)]
fn up_by_facade(gauge: &Gauge) {
    gauge.increment(1.0);
}

/// The series that one call counts into.
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
