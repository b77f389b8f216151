//! The recorder behind the page: the three metrics in storage of our own, and
//! in the stock recorder whatever else the application records.

mod counter;
pub(crate) mod direct;
mod families;
mod family;
mod gauge;
mod histogram;
mod labels;
mod place;
mod registry;
mod samples;
mod shards;
mod text;
mod threads;

pub(crate) use self::families::Families;
pub(crate) use self::family::WriteFamily;
pub(crate) use self::place::is_written_as;

use std::sync::Arc;

use metrics::{Key, KeyName, Metadata, SharedString, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::names;
use crate::recorder::place::{Kind, Place};
use crate::settings::Settings;

/// Takes what the call sites and the application record.
pub(crate) struct Recorder {
    ours: Arc<Families>,
    stock: PrometheusRecorder,
}

impl Recorder {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        // The builder refuses an empty list, which the settings rule out.
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

    /// Renders what the application recorded besides the three metrics.
    pub(crate) fn stock(&self) -> PrometheusHandle {
        self.stock.handle()
    }
}

impl Recorder {
    /// A call has reached this recorder through the facade. From now on calls go
    /// straight to its families, if it is the global recorder.
    fn is_reached(&self) {
        if direct::installed().is_some_and(|ours| std::ptr::eq(ours, &*self.ours)) {
            direct::set_reached(self);
        }
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        match self.ours.place(key.as_str(), Kind::Counter) {
            Place::Ours => self.ours.requests.describe(description),
            Place::Stock => self.stock.describe_counter(key, unit, description),
            Place::Nowhere => {}
        }
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        match self.ours.place(key.as_str(), Kind::Gauge) {
            Place::Ours => self.ours.in_progress.describe(description),
            Place::Stock => self.stock.describe_gauge(key, unit, description),
            Place::Nowhere => {}
        }
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        match self.ours.place(key.as_str(), Kind::Histogram) {
            Place::Ours => self.ours.latency.describe(description),
            Place::Stock => self.stock.describe_histogram(key, unit, description),
            Place::Nowhere => {}
        }
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> metrics::Counter {
        match self.ours.place(key.name(), Kind::Counter) {
            Place::Ours => self.ours.requests.series(key).into(),
            Place::Stock => self.stock.register_counter(key, metadata),
            Place::Nowhere => {
                place::report_missing(key.name(), Kind::Counter);
                metrics::Counter::noop()
            }
        }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> metrics::Gauge {
        match self.ours.place(key.name(), Kind::Gauge) {
            Place::Ours => {
                self.is_reached();
                self.ours.in_progress.series(key).into()
            }
            Place::Stock => self.stock.register_gauge(key, metadata),
            Place::Nowhere => {
                place::report_missing(key.name(), Kind::Gauge);
                metrics::Gauge::noop()
            }
        }
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> metrics::Histogram {
        match self.ours.place(key.name(), Kind::Histogram) {
            Place::Ours => self.ours.latency.series(key).into(),
            Place::Stock => self.stock.register_histogram(key, metadata),
            Place::Nowhere => {
                place::report_missing(key.name(), Kind::Histogram);
                metrics::Histogram::noop()
            }
        }
    }
}
