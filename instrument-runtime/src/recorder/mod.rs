//! The recorder behind the page.

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::current;
use crate::settings::Settings;

/// Takes what the call sites and the application record.
pub(crate) struct Recorder {
    stock: PrometheusRecorder,
}

/// What was recorded, as a page.
#[derive(Clone)]
pub(crate) struct Page {
    stock: PrometheusHandle,
}

impl Recorder {
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        let mut builder = PrometheusBuilder::new();
        // Refused only when there is no bucket, which the settings rule out.
        if let Ok(with_buckets) = PrometheusBuilder::new().set_buckets(&settings.buckets) {
            builder = with_buckets;
        }
        for (name, value) in &settings.global_labels {
            builder = builder.add_global_label(name, value);
        }
        let stock = builder.build_recorder();
        current::describe(&stock, &settings.names);
        Self { stock }
    }

    pub(crate) fn page(&self) -> Page {
        Page {
            stock: self.stock.handle(),
        }
    }
}

impl Page {
    /// The exposition text.
    pub(crate) fn render(&self) -> String {
        self.stock.render()
    }

    /// Folds the samples of the application's own histograms into their
    /// buckets; until then each takes up room.
    pub(crate) fn run_upkeep(&self) {
        self.stock.run_upkeep();
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.stock.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.stock.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.stock.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.stock.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.stock.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.stock.register_histogram(key, metadata)
    }
}
