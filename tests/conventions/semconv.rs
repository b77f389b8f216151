//! Checks series against the facts in `semconv-1.44.0.yaml`.

use std::collections::{BTreeMap, BTreeSet};

use instrument_tests::page::Page;
use serde_norway::Value;

/// What happened to a request or an RPC. The conventions decide which labels follow.
#[derive(Clone, Debug)]
pub(crate) struct Situation {
    /// The values that are known, by attribute. `error.type` is not among them.
    pub(crate) known: BTreeMap<&'static str, String>,
    pub(crate) error: Error,
}

#[derive(Clone, Debug)]
pub(crate) enum Error {
    /// The status alone decides.
    ByStatus,
    /// An error of another kind, with the identifier that the documentation lists.
    Other(&'static str),
}

impl Situation {
    pub(crate) fn of(known: &[(&'static str, &str)]) -> Self {
        let known = known.iter();
        Self {
            known: known
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect(),
            error: Error::ByStatus,
        }
    }

    pub(crate) fn with(mut self, attribute: &'static str, value: &str) -> Self {
        self.known.insert(attribute, value.to_owned());
        self
    }

    pub(crate) fn without(mut self, attribute: &str) -> Self {
        self.known.remove(attribute);
        self
    }

    pub(crate) fn failed(mut self, identifier: &'static str) -> Self {
        self.error = Error::Other(identifier);
        self
    }
}

pub(crate) struct Conventions(Value);

impl Conventions {
    pub(crate) fn read() -> Self {
        Self(serde_norway::from_str(include_str!("semconv-1.44.0.yaml")).expect("YAML"))
    }

    /// The names of the metrics as a Prometheus exporter writes them.
    pub(crate) fn metrics(&self) -> Vec<(String, &str)> {
        let all = self.0["metrics"].as_mapping().expect("metrics").iter();
        all.map(|(name, metric)| {
            let name = name.as_str().expect("a name");
            let unit = match metric["unit"].as_str().expect("a unit") {
                "s" => "_seconds",
                "By" => "_bytes",
                // An annotation is not a unit.
                unit if unit.starts_with('{') => "",
                unit => panic!("the unit {unit} of {name}"),
            };
            (prometheus(name) + unit, name)
        })
        .collect()
    }

    /// The advised bounds of a histogram.
    pub(crate) fn buckets(&self, metric: &str) -> Vec<f64> {
        let bounds = self.0["metrics"][metric]["buckets"].as_sequence();
        let bounds = bounds.expect("bounds").iter();
        bounds
            .map(|bound| bound.as_f64().expect("a number"))
            .collect()
    }

    /// The gRPC codes that are errors.
    pub(crate) fn is_grpc_error(&self, code: &str) -> bool {
        let errors = self.0["errors"]["grpc"].as_sequence().expect("codes");
        errors.iter().any(|error| error == code)
    }

    fn is_http_error(&self, status: u64) -> bool {
        let errors = &self.0["errors"]["http"];
        let [first, last] = [0, 1].map(|end| errors[end].as_u64().expect("a status"));
        (first..=last).contains(&status)
    }

    /// The labels that a series of the metric must have in this situation.
    pub(crate) fn labels(&self, metric: &str, situation: &Situation) -> BTreeMap<String, String> {
        let error = self.error_type(situation);
        let attributes = self.0["metrics"][metric]["attributes"].as_mapping();
        let mut labels = BTreeMap::new();
        for (attribute, level) in attributes.expect("attributes") {
            let attribute = attribute.as_str().expect("a name");
            let value = match attribute {
                "error.type" => error.as_ref(),
                known => situation.known.get(known),
            };
            let is_present = match level.as_str().expect("a level") {
                "required" => {
                    assert!(value.is_some(), "{attribute} of {situation:?}");
                    true
                }
                "if_error" | "if_status" | "if_route" | "if_method" | "recommended" => {
                    value.is_some()
                }
                // All requests are HTTP.
                "if_not_http" | "opt_in" => false,
                level => panic!("the level {level} of {attribute}"),
            };
            if is_present && let Some(value) = value {
                self.assert_is_allowed(attribute, value);
                labels.insert(prometheus(attribute), value.clone());
            }
        }
        labels
    }

    /// The value of `error.type`, or `None` if there was no error.
    fn error_type(&self, situation: &Situation) -> Option<String> {
        if let Error::Other(identifier) = situation.error {
            return Some(identifier.to_owned());
        }
        let status = |attribute| situation.known.get(attribute);
        let http = status("http.response.status_code");
        let grpc = status("rpc.response.status_code");
        let http = http.filter(|status| self.is_http_error(status.parse().expect("a status")));
        let grpc = grpc.filter(|code| self.is_grpc_error(code));
        http.or(grpc).cloned()
    }

    fn assert_is_allowed(&self, attribute: &str, value: &str) {
        if let Some(values) = self.0["values"].get(attribute) {
            let values = values.as_sequence().expect("values");
            assert!(values.iter().any(|one| one == value), "{attribute}={value}");
        }
    }

    /// Asserts that the only series with the own label `case` has the labels of the
    /// situation and no others, in each metric.
    pub(crate) fn assert_counted(
        &self,
        page: &Page,
        case: &str,
        metrics: &[&str],
        situation: &Situation,
    ) {
        for (written, metric) in self.metrics() {
            let sample = match self.0["metrics"][metric]["instrument"].as_str() {
                Some("histogram") => format!("{written}_count"),
                _ => written.clone(),
            };
            let found: Vec<_> = page
                .samples(&sample)
                .filter(|(labels, _)| labels.get("case").is_some_and(|own| own == case))
                .map(|(labels, value)| {
                    let mut labels: BTreeMap<String, String> = labels
                        .iter()
                        .map(|(name, value)| (name.clone(), value.clone()))
                        .collect();
                    labels.remove("case");
                    (labels, value)
                })
                .collect();
            let mut expected = Vec::new();
            if metrics.contains(&metric) {
                let value = if sample == written { 0.0 } else { 1.0 };
                expected.push((self.labels(metric, situation), value));
            }
            assert_eq!(found, expected, "{sample} of {case}: {situation:?}");
        }
    }

    /// Asserts that the page has no other metrics with a name of the conventions, and that
    /// the histograms have the advised bounds.
    pub(crate) fn assert_families(&self, page: &Page) {
        let known: BTreeMap<String, &str> = self.metrics().into_iter().collect();
        for (name, labels, _) in page.all() {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .unwrap_or(name);
            let is_of_conventions = name.starts_with("http_") || name.starts_with("rpc_");
            assert_eq!(is_of_conventions, known.contains_key(family), "{name}");
            assert!(!labels.contains_key("app_name"), "{name} {labels:?}");
        }
        for (written, metric) in &known {
            if self.0["metrics"][*metric].get("buckets").is_none() {
                continue;
            }
            let bucket = format!("{written}_bucket");
            let bounds: BTreeSet<&str> = page.labels(&bucket).map(|l| &*l["le"]).collect();
            let mut bounds: Vec<f64> = bounds
                .into_iter()
                .map(|bound| bound.trim_start_matches('+').parse().expect("a bound"))
                .collect();
            bounds.sort_by(f64::total_cmp);
            assert_eq!(bounds.pop(), Some(f64::INFINITY));
            assert_eq!(bounds, self.buckets(metric), "{written}");
        }
    }
}

/// The name of a metric or an attribute in Prometheus.
pub(crate) fn prometheus(name: &str) -> String {
    name.replace('.', "_")
}
