//! The series of one label set: its gauge, and a counter and a histogram for
//! each way that its calls have ended.

use std::ops::Deref;
use std::sync::Arc;

use metrics::{Gauge, Key, Label, Level, Metadata};

use crate::call::global;
use crate::lock_free::list::List;
use crate::outcome::End;
use crate::recorder::direct::{self, Thread};
use crate::settings;

/// Where the metrics come from, for a recorder that asks.
static METADATA: Metadata<'static> = Metadata::new(
    "instrument_runtime",
    Level::INFO,
    Some("instrument_runtime"),
);

/// The handles of one label set.
#[derive(Debug)]
pub(crate) struct Series {
    /// All but the end's: method, endpoint and the function's own.
    labels: Vec<Label>,
    handles: Handles,
}

#[derive(Debug)]
enum Handles {
    /// Of our own recorder. They are kept, since it never forgets a series.
    Ours(Ours),
    /// Of another recorder, for one call. Only the gauge is held, so that a call
    /// leaves the gauge that it entered; the rest is looked up at its end.
    Facade(Gauge),
}

#[derive(Debug)]
struct Ours {
    families: &'static direct::Families,
    in_progress: direct::InProgress,
    /// The one or two ends that most calls have come first.
    ends: List<End, EndHandles>,
}

#[derive(Debug)]
struct EndHandles {
    requests: direct::Requests,
    latency: direct::Latency,
}

impl Series {
    /// Handles to keep. `None` unless our own recorder is the global one.
    pub(crate) fn of_ours(labels: Vec<Label>) -> Option<Self> {
        let families = direct::installed()?;
        let in_progress = direct::in_progress(families, &in_progress_key(&labels));
        Some(Self {
            labels,
            handles: Handles::Ours(Ours {
                families,
                in_progress,
                ends: List::default(),
            }),
        })
    }

    /// Handles for one call, from the current recorder.
    pub(crate) fn of_current(labels: Vec<Label>) -> Self {
        let key = in_progress_key(&labels);
        let gauge = metrics::with_recorder(|recorder| {
            let gauge = recorder.register_gauge(&key, &METADATA);
            global::describe_once(recorder);
            gauge
        });
        Self {
            labels,
            handles: Handles::Facade(gauge),
        }
    }

    #[inline]
    pub(crate) fn started(&self) {
        match &self.handles {
            Handles::Ours(ours) => ours.in_progress.up(Thread::current()),
            Handles::Facade(gauge) => up_by_facade(gauge),
        }
    }

    /// Takes a start back, for a call that goes on in another series.
    pub(crate) fn moved_away(&self) {
        match &self.handles {
            Handles::Ours(ours) => ours.in_progress.down(Thread::current()),
            Handles::Facade(gauge) => gauge.decrement(1.0),
        }
    }

    /// Counts a call that never was in this gauge.
    pub(crate) fn ended_elsewhere(&self, end: End, nanos: u64) {
        self.started();
        self.ended(end, nanos);
    }

    #[inline(always)]
    pub(crate) fn ended(&self, end: End, nanos: u64) {
        match &self.handles {
            Handles::Ours(ours) => match ours.ends.get(&end) {
                Some(handles) => ours.record(handles, nanos),
                None => self.first_ended(ours, end, nanos),
            },
            Handles::Facade(gauge) => self.ended_by_facade(gauge, end, nanos),
        }
    }

    /// Shows the series of an end before a call ends so.
    pub(crate) fn expect(&self, end: End) {
        if let Handles::Ours(ours) = &self.handles {
            ours.ends.add(end, self.end_handles(ours, end));
        }
    }

    #[cold]
    fn first_ended(&self, ours: &Ours, end: End, nanos: u64) {
        let handles = self.end_handles(ours, end);
        ours.record(&handles, nanos);
        ours.ends.add(end, handles);
    }

    fn end_handles(&self, ours: &Ours, end: End) -> EndHandles {
        let (requests, latency) = self.end_keys(end);
        EndHandles {
            requests: direct::requests(ours.families, &requests),
            latency: direct::latency(ours.families, &latency),
        }
    }

    /// Apart, so that a call that our own recorder takes is not held up.
    #[inline(never)]
    fn ended_by_facade(&self, gauge: &Gauge, end: End, nanos: u64) {
        let (requests, latency) = self.end_keys(end);
        metrics::with_recorder(|recorder| {
            let requests = recorder.register_counter(&requests, &METADATA);
            let latency = recorder.register_histogram(&latency, &METADATA);
            requests.increment(1);
            latency.record(nanos as f64 / 1e9);
        });
        gauge.decrement(1.0);
    }

    /// The keys of the counter and the histogram.
    fn end_keys(&self, end: End) -> (Key, Key) {
        let names = settings::names();
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
        (requests, latency)
    }
}

fn in_progress_key(labels: &[Label]) -> Key {
    Key::from_parts(
        settings::names().requests_in_progress.clone(),
        labels.to_vec(),
    )
}

impl Ours {
    /// Counts a call, which leaves the gauge.
    #[inline(always)]
    fn record(&self, handles: &EndHandles, nanos: u64) {
        let thread = Thread::current();
        handles.requests.count(thread);
        handles.latency.record(thread, nanos);
        self.in_progress.down(thread);
    }
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
