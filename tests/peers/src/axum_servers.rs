//! The servers on axum, except the one that uses `metrics` by hand.

use std::net::SocketAddr;

use anyhow::Result;
use autometrics::exemplars::tracing::AutometricsExemplarExtractor;
use autometrics::objectives::{Objective, ObjectiveLatency, ObjectivePercentile};
use autometrics::{autometrics, prometheus_exporter};
use axum::Router;
use axum::extract::{Path, Request};
use axum::routing::get;
use axum_prometheus::PrometheusMetricLayer;
use instrument_runtime::{TraceContext, instrumented};
use opentelemetry::KeyValue;
use opentelemetry_instrumentation_tower::http::server::LayerBuilder;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::ANY_PORT;
use crate::handlers;

/// An application, and the address of its page if the application itself does not serve it.
pub(crate) type Server = (Router, Option<SocketAddr>);

/// The routes of an application whose handlers have no attributes.
pub(crate) fn routes() -> Router {
    Router::new()
        .route("/hello", get(async || "hello"))
        .route("/number/{n}", get(async |Path(n): Path<u32>| n.to_string()))
        .route("/wait", get(handlers::wait))
        .route("/panic", get(panics))
}

async fn panics() -> &'static str {
    panic!("as the test asks")
}

/// This library, with what its settings can switch on.
pub(crate) fn ours() -> Result<Server> {
    const OBJECTIVE: instrument_runtime::Objective =
        instrument_runtime::Objective::new("work").success(99.9);
    #[instrumented(objective = OBJECTIVE)]
    fn work() -> &'static str {
        "worked"
    }

    let page = our_page()?;
    let layer = instrument_runtime::axum::layer();
    let layer = layer.label("tenant", |head| {
        head.header("x-tenant").unwrap_or_default().to_owned()
    });
    let app = routes().route("/work", get(async || work()));
    Ok((app.layer(layer), Some(page)))
}

/// Installs our exporter, and returns the address of its page.
pub(crate) fn our_page() -> Result<SocketAddr> {
    let exporter = instrument_runtime::builder("peer")
        .listen(ANY_PORT)
        .native_histograms()
        .exemplars(|| Some(TraceContext::new([1; 16], [1; 8])))
        .install()?;
    exporter
        .local_addr()
        .ok_or_else(|| anyhow::anyhow!("the exporter does not listen"))
}

pub(crate) fn axum_prometheus() -> Server {
    let (layer, page) = PrometheusMetricLayer::pair();
    let app = routes().route("/work", get(async || "worked")).layer(layer);
    let app = app.route("/metrics", get(async move || page.render()));
    (app, None)
}

pub(crate) fn autometrics() -> Server {
    const OBJECTIVE: Objective = Objective::new("work")
        .success_rate(ObjectivePercentile::P99_9)
        .latency(ObjectiveLatency::Ms250, ObjectivePercentile::P99);

    #[autometrics(objective = OBJECTIVE)]
    #[tracing::instrument(fields(trace_id = "01010101"))]
    fn work() -> &'static str {
        "worked"
    }
    #[autometrics]
    async fn works() -> &'static str {
        work()
    }
    #[autometrics(track_concurrency)]
    async fn hello() -> &'static str {
        "hello"
    }
    #[autometrics(track_concurrency)]
    async fn number(Path(n): Path<u32>) -> String {
        n.to_string()
    }
    #[autometrics(track_concurrency)]
    async fn wait() -> &'static str {
        handlers::wait().await
    }
    #[autometrics(track_concurrency)]
    async fn panics() -> &'static str {
        panic!("as the test asks")
    }

    tracing_subscriber::registry()
        .with(AutometricsExemplarExtractor::from_fields(&["trace_id"]))
        .init();
    prometheus_exporter::init();
    let app = Router::new()
        .route("/hello", get(hello))
        .route("/number/{n}", get(number))
        .route("/work", get(works))
        .route("/wait", get(wait))
        .route("/panic", get(panics))
        .route(
            "/metrics",
            get(async || prometheus_exporter::encode_http_response()),
        );
    (app, None)
}

pub(crate) fn opentelemetry() -> Result<Server> {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .build()?;
    let provider = SdkMeterProvider::builder().with_reader(exporter).build();
    opentelemetry::global::set_meter_provider(provider);
    let layer = LayerBuilder::builder().with_request_extractor_fn(|request: &Request| {
        let tenant = request.headers().get("x-tenant");
        let tenant = tenant.and_then(|tenant| tenant.to_str().ok());
        vec![KeyValue::new(
            "tenant",
            tenant.unwrap_or_default().to_owned(),
        )]
    });
    let page = async move || {
        TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap_or_default()
    };
    let app = routes().route("/work", get(async || "worked"));
    let app = app.layer(layer.build()?).route("/metrics", get(page));
    Ok((app, None))
}
