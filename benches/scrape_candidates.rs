//! The candidates, each filled with a given number of label sets.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Waker};

use anyhow::{Result, ensure};
use instrument_benches::buckets::BUCKETS;
use instrument_benches::peers::{self, tenant};
use instrument_runtime::instrumented;
use prometheus_client::encoding::text;
use prometheus_client::metrics::histogram::Histogram;

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
        fill: prometheus_client,
    },
    Candidate {
        name: "measured",
        fill: with_measured::fill,
    },
];

const SECONDS: f64 = 0.02;

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
    let recorder = peers::stock(sets, |_| vec![SECONDS])?;
    Ok(Box::new(move || {
        Ok(black_box(recorder.handle().render()).len())
    }))
}

fn prometheus_client(sets: usize) -> Result<Render> {
    let registry = peers::prometheus_client(sets, |_| vec![SECONDS], || Histogram::new(BUCKETS));
    Ok(Box::new(move || {
        let mut page = String::new();
        text::encode(&mut page, &registry)?;
        Ok(black_box(page).len())
    }))
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
