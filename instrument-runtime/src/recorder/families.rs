//! The call metrics of a recorder: the three metrics, the age of the oldest call in progress,
//! and the metrics of OpenTelemetry's conventions.

use std::sync::Arc;

#[cfg(feature = "tokio")]
use metrics::{Key, Label};

use crate::recorder::counter::Counter;
use crate::recorder::family::{Family, ReadFamily};
use crate::recorder::gauge::Gauge;
use crate::recorder::histogram::{Buckets, Histogram};
use crate::recorder::labels::{GlobalLabels, LabelSet};
use crate::recorder::number::{Measure, UnixTime};
use crate::recorder::objectives::Objectives;
use crate::recorder::oldest::Oldest;
use crate::recorder::place::is_written_as;
use crate::recorder::registry::{Cell, Registry};
use crate::recorder::shards::shard_count;
use crate::settings::Settings;
use crate::{conventions, names};

/// The call metrics. If the application registers a metric with the name and the
/// kind of one of these, it gets a series of that call metric, except for the age of the
/// oldest call, which nobody can set.
#[derive(Debug)]
pub(crate) struct Families {
    pub(super) requests: Family<Counter>,
    pub(super) latency: Family<Histogram>,
    pub(super) in_progress: Family<Gauge>,
    /// Has series only if a layer measures response sizes.
    response_sizes: Family<Histogram>,
    /// `None` unless it is turned on.
    pub(super) oldest: Option<Family<Oldest>>,
    /// `None` unless the names are those of the conventions.
    conventions: Option<Conventions>,
    /// A counter that is not on the page.
    uncounted: Registry<Counter>,
    objectives: Objectives,
    /// The labels of `target_info`, as text.
    target_info: String,
    /// The time at which the recorder was created.
    started: UnixTime,
    /// The maximum number of series of each metric.
    max_series: usize,
    globals: Arc<GlobalLabels>,
}

/// The metrics of OpenTelemetry's conventions.
#[derive(Debug)]
struct Conventions {
    http: Family<Histogram>,
    http_active: Family<Gauge>,
    http_response_sizes: Family<Histogram>,
    rpc: Family<Histogram>,
}

impl Families {
    pub(super) fn new(settings: &Settings) -> Self {
        let Settings {
            names,
            buckets: _,
            latency_buckets,
            convention_buckets,
            size_buckets,
            other_buckets: _,
            global_labels,
            target_info,
            max_series,
            known_methods: _,
            objectives,
            objectives_of_routes: _,
            native_histograms,
            exemplars,
            oldest_in_progress,
            prometheus_url: _,
        } = settings;
        let shards = shard_count();
        let globals = Arc::new(GlobalLabels::new(global_labels));
        let layout = |measure: Measure, bounds: &[f64]| {
            let mut buckets = Buckets::new(measure, bounds);
            if *native_histograms {
                buckets = buckets.with_native(shards);
            }
            if exemplars.is_some() {
                buckets = buckets.with_exemplars();
            }
            Arc::new(buckets)
        };
        let histogram = |name: &str, buckets: &Arc<Buckets>| {
            let registry = Registry::new(Arc::clone(buckets), *max_series, shards);
            Family::new(name, &globals, registry)
        };
        let gauge =
            |name: &str| Family::new(name, &globals, Registry::new((), *max_series, shards));
        let size_buckets = layout(Measure::Size, size_buckets);
        let conventions = names.has_conventions.then(|| {
            let buckets = layout(Measure::Duration, convention_buckets);
            Conventions {
                http: histogram(conventions::HTTP_DURATION, &buckets),
                http_active: gauge(conventions::HTTP_ACTIVE),
                http_response_sizes: histogram(conventions::HTTP_RESPONSE_SIZE, &size_buckets),
                rpc: histogram(conventions::RPC_DURATION, &buckets),
            }
        });
        let oldest = oldest_in_progress.map(|age| {
            let registry = Registry::new(age, *max_series, shards);
            let family = Family::new(
                &names.requests_oldest_in_progress_seconds,
                &globals,
                registry,
            );
            // Not in `names::describe`, because no other recorder has this metric.
            family.describe(names::OLDEST_HELP.into());
            family
        });
        Self {
            requests: Family::new(
                &names.requests_total,
                &globals,
                Registry::new((), *max_series, shards),
            ),
            latency: histogram(
                &names.request_latency_seconds,
                &layout(Measure::Duration, latency_buckets),
            ),
            in_progress: gauge(&names.requests_in_progress),
            response_sizes: histogram(&names.response_size_bytes, &size_buckets),
            oldest,
            conventions,
            uncounted: Registry::new((), 1, shards),
            objectives: Objectives::new(objectives, &globals, *max_series),
            target_info: GlobalLabels::new(target_info).text().to_owned(),
            started: UnixTime::now(),
            max_series: *max_series,
            globals,
        }
    }

