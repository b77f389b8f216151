//! Reads from a metrics page what the tables say.

use std::collections::{BTreeMap, BTreeSet};

use instrument_tests::page::Page;

use crate::chapter::{Metric, Metrics, Request, Requests};

/// How often each series has been counted, by the values of its labels. Without the labels
/// that are the same on all series.
pub(crate) type Series = BTreeMap<BTreeMap<String, String>, u64>;

/// What a program counts, or should have counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: Series,
    pub(crate) latencies: Series,
    /// `None` if there is no gauge.
    pub(crate) in_flight: Option<f64>,
}

impl Counts {
    /// Returns what differs from `expected`.
    pub(crate) fn differences(&self, expected: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        for (what, found, expected) in [
            ("requests", &self.requests, &expected.requests),
            ("latencies", &self.latencies, &expected.latencies),
        ] {
            let all: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
            for labels in all {
                let (found, expected) = (found.get(labels), expected.get(labels));
                if found != expected {
                    differences.push(format!("{what} {labels:?}: {found:?}, not {expected:?}"));
                }
            }
        }
        if self.in_flight != expected.in_flight {
            let (found, expected) = (self.in_flight, expected.in_flight);
            differences.push(format!("in flight: {found:?}, not {expected:?}"));
        }
        differences
    }
}

/// Reads the counts of one program.
pub(crate) struct Counting<'a> {
    pub(crate) metrics: &'a Metrics,
    /// The labels in the title of the column.
    labels: &'a [&'static str],
    /// The column of the program.
    column: usize,
}

impl<'a> Counting<'a> {
    pub(crate) fn new(metrics: &'a Metrics, requests: &'a Requests, column: usize) -> Self {
        Self {
            metrics,
            labels: &requests.labels[column],
            column,
        }
    }

    /// Returns what the table says about these requests.
    pub(crate) fn expected<'r>(&self, sent: impl Iterator<Item = &'r Request>) -> Counts {
        let mut counts = Counts {
            in_flight: self.metrics.in_flight.as_ref().map(|_| 0.0),
            ..Counts::default()
        };
        for request in sent {
            let counted = &request.counted[self.column];
            if let Some(in_flight) = &mut counts.in_flight {
                *in_flight += f64::from(u8::from(counted.stays_in_flight));
            }
            let Some(values) = &counted.values else {
                continue;
            };
            assert_eq!(values.len(), self.labels.len(), "{request:?}");
            let method = request.line.split(' ').next().expect("a method");
            let method = self.method().map(|label| (label, method));
            let labels = self.labels.iter().copied().zip(values.iter().copied());
            let labels: Vec<_> = labels.chain(method).collect();
            for (metric, series) in [
                (&self.metrics.requests, &mut counts.requests),
                (&self.metrics.latency, &mut counts.latencies),
            ] {
                let is_on = |(label, value): &&(&str, &str)| {
                    metric.labels.contains(label) && !value.is_empty()
                };
                let labels = labels.iter().filter(is_on);
                let labels =
                    labels.map(|(label, value)| ((*label).to_owned(), (*value).to_owned()));
                *series.entry(labels.collect()).or_default() += 1;
            }
        }
        counts
    }

    /// Returns what the page says.
    pub(crate) fn found(&self, page: &Page) -> Counts {
        let latency = format!("{}_count", self.metrics.latency.name);
        Counts {
            requests: self.series(page, self.metrics.requests.name),
            latencies: self.series(page, &latency),
            in_flight: (self.metrics.in_flight.as_ref()).map(|gauge| page.sum(gauge.name, &[])),
        }
    }

    fn series(&self, page: &Page, name: &str) -> Series {
        let mut series = Series::new();
        for (labels, value) in page.samples(name).filter(|(_, value)| *value > 0.0) {
            let mut labels = labels.clone();
            // An empty label is as good as a missing one.
            labels.retain(|label, value| {
                let label = Some(label.as_str());
                let is_told =
                    label == self.method() || self.labels.iter().any(|told| label == Some(told));
                is_told && !value.is_empty()
            });
            // Counters are whole numbers.
            *series.entry(labels).or_default() += value as u64;
        }
        series
    }

    /// Returns the label that has the method of the request.
    fn method(&self) -> Option<&'static str> {
        let mut labels = self.metrics.requests.labels.iter().copied();
        labels.find(|label| label.ends_with("method"))
    }

    /// Checks the labels and the bounds that the table of metrics lists. A label that the
    /// table of requests does not mention must have the same value on all series.
    pub(crate) fn check_metrics(&self, page: &Page) {
        let latency = format!("{}_bucket", self.metrics.latency.name);
        let metrics = [
            (self.metrics.requests.name, &self.metrics.requests),
            (&latency, &self.metrics.latency),
        ];
        let gauge = self.metrics.in_flight.as_ref();
        for (name, metric) in metrics
            .into_iter()
            .chain(gauge.map(|gauge| (gauge.name, gauge)))
        {
            self.check_labels(page, name, metric);
        }
        let bounds = page.labels(&latency).map(|labels| &*labels["le"]);
        let mut bounds: Vec<&str> = bounds.filter(|bound| *bound != "+Inf").collect();
        let number = |bound: &str| bound.parse::<f64>().expect("a number");
        bounds.sort_by(|left, right| number(left).total_cmp(&number(right)));
        bounds.dedup();
        assert_eq!(bounds, self.metrics.bounds, "{latency}");
    }

    fn check_labels(&self, page: &Page, name: &str, metric: &Metric) {
        let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for labels in page.labels(name) {
            for (label, value) in labels.iter().filter(|(label, _)| *label != "le") {
                found.entry(label).or_default().insert(value);
            }
        }
        let listed: BTreeSet<&str> = metric.labels.iter().copied().collect();
        let labels: BTreeSet<&str> = found.keys().copied().collect();
        assert_eq!(labels, listed, "{name}");
        for (label, values) in &found {
            let is_told = Some(*label) == self.method() || self.labels.contains(label);
            assert!(
                is_told || values.len() == 1,
                "{name}: {label} is {values:?}"
            );
        }
    }
}
