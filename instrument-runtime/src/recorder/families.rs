//! The three call metrics of a recorder.

use std::sync::Arc;

use crate::recorder::counter::Counter;
use crate::recorder::family::{Family, ReadFamily};
use crate::recorder::gauge::Gauge;
use crate::recorder::histogram::{Buckets, LatencyHistogram};
use crate::recorder::labels::GlobalLabels;
use crate::recorder::number::UnixTime;
use crate::recorder::registry::Registry;
use crate::recorder::shards::shard_count;
use crate::settings::Settings;

/// The three call metrics. If the application registers a metric with the name and the
/// kind of one of these, it gets a series of that call metric.
#[derive(Debug)]
pub(crate) struct Families {
    pub(super) requests: Family<Counter>,
    pub(super) latency: Family<LatencyHistogram>,
    pub(super) in_progress: Family<Gauge>,
    /// The labels of `target_info`, as text.
    target_info: String,
    /// The time at which the recorder was created.
    started: UnixTime,
    #[cfg(feature = "process")]
    globals: Arc<GlobalLabels>,
}

impl Families {
    pub(super) fn new(settings: &Settings) -> Self {
        let Settings {
            names,
            buckets,
            other_buckets: _,
            global_labels,
            target_info,
            max_series,
            known_methods: _,
            native_histograms,
            exemplars,
        } = settings;
        let shards = shard_count();
        let globals = Arc::new(GlobalLabels::new(global_labels));
        let buckets = Buckets::new(buckets);
        let buckets = if *native_histograms {
            buckets.with_native(shards)
        } else {
            buckets
        };
        let buckets = if exemplars.is_some() {
            buckets.with_exemplars()
        } else {
            buckets
        };
        let buckets = Arc::new(buckets);
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
            target_info: GlobalLabels::new(target_info).text().to_owned(),
            started: UnixTime::now(),
            #[cfg(feature = "process")]
            globals,
        }
    }

    /// Returns all three families, for the page.
    pub(crate) fn all(&self) -> [&dyn ReadFamily; 3] {
        [&self.requests, &self.latency, &self.in_progress]
    }

    /// Returns the number of series in all three metrics, overflow series included.
    pub(crate) fn series(&self) -> usize {
        let Self {
            requests,
            latency,
            in_progress,
            ..
        } = self;
        requests.len() + latency.len() + in_progress.len()
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

    /// Returns the text of the global labels, without braces.
    #[cfg(feature = "process")]
    pub(crate) fn global_labels(&self) -> &str {
        self.globals.text()
    }
}
