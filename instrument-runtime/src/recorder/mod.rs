//! The recorder: stores the call metrics itself (`requests_total`,
//! `request_latency_seconds`, `requests_in_progress` and, if it is turned on,
//! `requests_oldest_in_progress_seconds`, unless they are renamed, and the metrics of
//! OpenTelemetry's conventions), and passes every other metric of the application on to the
//! stock recorder, `metrics_exporter_prometheus`.
//!
//! ```text
//! place      which recorder a metric belongs to: ours, the stock recorder, or neither
//! direct     handles that call sites use instead of the `metrics` facade
//! objectives the targets of objectives
//!
//! families   the call metrics
//! family     one metric: its name, its HELP text and its series
//! registry   the series of a metric, by label set, up to a limit
//! labels     label sets
//! label_text labels as text
//!
//! counter    a sharded counter
//! gauge      a sharded gauge
//! oldest     the age of the oldest call in progress, from the starts of all calls in progress
//! histogram  a sharded histogram of durations
//! native     the exponential buckets of native histograms
//! exemplars  the traces of single calls, by bucket
//! shards     the storage of the instruments: 64-bit words, sharded by thread
//! threads    thread numbers, which select the shard that a thread writes to
//!
//! point      the value of a series at one moment, which the page writes
//! number     numbers and times as they are on the page
//! ```

mod counter;
pub(crate) mod direct;
pub(crate) mod exemplars;
mod families;
mod family;
mod gauge;
mod histogram;
pub(crate) mod label_text;
mod labels;
pub(crate) mod native;
pub(crate) mod number;
pub(crate) mod objectives;
mod oldest;
mod place;
pub(crate) mod point;
mod registry;
mod shards;
mod threads;

pub(crate) use self::families::Families;
pub(crate) use self::family::ReadFamily;
pub(crate) use self::place::is_written_as;

use std::sync::Arc;

use metrics::{Key, KeyName, Metadata, SharedString, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::names;
use crate::recorder::place::{MetricKind, Place};
use crate::settings::Settings;

/// The [`metrics::Recorder`] that `init` installs.
pub(crate) struct Recorder {
    ours: Arc<Families>,
    stock: PrometheusRecorder,
}

impl Recorder {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        // `set_buckets` fails only for an empty list, which `Settings` cannot hold.
        let mut builder = PrometheusBuilder::new()
            .set_buckets(&settings.buckets)
            .unwrap_or_default();
        for (metric, bounds) in &settings.other_buckets {
            let metric = Matcher::Full(metric.clone());
            builder = builder
                .set_buckets_for_metric(metric, bounds)
                .unwrap_or_default();
        }
        for (name, value) in &settings.global_labels {
            builder = builder.add_global_label(name, value);
        }
        let recorder = Self {
            ours: Arc::new(Families::new(&settings)),
            stock: builder.build_recorder(),
        };
        names::describe(&recorder, &settings.names);
        recorder
    }

    pub(crate) fn families(&self) -> Arc<Families> {
        Arc::clone(&self.ours)
    }

    /// Returns a handle that renders the metrics in the stock recorder.
    pub(crate) fn stock(&self) -> PrometheusHandle {
        self.stock.handle()
    }
}

impl Recorder {
    /// Records that the `metrics` facade has registered a handle with this recorder. If
    /// this is the global recorder, call sites use its families directly from now on.
    fn is_reached(&self) {
        if direct::installed().is_some_and(|ours| std::ptr::eq(ours, &*self.ours)) {
            direct::set_reached(self);
        }
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        match self.ours.place(key.as_str(), MetricKind::Counter) {
            Place::Ours => self.ours.requests.describe(description),
            Place::Stock => self.stock.describe_counter(key, unit, description),
            Place::Nowhere => {}
        }
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        match self.ours.place(key.as_str(), MetricKind::Gauge) {
            Place::Ours => self.ours.gauge(key.as_str()).describe(description),
            Place::Stock => self.stock.describe_gauge(key, unit, description),
            Place::Nowhere => {}
        }
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        match self.ours.place(key.as_str(), MetricKind::Histogram) {
            Place::Ours => self.ours.histogram(key.as_str()).describe(description),
            Place::Stock => self.stock.describe_histogram(key, unit, description),
            Place::Nowhere => {}
        }
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> metrics::Counter {
        match self.ours.place(key.name(), MetricKind::Counter) {
            Place::Ours => self.ours.requests.series(key).into(),
            Place::Stock => self.stock.register_counter(key, metadata),
            Place::Nowhere => {
                place::report_missing(key.name(), MetricKind::Counter);
                metrics::Counter::noop()
            }
        }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> metrics::Gauge {
        match self.ours.place(key.name(), MetricKind::Gauge) {
            Place::Ours => {
                self.is_reached();
                self.ours.gauge(key.name()).series(key).into()
            }
            Place::Stock => self.stock.register_gauge(key, metadata),
            Place::Nowhere => {
                place::report_missing(key.name(), MetricKind::Gauge);
                metrics::Gauge::noop()
            }
        }
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> metrics::Histogram {
        match self.ours.place(key.name(), MetricKind::Histogram) {
            Place::Ours => self.ours.histogram(key.name()).series(key).into(),
            Place::Stock => self.stock.register_histogram(key, metadata),
            Place::Nowhere => {
                place::report_missing(key.name(), MetricKind::Histogram);
                metrics::Histogram::noop()
            }
        }
    }
}
