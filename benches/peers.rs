//! The other libraries' metrics, filled with label sets.
//!
//! Each label set has a counter, a gauge and a histogram. Names, labels and buckets are the
//! same for all libraries, and are those of `#[instrumented]`.

use anyhow::Result;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::buckets::BUCKETS;

/// Returns the value of the label that differs between the label sets.
#[must_use]
pub fn tenant(n: usize) -> String {
    format!("tenant-{n:06}")
}

/// Creates a recorder of metrics-exporter-prometheus with `sets` label sets. Records one call
/// for each of the latencies, in seconds, that `latencies` returns for a set.
///
/// # Errors
///
/// Returns an error if the recorder rejects the buckets.
pub fn stock(sets: usize, latencies: impl Fn(usize) -> Vec<f64>) -> Result<PrometheusRecorder> {
    let recorder = PrometheusBuilder::new()
        .set_buckets(&BUCKETS)?
        .add_global_label("app_name", "bench")
        .build_recorder();
    metrics::with_local_recorder(&recorder, || {
        metrics::describe_counter!("requests_total", "Calls that have ended.");
        metrics::describe_gauge!("requests_in_progress", "Calls that have not ended yet.");
        metrics::describe_histogram!("request_latency_seconds", "From start to end.");
        for n in 0..sets {
            metrics::gauge!("requests_in_progress", "method" => "GET", "endpoint" => "/test", "tenant" => tenant(n)).set(0.0);
            let requests = metrics::counter!("requests_total", "method" => "GET", "endpoint" => "/test", "tenant" => tenant(n), "outcome" => "ok", "http_status" => "200");
            let latency = metrics::histogram!("request_latency_seconds", "method" => "GET", "endpoint" => "/test", "tenant" => tenant(n), "outcome" => "ok");
            for seconds in latencies(n) {
                requests.increment(1);
                latency.record(seconds);
            }
        }
    });
    Ok(recorder)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InProgress {
    method: &'static str,
    endpoint: &'static str,
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Latency {
    method: &'static str,
    endpoint: &'static str,
    tenant: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Requests {
    method: &'static str,
    endpoint: &'static str,
    tenant: String,
    outcome: &'static str,
    http_status: &'static str,
}

/// Creates a registry of prometheus-client with `sets` label sets. Records one call for each
/// of the latencies, in seconds, that `latencies` returns for a set. `histogram` creates the
/// histogram of a set.
#[must_use]
pub fn prometheus_client(
    sets: usize,
    latencies: impl Fn(usize) -> Vec<f64>,
    histogram: fn() -> Histogram,
) -> Registry {
    let app_name = ("app_name".into(), "bench".into());
    let mut registry = Registry::with_labels([app_name].into_iter());
    let in_progress = Family::<InProgress, Gauge>::default();
    let requests = Family::<Requests, Counter>::default();
    let latency = Family::<Latency, Histogram, _>::new_with_constructor(histogram);
    registry.register(
        "requests_in_progress",
        "Calls that have not ended yet",
        in_progress.clone(),
    );
    // The encoder appends `_total`.
    registry.register("requests", "Calls that have ended", requests.clone());
    registry.register(
        "request_latency_seconds",
        "From start to end",
        latency.clone(),
    );
    let (method, endpoint, outcome) = ("GET", "/test", "ok");
    for n in 0..sets {
        in_progress
            .get_or_create(&InProgress {
                method,
                endpoint,
                tenant: tenant(n),
            })
            .set(0);
        let requests = requests.get_or_create_owned(&Requests {
            method,
            endpoint,
            tenant: tenant(n),
            outcome,
            http_status: "200",
        });
        let latency = latency.get_or_create_owned(&Latency {
            method,
            endpoint,
            tenant: tenant(n),
            outcome,
        });
        for seconds in latencies(n) {
            requests.inc();
            latency.observe(seconds);
        }
    }
    registry
}
