//! Compares the values of the three metrics with the expected values.

use std::collections::BTreeMap;

use instrument_tests::page::Page;

type Labels = BTreeMap<String, String>;

/// The samples of the metrics, without the zeros from before the first request.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    requests: BTreeMap<Labels, f64>,
    /// By the labels without the status, because the latency has no status label.
    latencies: BTreeMap<Labels, f64>,
    in_progress: Vec<(Labels, f64)>,
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
        Self {
            requests: above_zero("requests_total"),
            latencies: above_zero("request_latency_seconds_count"),
            in_progress: above_zero("requests_in_progress").into_iter().collect(),
        }
    }

    /// Adds one request for each line: method, endpoint, status, outcome, then other
    /// labels with their names.
    pub(crate) fn add(&mut self, lines: &[&str]) {
        for line in lines {
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
            *self.requests.entry(labels.clone()).or_default() += 1.0;
            labels.remove("http_status");
            labels.remove("grpc_status");
            *self.latencies.entry(labels).or_default() += 1.0;
        }
    }

    pub(crate) fn is(&self, expected: &Self) -> bool {
        self.requests == expected.requests
            && self.latencies == expected.latencies
            && self.in_progress.is_empty()
    }

    pub(crate) fn difference(&self, expected: &Self) -> String {
        let mut text = String::new();
        for (what, found, expected) in [
            ("requests_total", &self.requests, &expected.requests),
            (
                "request_latency_seconds",
                &self.latencies,
                &expected.latencies,
            ),
        ] {
            let labels = found.keys().chain(expected.keys());
            for labels in labels.collect::<std::collections::BTreeSet<_>>() {
                let count = |counts: &BTreeMap<Labels, f64>| counts.get(labels).copied();
                if count(found) != count(expected) {
                    let (found, expected) = (count(found), count(expected));
                    text += &format!("{what} {labels:?}: {found:?} instead of {expected:?}\n");
                }
            }
        }
        for (labels, value) in &self.in_progress {
            text += &format!("requests_in_progress {labels:?}: {value}\n");
        }
        text
    }
}
