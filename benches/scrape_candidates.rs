//! The candidates, each filled with a given number of label sets.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Waker};

use anyhow::{Result, ensure};
use instrument_benches::buckets::BUCKETS;
use instrument_runtime::instrumented;
use metrics_exporter_prometheus::PrometheusBuilder;

/// A library that renders a page.
pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    /// Creates the label sets.
    pub(crate) fill: fn(usize) -> Result<Render>,
}

/// Renders the page, drops it, and returns its size in bytes.
pub(crate) type Render = Box<dyn Fn() -> Result<usize>>;

pub(crate) const CANDIDATES: &[Candidate] = &[
    Candidate {
        name: "ours",
        fill: ours,
    },
    Candidate {
        name: "stock exporter",
        fill: stock,
    },
    Candidate {
        name: "prometheus-client",
        fill: with_prometheus_client::fill,
    },
    Candidate {
        name: "measured",
        fill: with_measured::fill,
    },
];

const SECONDS: f64 = 0.02;

fn tenant(n: usize) -> String {
    format!("tenant-{n:06}")
}

#[instrumented(endpoint = "/test", method = "GET", labels(tenant = tenant))]
async fn handler(tenant: &str) -> &'static str {
    "test"
}

fn ours(sets: usize) -> Result<Render> {
    let exporter = instrument_runtime::builder("bench")
        .without_listener()
        .max_series(sets + 1)
        .install()?;
    let mut context = Context::from_waker(Waker::noop());
    for n in 0..sets {
        let tenant = tenant(n);
        let call = pin!(handler(&tenant));
        ensure!(
            call.poll(&mut context).is_ready(),
            "the handler did not return at once"
        );
    }
    Ok(Box::new(move || Ok(black_box(exporter.render()).len())))
}

fn stock(sets: usize) -> Result<Render> {
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
            metrics::counter!("requests_total", "method" => "GET", "endpoint" => "/test", "tenant" => tenant(n), "outcome" => "ok", "http_status" => "200").increment(1);
            metrics::histogram!("request_latency_seconds", "method" => "GET", "endpoint" => "/test", "tenant" => tenant(n), "outcome" => "ok").record(SECONDS);
        }
    });
    Ok(Box::new(move || {
        Ok(black_box(recorder.handle().render()).len())
    }))
}

mod with_prometheus_client {
    use prometheus_client::encoding::{EncodeLabelSet, text};
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::registry::Registry;

    use super::*;

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

    pub(super) fn fill(sets: usize) -> Result<Render> {
        let app_name = ("app_name".into(), "bench".into());
        let mut registry = Registry::with_labels([app_name].into_iter());
        let in_progress = Family::<InProgress, Gauge>::default();
        let requests = Family::<Requests, Counter>::default();
        let latency =
            Family::<Latency, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
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
            requests
                .get_or_create(&Requests {
                    method,
                    endpoint,
                    tenant: tenant(n),
                    outcome,
                    http_status: "200",
                })
                .inc();
            latency
                .get_or_create(&Latency {
                    method,
                    endpoint,
                    tenant: tenant(n),
                    outcome,
                })
                .observe(SECONDS);
        }
        Ok(Box::new(move || {
            let mut page = String::new();
            text::encode(&mut page, &registry)?;
            Ok(black_box(page).len())
        }))
    }
}

mod with_measured {
    use measured::label::StaticLabelSet;
    use measured::metric::histogram::Thresholds;
    use measured::text::BufferedTextEncoder;
    use measured::{
        CounterVec, FixedCardinalityLabel, GaugeVec, HistogramVec, LabelGroup, MetricGroup,
    };
    use paracord::ParaCord;

    use super::*;

    #[derive(Clone, Copy, PartialEq, Debug, FixedCardinalityLabel)]
    enum App {
        Bench,
    }

    #[derive(Clone, Copy, PartialEq, Debug, FixedCardinalityLabel)]
    enum Method {
        #[label(rename = "GET")]
        Get,
    }

