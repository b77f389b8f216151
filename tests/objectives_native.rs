//! `slo-native.yml` on real Prometheus servers, which store native histograms only.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use fleet::Prometheus;
use instrument_tests::fast_rules::fast;
use instrument_tests::page_server::{self, PROTOBUF, TEXT};
use instrument_tests::prometheus_server::Release;
use instrument_tests::protobuf::client::{
    BucketSpan, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType, Number,
};
use instrument_tests::wait_until;
use prost::Message;

/// What the page shows of one endpoint. The threshold of its objective is `le`.
#[derive(Clone, Debug)]
struct Endpoint {
    path: &'static str,
    le: &'static str,
    /// The resolution of the histogram. A bucket is 2^(2^-schema) times as wide as the one
    /// before it.
    schema: i32,
    /// The number of calls in each bucket.
    buckets: BTreeMap<i32, u64>,
}

/// The bucket at schema 3 with the latencies up to 2^(index/8) seconds.
const UP_TO_250_MS: i32 = -16;
const UP_TO_297_MS: i32 = -14;
/// From 96.4 to 105.1 ms. The threshold of 0.1 s is in this bucket.
const AROUND_100_MS: i32 = -26;
const UP_TO_1_S: i32 = 0;

fn endpoint(path: &'static str, le: &'static str, buckets: &[(i32, u64)]) -> Endpoint {
    Endpoint {
        path,
        le,
        schema: 3,
        buckets: buckets.iter().copied().collect(),
    }
}