    /// Returns all families of calls.
    pub(super) fn families(&self) -> impl Iterator<Item = &dyn ReadFamily> {
        let oldest = self.oldest.iter().map(|family| family as &dyn ReadFamily);
        self.open_families().chain(oldest)
    }

    /// Returns the families whose series the application may register, too.
    pub(super) fn open_families(&self) -> impl Iterator<Item = &dyn ReadFamily> {
        let ours: [&dyn ReadFamily; 4] = [
            &self.requests,
            &self.latency,
            &self.in_progress,
            &self.response_sizes,
        ];
        let conventions = self.conventions.iter().flat_map(|conventions| {
            let all: [&dyn ReadFamily; 4] = [
                &conventions.http,
                &conventions.http_active,
                &conventions.http_response_sizes,
                &conventions.rpc,
            ];
            all
        });
        ours.into_iter().chain(conventions)
    }

    /// Returns the families on the page. Response sizes are there if a layer measures them,
    /// and objectives if there are any. With the conventions, a family without series is not
    /// there: few applications have requests of both protocols and other calls.
    pub(crate) fn on_page(&self) -> impl Iterator<Item = &dyn ReadFamily> {
        let shows_all = self.conventions.is_none();
        let is_optional = |family: &dyn ReadFamily| family.name() == self.response_sizes.name();
        let of_calls = self
            .families()
            .filter(move |family| shows_all && !is_optional(*family) || family.len() > 0);
        let objectives: [&dyn ReadFamily; 1] = [&self.objectives];
        of_calls.chain(objectives.into_iter().filter(|family| family.len() > 0))
    }

    /// Returns the targets of objectives.
    pub(crate) fn objectives(&self) -> &Objectives {
        &self.objectives
    }

    /// Returns the number of series in all metrics, overflow series included.
    pub(crate) fn series(&self) -> usize {
        self.families().map(ReadFamily::len).sum()
    }

    /// Returns the histogram with this name. [`place`](Self::place) says whether there is
    /// one.
    pub(super) fn histogram(&self, name: &str) -> &Family<Histogram> {
        let conventions = self.conventions.iter();
        let of_conventions = conventions.flat_map(|conventions| {
            [
                &conventions.http,
                &conventions.http_response_sizes,
                &conventions.rpc,
            ]
        });
        let mut histograms = of_conventions.chain([&self.response_sizes]);
        histograms
            .find(|family| is_written_as(name, family.name()))
            .unwrap_or(&self.latency)
    }

    /// Returns the gauge with this name. [`place`](Self::place) says whether there is one.
    pub(super) fn gauge(&self, name: &str) -> &Family<Gauge> {
        let mut gauges = self
            .conventions
            .iter()
            .map(|conventions| &conventions.http_active);
        gauges
            .find(|family| is_written_as(name, family.name()))
            .unwrap_or(&self.in_progress)
    }

    /// Returns whether the age of the oldest call is turned on.
    pub(crate) fn has_oldest(&self) -> bool {
        self.oldest.is_some()
    }

    /// Returns a counter that is not on the page.
    pub(super) fn uncounted(&self) -> Arc<Cell<Counter>> {
        self.uncounted.series(LabelSet::default())
    }

    /// Returns the labels of `target_info` without braces; empty if there is no such
    /// metric.
    pub(crate) fn target_info(&self) -> &str {
        &self.target_info
    }

    /// Returns the time at which the recorder was created.
    pub(crate) fn started(&self) -> UnixTime {
        self.started
    }

    /// Returns the maximum number of series of each metric, not counting the overflow series.
    pub(crate) fn max_series(&self) -> usize {
        self.max_series
    }

    /// Returns the text of the global labels, without braces.
    pub(crate) fn global_labels(&self) -> &str {
        self.globals.text()
    }

    /// Returns the text of the global labels and of one more label, without braces. That
    /// label overrides the global label of the same name.
    #[cfg(feature = "tokio")]
    pub(crate) fn labels_with(&self, name: &'static str, value: &'static str) -> String {
        let key = Key::from_parts("", vec![Label::new(name, value)]);
        let mut text = String::new();
        LabelSet::of(&key, &self.globals).push_text(&mut text, &self.globals);
        text
    }
}
