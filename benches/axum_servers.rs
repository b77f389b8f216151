//! The servers. All of them serve the same handler, which returns `hello`, with different
//! metrics.

use std::net::Ipv4Addr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::Result;
use autometrics::autometrics;
use axum::Router;
use axum::routing::get;
use axum_prometheus::PrometheusMetricLayer;
use instrument_benches::buckets::BUCKETS;
use instrument_benches::loopback::{Page, Server};
use instrument_runtime::{RequestHead, instrumented};
use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry_instrumentation_tower::http::server;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tokio::net::TcpListener;

type Start = fn() -> Result<(Router, Page)>;

const COUNTERS: &[&str] = &["requests_total", "request_latency_seconds_count"];
const WITH_SIZES: &[&str] = &["requests_total", "response_size_bytes_count"];

pub(crate) const SERVERS: &[Server<Start>] = &[
    Server {
        name: "plain",
        counters: &[],
        start: || Ok((app(get(plain)), Box::new(String::new))),
    },
    Server {
        name: "plain again",
        counters: &[],
        start: || Ok((app(get(plain)), Box::new(String::new))),
    },
    Server {
        name: "ours",
        counters: COUNTERS,
        start: || Ok((app(get(ours)), our_page()?)),
    },
    Server {
        name: "ours, the layer alone",
        counters: COUNTERS,
        start: || {
            let app = app(get(plain)).layer(instrument_runtime::axum::layer());
            Ok((app, our_page()?))
        },
    },
    Server {
        name: "ours, attribute and layer",
        counters: COUNTERS,
        start: || {
            let app = app(get(ours)).layer(instrument_runtime::axum::layer());
            Ok((app, our_page()?))
        },
    },
    Server {
        name: "ours, the layer with skip and label",
        counters: COUNTERS,
        start: || {
            let layer = instrument_runtime::axum::layer();
            let layer = layer.skip(is_health).label("host", host);
            Ok((app(get(plain)).layer(layer), our_page()?))
        },
    },
    Server {
        name: "ours, the layer with until_body_end",
        counters: COUNTERS,
        start: || {
            let layer = instrument_runtime::axum::layer().until_body_end();
            Ok((app(get(plain)).layer(layer), our_page()?))
        },
    },
    Server {
        name: "ours, the layer with response_sizes",
        counters: WITH_SIZES,
        start: || {
            let layer = instrument_runtime::axum::layer().response_sizes();
            Ok((app(get(plain)).layer(layer), our_page()?))
        },
    },
    Server {
        name: "ours, the layer with all settings",
        counters: WITH_SIZES,
        start: || {
            let layer = instrument_runtime::axum::layer().until_body_end();
            let layer = layer.response_sizes().skip(is_health);
            let layer = layer.label("host", host);
            Ok((app(get(plain)).layer(layer), our_page()?))
        },
    },
    Server {
        name: "metrics cached by hand, std clock",
        counters: COUNTERS,
        start: || {
            let handle = PrometheusBuilder::new()
                .set_buckets(&BUCKETS)?
                .install_recorder()?;
            let upkeep = handle.clone();
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    upkeep.run_upkeep();
                }
            });
            Ok((app(get(by_hand)), Box::new(move || handle.render())))
        },
    },
    Server {
        name: "axum-prometheus",
        counters: &[
            "axum_http_requests_total",
            "axum_http_requests_duration_seconds_count",
        ],
        start: || {
            let (layer, handle) = PrometheusMetricLayer::pair();
            let app = app(get(plain)).layer(layer);
            Ok((app, Box::new(move || handle.render())))
        },
    },
    Server {
        name: "autometrics",
        counters: &[
            "function_calls_total",
            "function_calls_duration_seconds_count",
        ],
        start: || {
            autometrics::prometheus_exporter::try_init()?;
            let page = || autometrics::prometheus_exporter::encode_to_string().unwrap_or_default();
            Ok((app(get(with_autometrics)), Box::new(page)))
        },
    },
    // The SDK with the exporter for Prometheus, as its documentation sets it up. There is no
    // tracer provider, so the spans of the layer are not recorded. The layer also records the
    // size of each response.
    Server {
        name: "opentelemetry-instrumentation-tower",
        counters: &[
            "http_server_request_duration_seconds_count",
            "http_server_response_body_size_bytes_count",
        ],
        start: || {
            let registry = prometheus::Registry::new();
            let exporter = opentelemetry_prometheus::exporter()
                .with_registry(registry.clone())
                .build()?;
            let provider = SdkMeterProvider::builder().with_reader(exporter).build();
            opentelemetry::global::set_meter_provider(provider);
            let app = app(get(plain)).layer(server::Layer::new());
            let page = move || {
                let families = registry.gather();
                prometheus::TextEncoder::new()
                    .encode_to_string(&families)
                    .unwrap_or_default()
            };
            Ok((app, Box::new(page)))
        },
    },
];

/// Starts a server in this process.
pub(crate) fn serve(start: &Start) -> Result<(u16, Page)> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    // The runtime lives as long as the process.
    let runtime = Box::leak(Box::new(runtime));
    let _inside = runtime.enter();
    let (app, page) = start()?;
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let port = listener.local_addr()?.port();
    runtime.spawn(async move { axum::serve(listener, app).await });
    Ok((port, page))
}

fn our_page() -> Result<Page> {
    let exporter = instrument_runtime::builder("bench")
        .without_listener()
        .install()?;
    Ok(Box::new(move || exporter.render()))
}

fn is_health(head: &RequestHead<'_>) -> bool {
    head.path() == "/health"
}

fn host(head: &RequestHead<'_>) -> String {
    head.header("host").unwrap_or_default().to_owned()
}

fn app(route: axum::routing::MethodRouter) -> Router {
    Router::new().route("/hello", route)
}

async fn plain() -> &'static str {
    "hello"
}

#[instrumented(endpoint = "/hello", method = "GET")]
async fn ours() -> &'static str {
    "hello"
}

#[autometrics(track_concurrency)]
async fn with_autometrics() -> &'static str {
    "hello"
}

struct Handles {
    in_progress: metrics::Gauge,
    requests: metrics::Counter,
    latency: metrics::Histogram,
}

static HANDLES: LazyLock<Handles> = LazyLock::new(|| Handles {
    in_progress: metrics::gauge!("requests_in_progress", "method" => "GET", "endpoint" => "/hello"),
    requests: metrics::counter!("requests_total", "method" => "GET", "endpoint" => "/hello", "http_status" => "200", "outcome" => "ok"),
    latency: metrics::histogram!("request_latency_seconds", "method" => "GET", "endpoint" => "/hello", "outcome" => "ok"),
});

async fn by_hand() -> &'static str {
    let handles = &*HANDLES;
    handles.in_progress.increment(1.0);
    let start = Instant::now();
    let answer = "hello";
    handles.requests.increment(1);
    handles.latency.record(start.elapsed().as_secs_f64());
    handles.in_progress.decrement(1.0);
    answer
}