impl Endpoint {
    fn calls(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// Halves the resolution, as an application does if a histogram has too many buckets.
    fn reduce_resolution(&mut self) {
        self.schema -= 1;
        let mut merged = BTreeMap::new();
        for (index, count) in std::mem::take(&mut self.buckets) {
            // Rounds up, because an index stands for the upper bound.
            *merged.entry((index + 1).div_euclid(2)).or_default() += count;
        }
        self.buckets = merged;
    }

    fn histogram(&self) -> Histogram {
        let mut histogram = Histogram {
            sample_count: Some(self.calls()),
            sample_sum: Some(1.0),
            schema: Some(self.schema),
            zero_threshold: Some((-128_f64).exp2()),
            zero_count: Some(0),
            ..Histogram::default()
        };
        let (mut next, mut before) = (0, 0);
        for (index, count) in &self.buckets {
            // Each span here has one bucket. The offset is the gap to the span before it.
            histogram.positive_span.push(BucketSpan {
                offset: Some(index - next),
                length: Some(1),
            });
            histogram.positive_delta.push(*count as i64 - before);
            (next, before) = (index + 1, *count as i64);
        }
        histogram
    }
}

fn metric(labels: &[(&str, &str)]) -> Metric {
    let label = |(name, value): &(&str, &str)| LabelPair {
        name: Some((*name).to_owned()),
        value: Some((*value).to_owned()),
    };
    Metric {
        label: labels.iter().map(label).collect(),
        ..Metric::default()
    }
}

/// Returns the page in protobuf.
fn page(endpoints: &[Endpoint]) -> Vec<u8> {
    let family = |name: &str, kind: MetricType, metric: &dyn Fn(&Endpoint) -> Metric| {
        let family = MetricFamily {
            name: Some(name.to_owned()),
            r#type: Some(kind.into()),
            metric: endpoints.iter().map(metric).collect(),
            ..MetricFamily::default()
        };
        family.encode_length_delimited_to_vec()
    };
    [
        family(
            "request_objective_ratio",
            MetricType::Untyped,
            &|endpoint| Metric {
                untyped: Some(Number { value: Some(0.9) }),
                ..metric(&[
                    ("endpoint", endpoint.path),
                    ("slo", endpoint.path.trim_start_matches('/')),
                    ("sli", "latency"),
                    ("le", endpoint.le),
                ])
            },
        ),
        family("requests_total", MetricType::Counter, &|endpoint| Metric {
            counter: Some(Counter {
                value: Some(endpoint.calls() as f64),
                ..Counter::default()
            }),
            ..metric(&[("endpoint", endpoint.path), ("outcome", "ok")])
        }),
        family(
            "request_latency_seconds",
            MetricType::Histogram,
            &|endpoint| Metric {
                histogram: Some(endpoint.histogram()),
                ..metric(&[("endpoint", endpoint.path), ("outcome", "ok")])
            },
        ),
    ]
    .concat()
}

/// A page without native histograms, in the text format. Its threshold is not in
/// `slo-native.yml`.
const CLASSIC: &str = "\
request_objective_ratio{endpoint=\"/c\",slo=\"classic\",sli=\"latency\",le=\"0.3\"} 0.9
requests_total{endpoint=\"/c\",outcome=\"ok\"} 10
request_latency_seconds_bucket{endpoint=\"/c\",outcome=\"ok\",le=\"0.3\"} 7
request_latency_seconds_bucket{endpoint=\"/c\",outcome=\"ok\",le=\"+Inf\"} 10
request_latency_seconds_sum{endpoint=\"/c\",outcome=\"ok\"} 1
request_latency_seconds_count{endpoint=\"/c\",outcome=\"ok\"} 10
";

/// Waits until the query has an answer that `is_it` accepts: numbers, by objective.
fn wait_for(
    prometheus: &Prometheus,
    query: &str,
    is_it: impl Fn(&BTreeMap<String, f64>) -> bool,
) -> BTreeMap<String, f64> {
    let ask = || -> BTreeMap<String, f64> {
        let answer = prometheus.query(query).unwrap_or_default();
        let by_slo = |(labels, value): (fleet::Labels, f64)| (labels["slo"].clone(), value);
        answer.into_iter().map(by_slo).collect()
    };
    wait_until(query, ask, is_it)
}

fn runs_on(release: &Release) {
    let endpoints = Arc::new(Mutex::new(vec![
        endpoint(
            "/exact",
            "0.25",
            &[(UP_TO_250_MS, 100), (UP_TO_297_MS, 40), (UP_TO_1_S, 2)],
        ),
        endpoint(
            "/second",
            "1.0",
            &[(UP_TO_250_MS, 3), (UP_TO_1_S, 4), (UP_TO_1_S + 1, 5)],
        ),
        endpoint("/estimated", "0.1", &[(AROUND_100_MS, 1000)]),
        endpoint("/idle", "0.1", &[]),
        endpoint("/unknown", "0.3", &[(UP_TO_250_MS, 10)]),
    ]));
    let served = Arc::clone(&endpoints);
    let native = page_server::serve(PROTOBUF, move || {
        page(&served.lock().unwrap_or_else(PoisonError::into_inner))
    });
    let classic = page_server::serve(TEXT, || CLASSIC.into());
    let change = |path: &str, change: &dyn Fn(&mut Endpoint)| {
        let mut endpoints = endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let endpoint = endpoints.iter_mut().find(|endpoint| endpoint.path == path);
        change(endpoint.expect("an endpoint"));
    };

    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("slo.yml"), fast("slo-native.yml")).expect("written");
    let configuration = format!(
        "global: {{scrape_interval: 1s}}\n\
         rule_files: [slo.yml]\n\
         scrape_configs: [{{job_name: x, static_configs: [{{targets: ['{native}', '{classic}']}}]}}]\n"
    );
    let features = ["--enable-feature=native-histograms".to_owned()];
    let prometheus =
        Prometheus::start_with(&release.program, folder.path(), &configuration, &features);
    let prometheus = prometheus.expect("Prometheus");

    // No classic bucket is stored. So the numbers come from the native histograms.
    let all = ["classic", "estimated", "exact", "idle", "second", "unknown"];
    wait_for(&prometheus, "instance_slo:requests:sum", |found| {
        found.keys().eq(&all)
    });
    let buckets = prometheus.query("count by (endpoint) (request_latency_seconds_bucket)");
    let buckets = buckets.expect("an answer");
    assert_eq!(buckets.len(), 1, "{buckets:?}");

    let errors = wait_for(&prometheus, "instance_slo:request_errors:sum", |found| {
        found.len() == 5
    });
    // These thresholds are bounds of native buckets.
    assert!((errors["exact"] - 42.0).abs() < 1e-6, "{errors:?}");
    assert!((errors["second"] - 5.0).abs() < 1e-6, "{errors:?}");
    assert_eq!(
        (errors["idle"], errors["classic"]),
        (0.0, 3.0),
        "{errors:?}"
    );
    // A part of the bucket with the threshold.
    let estimated = errors["estimated"];
    assert!((400.0..700.0).contains(&estimated), "{errors:?}");
    let requests = wait_for(&prometheus, "instance_slo:requests:sum", |_| true);
    assert_eq!(requests["exact"], 142.0);
    // No rule for this threshold.
    let firing = r#"ALERTS{alertname="ObjectiveNotMeasured", alertstate="firing"}"#;
    wait_for(&prometheus, firing, |found| found.keys().eq(&["unknown"]));

    // The estimate decreases with the resolution. The counter does not.
    change("/estimated", &Endpoint::reduce_resolution);
    let lower = wait_for(
        &prometheus,
        "instance_slo:request_errors:estimate",
        |found| {
            found
                .get("estimated")
                .is_some_and(|now| *now < estimated - 50.0)
        },
    );
    let counter = r#"instance_slo:request_errors:sum{slo="estimated"}"#;
    let changes = format!("changes({counter}[5m])");
    let unchanged = wait_for(&prometheus, &changes, |_| true);
    assert_eq!(unchanged["estimated"], 0.0, "{lower:?}");

    // More slow calls than the difference.
    change("/estimated", &|endpoint| {
        *endpoint.buckets.entry(1).or_default() += 500
    });
    wait_for(&prometheus, counter, |found| {
        (found["estimated"] - lower["estimated"] - 500.0).abs() < 1e-6
    });
    let resets = format!("resets({counter}[5m])");
    assert_eq!(wait_for(&prometheus, &resets, |_| true)["estimated"], 0.0);

    // A restart.
    change("/estimated", &|endpoint| {
        endpoint.buckets = BTreeMap::from([(0, 1), (2, 2)])
    });
    wait_for(&prometheus, counter, |found| {
        (found["estimated"] - 3.0).abs() < 1e-6
    });
    assert_eq!(wait_for(&prometheus, &resets, |_| true)["estimated"], 1.0);
}

#[test]
fn latency_objectives_are_measured_with_native_histograms() {
    for release in Release::all() {
        println!("Prometheus {}", release.version);
        runs_on(&release);
    }
}
