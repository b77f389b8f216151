//! The recorder behind the page: the three metrics in storage of our own, and
//! in the stock recorder whatever else the application records.

mod counter;
pub(crate) mod direct;
mod family;
mod gauge;
mod histogram;
mod labels;
mod merge;
mod place;
mod registry;
mod shards;
#[cfg(test)]
mod tests;
mod text;
mod threads;

pub(crate) use self::place::is_written_as;

use std::sync::Arc;

use metrics::{Key, KeyName, Metadata, SharedString, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::current;
use crate::recorder::counter::Counter;
use crate::recorder::family::{Family, WriteFamily};
use crate::recorder::gauge::Gauge;
use crate::recorder::histogram::{Buckets, Histogram};
use crate::recorder::labels::GlobalLabels;
use crate::recorder::merge::StockFamily;
use crate::recorder::place::{Kind, Place};
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
    #[cfg(feature = "process")]
    shows_process: bool,
}

/// The three metrics. A metric is one of them by its name and its kind.
#[derive(Debug)]
pub(crate) struct Families {
    requests: Family<Counter>,
    latency: Family<Histogram>,
    in_progress: Family<Gauge>,
    #[cfg(feature = "process")]
    globals: Arc<GlobalLabels>,
}

impl Families {
    fn new(settings: &Settings) -> Self {
        let Settings {
            names,
            buckets,
            other_buckets: _,
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
            #[cfg(feature = "process")]
            globals,
        }
    }

    fn all(&self) -> [&dyn WriteFamily; 3] {
        [&self.requests, &self.latency, &self.in_progress]
    }
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
            #[cfg(feature = "process")]
            shows_process: false,
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
            #[cfg(feature = "process")]
            Process(crate::process::Family),
            Stock(StockFamily<'a>),
        }
        impl Part<'_> {
            fn name(&self) -> &str {
                match self {
                    Self::Ours(family) => family.name(),
                    #[cfg(feature = "process")]
                    Self::Process(family) => family.name,
                    Self::Stock(family) => family.name,
                }
            }
        }

        let stock = self.stock.render();
        let mut parts: Vec<Part<'_>> = self.ours.all().into_iter().map(Part::Ours).collect();
        #[cfg(feature = "process")]
        if self.shows_process {
            parts.extend(crate::process::families().map(Part::Process));
        }
        parts.extend(merge::families(&stock).into_iter().map(Part::Stock));
        // A page on which a family stands twice is refused as a whole. The sort keeps
        // the order of equal names, so the application's comes last and goes.
        parts.sort_by(|one, other| one.name().cmp(other.name()));
        parts.dedup_by(|next, kept| next.name() == kept.name());

        let mut page = String::with_capacity(stock.len());
        let mut at = None;
        for part in parts {
            if part.name() >= place {
                at.get_or_insert(page.len());
            }
            match part {
                Part::Ours(family) => family.write(&mut page),
                #[cfg(feature = "process")]
                Part::Process(family) => family.write(&mut page, self.ours.globals.text()),
                Part::Stock(family) => family.write(&mut page),
            }
        }
        page.insert_str(at.unwrap_or(page.len()), &own());
        page
    }

    /// Shows the process's own metrics too.
    #[cfg(feature = "process")]
    pub(crate) fn with_process(mut self) -> Self {
        self.shows_process = true;
        self
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
            ..
        } = &*self.ours;
        requests.len() + latency.len() + in_progress.len()
    }
}

impl Recorder {
    /// A call has reached this recorder through the facade. From now on calls go
    /// straight to its families, if it is the global recorder.
    fn is_reached(&self) {
        if direct::installed().is_some_and(|ours| std::ptr::eq(ours, &*self.ours)) {
            current::set_ours(self);
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
