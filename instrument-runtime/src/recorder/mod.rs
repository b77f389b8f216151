//! The recorder behind the page: the three metrics in storage of our own, and
//! in the stock recorder whatever else the application records.

mod counter;
pub(crate) mod direct;
mod family;
mod gauge;
mod histogram;
mod labels;
mod merge;
mod registry;
mod shards;
#[cfg(test)]
mod tests;
mod text;
mod threads;

use std::sync::Arc;

use metrics::{Key, KeyName, Metadata, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::current;
use crate::exporter::health;
use crate::recorder::counter::Counter;
use crate::recorder::family::{Family, WriteFamily};
use crate::recorder::gauge::Gauge;
use crate::recorder::histogram::{Buckets, Histogram};
use crate::recorder::labels::GlobalLabels;
use crate::recorder::merge::StockFamily;
use crate::recorder::registry::Registry;
use crate::settings::Settings;

/// Takes what the call sites and the application record.
pub(crate) struct Recorder {
    ours: Arc<Families>,
    stock: PrometheusRecorder,
}

/// What was recorded, as a page.
#[derive(Clone)]
pub(crate) struct Page {
    ours: Arc<Families>,
    stock: PrometheusHandle,
}

/// The three metrics. A metric is one of them by its name and its kind.
#[derive(Debug)]
pub(crate) struct Families {
    requests: Family<Counter>,
    latency: Family<Histogram>,
    in_progress: Family<Gauge>,
}

impl Families {
    fn new(settings: &Settings) -> Self {
        let Settings {
            names,
            buckets,
            global_labels,
            max_series,
        } = settings;
        let shards = shards::shard_count();
        let globals = Arc::new(GlobalLabels::new(global_labels));
        let buckets = Arc::new(Buckets::new(buckets));
        Self {
            requests: Family::new(
                &names.requests_total,
                &globals,
                Registry::new((), *max_series, shards),
            ),
            latency: Family::new(
                &names.request_latency_seconds,
                &globals,
                Registry::new(buckets, *max_series, shards),
            ),
            in_progress: Family::new(
                &names.requests_in_progress,
                &globals,
                Registry::new((), *max_series, shards),
            ),
        }
    }

    fn all(&self) -> [&dyn WriteFamily; 3] {
        [&self.requests, &self.latency, &self.in_progress]
    }

    /// Whether a sample of this name, or a family, would stand among ours.
    fn uses(&self, name: &str) -> bool {
        let of_latency = name
            .strip_prefix(self.latency.name())
            .is_some_and(|suffix| matches!(suffix, "_bucket" | "_sum" | "_count"));
        of_latency || self.all().iter().any(|family| family.name() == name)
    }
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
        let recorder = Self {
            ours: Arc::new(Families::new(&settings)),
            stock: builder.build_recorder(),
        };
        current::describe(&recorder, &settings.names);
        recorder
    }

    pub(crate) fn families(&self) -> Arc<Families> {
        Arc::clone(&self.ours)
    }

    pub(crate) fn page(&self) -> Page {
        Page {
            ours: Arc::clone(&self.ours),
            stock: self.stock.handle(),
        }
    }
}

impl Page {
    /// The exposition text: families by name, series by labels. What `own`
    /// tells, after everything else is written, stands where a family called
    /// `place` would.
    pub(crate) fn render_with(&self, place: &str, own: impl FnOnce() -> String) -> String {
        enum Part<'a> {
            Ours(&'a dyn WriteFamily),
            Stock(StockFamily<'a>),
        }
        impl Part<'_> {
            fn name(&self) -> &str {
                match self {
                    Self::Ours(family) => family.name(),
                    Self::Stock(family) => family.name,
                }
            }
        }

        #[cfg(feature = "process")]
        crate::process::collect();
        let stock = self.stock.render();
        let ours = self.ours.all().into_iter().map(Part::Ours);
        // The application may use one of our names for another kind of metric,
        // and a page on which a family stands twice is refused as a whole.
        let others = merge::families(&stock)
            .into_iter()
            .filter(|family| !self.ours.uses(family.name) && !health::is_taken(family.name))
            .map(Part::Stock);
        let mut parts: Vec<Part<'_>> = ours.chain(others).collect();
        parts.sort_by(|one, other| one.name().cmp(other.name()));

        let mut page = String::with_capacity(stock.len());
        let mut at = None;
        for part in parts {
            if part.name() >= place {
                at.get_or_insert(page.len());
            }
            match part {
                Part::Ours(family) => family.write(&mut page),
                Part::Stock(family) => family.write(&mut page),
            }
        }
        page.insert_str(at.unwrap_or(page.len()), &own());
        page
    }

    /// Folds the samples of the application's own histograms into their
    /// buckets; until then each takes up room.
    pub(crate) fn run_upkeep(&self) {
        self.stock.run_upkeep();
    }

    /// How many series the three metrics have.
    pub(crate) fn series(&self) -> usize {
        let Families {
            requests,
            latency,
            in_progress,
        } = &*self.ours;
        requests.len() + latency.len() + in_progress.len()
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        if self.ours.requests.is_named(key.as_str()) {
            self.ours.requests.describe(description);
        } else {
            self.stock.describe_counter(key, unit, description);
        }
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        if self.ours.in_progress.is_named(key.as_str()) {
            self.ours.in_progress.describe(description);
        } else {
            self.stock.describe_gauge(key, unit, description);
        }
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        if self.ours.latency.is_named(key.as_str()) {
            self.ours.latency.describe(description);
        } else {
            self.stock.describe_histogram(key, unit, description);
        }
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> metrics::Counter {
        if self.ours.requests.is_named(key.name()) {
            self.ours.requests.series(key).into()
        } else {
            self.stock.register_counter(key, metadata)
        }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> metrics::Gauge {
        if self.ours.in_progress.is_named(key.name()) {
            self.ours.in_progress.series(key).into()
        } else {
            self.stock.register_gauge(key, metadata)
        }
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> metrics::Histogram {
        if self.ours.latency.is_named(key.name()) {
            self.ours.latency.series(key).into()
        } else {
            self.stock.register_histogram(key, metadata)
        }
    }
}