    #[derive(Clone, Copy, PartialEq, Debug, FixedCardinalityLabel)]
    enum Endpoint {
        #[label(rename = "/test")]
        Test,
    }

    #[derive(Clone, Copy, PartialEq, Debug, FixedCardinalityLabel)]
    enum Outcome {
        Ok,
    }

    #[derive(Clone, Copy, PartialEq, Debug, FixedCardinalityLabel)]
    enum Status {
        Ok = 200,
    }

    #[derive(Clone, Copy, PartialEq, Debug, LabelGroup)]
    #[label(set = InProgressSet)]
    struct InProgress<'a> {
        app_name: App,
        method: Method,
        endpoint: Endpoint,
        #[label(dynamic_with = ParaCord)]
        tenant: &'a str,
    }

    #[derive(Clone, Copy, PartialEq, Debug, LabelGroup)]
    #[label(set = LatencySet)]
    struct Latency<'a> {
        app_name: App,
        method: Method,
        endpoint: Endpoint,
        #[label(dynamic_with = ParaCord)]
        tenant: &'a str,
        outcome: Outcome,
    }

    #[derive(Clone, Copy, PartialEq, Debug, LabelGroup)]
    #[label(set = RequestsSet)]
    struct Requests<'a> {
        app_name: App,
        method: Method,
        endpoint: Endpoint,
        #[label(dynamic_with = ParaCord)]
        tenant: &'a str,
        outcome: Outcome,
        http_status: Status,
    }

    #[derive(MetricGroup)]
    struct Metrics {
        /// Calls that have ended.
        requests_total: CounterVec<RequestsSet>,
        /// Calls that have not ended yet.
        requests_in_progress: GaugeVec<InProgressSet>,
        /// From start to end.
        request_latency_seconds: HistogramVec<LatencySet, 17>,
    }

    pub(super) fn fill(sets: usize) -> Result<Render> {
        let metrics = Metrics {
            requests_total: CounterVec::with_label_set(RequestsSet {
                app_name: StaticLabelSet::new(),
                method: StaticLabelSet::new(),
                endpoint: StaticLabelSet::new(),
                outcome: StaticLabelSet::new(),
                http_status: StaticLabelSet::new(),
                tenant: ParaCord::default(),
            }),
            requests_in_progress: GaugeVec::with_label_set(InProgressSet {
                app_name: StaticLabelSet::new(),
                method: StaticLabelSet::new(),
                endpoint: StaticLabelSet::new(),
                tenant: ParaCord::default(),
            }),
            request_latency_seconds: HistogramVec::with_label_set_and_metadata(
                LatencySet {
                    app_name: StaticLabelSet::new(),
                    method: StaticLabelSet::new(),
                    endpoint: StaticLabelSet::new(),
                    outcome: StaticLabelSet::new(),
                    tenant: ParaCord::default(),
                },
                Thresholds::with_buckets(BUCKETS),
            ),
        };
        let (app_name, method, endpoint) = (App::Bench, Method::Get, Endpoint::Test);
        for n in 0..sets {
            let tenant = &tenant(n);
            metrics.requests_in_progress.set(
                InProgress {
                    app_name,
                    method,
                    endpoint,
                    tenant,
                },
                0,
            );
            metrics.requests_total.inc(Requests {
                app_name,
                method,
                endpoint,
                tenant,
                outcome: Outcome::Ok,
                http_status: Status::Ok,
            });
            metrics.request_latency_seconds.observe(
                Latency {
                    app_name,
                    method,
                    endpoint,
                    tenant,
                    outcome: Outcome::Ok,
                },
                SECONDS,
            );
        }
        Ok(Box::new(move || {
            let mut encoder = BufferedTextEncoder::new();
            metrics.collect_group_into(&mut encoder)?;
            Ok(black_box(encoder.finish()).len())
        }))
    }
}
