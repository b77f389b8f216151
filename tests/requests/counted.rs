//! Compares the values of the metrics with the expected values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use instrument_tests::page::Page;

type Labels = BTreeMap<String, String>;

/// The samples of the metrics, without the zeros from before the first request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    requests: BTreeMap<Labels, f64>,
    /// By the labels without the status, because the latency has no status label.
    latencies: BTreeMap<Labels, f64>,
    in_progress: BTreeMap<Labels, f64>,
    /// By the labels of the latency.
    sizes: BTreeMap<Labels, Sizes>,
}

/// The sizes of the responses of a series.
#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    count: f64,
    sum: f64,
    /// Whether the sum may be larger, because a client has left before the end of a body.
    is_least: bool,
}

/// What a client has received of the body of a response.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received {
    /// The bytes, without the transfer coding.
    pub(crate) bytes: usize,
    /// Whether the body has arrived to its end.
    pub(crate) is_complete: bool,
}

impl Sizes {
    fn is(self, expected: Self) -> bool {
        let is_sum = match expected.is_least {
            true => self.sum >= expected.sum,
            false => self.sum == expected.sum,
        };
        self.count == expected.count && is_sum
    }
}

impl Counted {
    pub(crate) fn of(page: &str) -> Self {
        let page = Page::parse(page);
        let above_zero = |name: &str| {
            let samples = page.samples(name).filter(|(_, value)| *value != 0.0);
            samples
                .map(|(labels, value)| (labels.clone(), value))
                .collect::<BTreeMap<_, _>>()
        };
        let mut sums = above_zero("response_size_bytes_sum");
        let sizes = above_zero("response_size_bytes_count").into_iter();
        let sizes = sizes.map(|(labels, count)| {
            let sum = sums.remove(&labels).unwrap_or_default();
            let is_least = false;
            let sizes = Sizes {
                count,
                sum,
                is_least,
            };
            (labels, sizes)
        });
        Self {
            requests: above_zero("requests_total"),
            latencies: above_zero("request_latency_seconds_count"),
            in_progress: above_zero("requests_in_progress"),
            sizes: sizes.collect(),
        }
    }

    /// Adds one request for each line: method, endpoint, status, outcome, then other
    /// labels with their names.
    pub(crate) fn add(&mut self, lines: &[&str]) {
        for line in lines {
            *self.requests.entry(labels(line)).or_default() += 1.0;
            *self.latencies.entry(latency_labels(line)).or_default() += 1.0;
        }
    }

    /// Adds a request that is in progress. The line says how it will end.
    pub(crate) fn add_in_progress(&mut self, line: &str) {
        let mut labels = latency_labels(line);
        labels.remove("outcome");
        *self.in_progress.entry(labels).or_default() += 1.0;
    }

    /// Adds the size of a response to the request of a line.
    pub(crate) fn add_size(&mut self, line: &str, received: Received) {
        let sizes = self.sizes.entry(latency_labels(line)).or_default();
        sizes.count += 1.0;
        sizes.sum += received.bytes as f64;
        sizes.is_least |= !received.is_complete;
    }

    /// Describes each series whose value is not the expected one.
    pub(crate) fn difference(&self, expected: &Self) -> Vec<String> {
        let same = |found: f64, expected: f64| found == expected;
        let mut all = Vec::new();
        for (what, found, expected) in [
            ("requests_total", &self.requests, &expected.requests),
            (
                "request_latency_seconds",
                &self.latencies,
                &expected.latencies,
            ),
            (
                "requests_in_progress",
                &self.in_progress,
                &expected.in_progress,
            ),
        ] {
            all.extend(differences(what, found, expected, same));
        }
        let what = "response_size_bytes";
        all.extend(differences(what, &self.sizes, &expected.sizes, Sizes::is));
        all
    }
}

fn differences<V: Copy + Debug>(
    what: &str,
    found: &BTreeMap<Labels, V>,
    expected: &BTreeMap<Labels, V>,
    is: impl Fn(V, V) -> bool,
) -> Vec<String> {
    let labels: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    let differs = labels.into_iter().filter_map(|labels| {
        let (found, expected) = (found.get(labels), expected.get(labels));
        let is_same = found.zip(expected).is_some_and(|(of, to)| is(*of, *to));
        (!is_same).then(|| format!("{what} {labels:?}: {found:?} instead of {expected:?}"))
    });
    differs.collect()
}

/// Returns the labels of `requests_total` for a line.
fn labels(line: &str) -> Labels {
    let mut labels = Labels::from([("app_name".to_owned(), "requests".to_owned())]);
    let names = ["method", "endpoint", "http_status", "outcome"];
    for (place, word) in line.split(' ').enumerate() {
        let (name, value) = match names.get(place) {
            Some(name) => (*name, word),
            None => word.split_once('=').expect("a name and a value"),
        };
        if value != "-" {
            labels.insert(name.to_owned(), value.to_owned());
        }
    }
    labels
}

/// Returns the labels of the latency and of the size for a line.
fn latency_labels(line: &str) -> Labels {
    let mut labels = labels(line);
    labels.remove("http_status");
    labels.remove("grpc_status");
    labels
}
