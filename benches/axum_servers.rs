//! The servers. All of them serve the same handler, which returns `hello`, with different
//! metrics.

use std::net::Ipv4Addr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use autometrics::autometrics;
use axum::Router;
use axum::routing::get;
use axum_prometheus::PrometheusMetricLayer;
use instrument_benches::buckets::BUCKETS;
use instrument_benches::child;
use instrument_runtime::{RequestHead, instrumented};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;

/// A server with one kind of metrics.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// Whether the server has a page that shows how many requests it counted.
    pub(crate) counts: bool,
    start: fn() -> Result<(Router, Page)>,
}

type Page = Box<dyn Fn() -> String>;

pub(crate) const SERVERS: &[Server] = &[
    Server {
        name: "plain",
        counts: false,
        start: || Ok((app(get(plain)), Box::new(String::new))),
    },
    Server {
        name: "plain again",
        counts: false,
        start: || Ok((app(get(plain)), Box::new(String::new))),
    },
    Server {
        name: "ours",
        counts: true,
        start: || Ok((app(get(ours)), our_page()?)),
    },
    Server {
        name: "ours, the layer alone",
        counts: true,
        start: || {
            let app = app(get(plain)).layer(instrument_runtime::axum::layer());
            Ok((app, our_page()?))
        },
    },
    Server {
        name: "ours, attribute and layer",
        counts: true,
        start: || {
            let app = app(get(ours)).layer(instrument_runtime::axum::layer());
            Ok((app, our_page()?))
        },
    },
    Server {
        name: "ours, the layer with skip and label",
        counts: true,
        start: || {
            let layer = instrument_runtime::axum::layer();
            let layer = layer.skip(is_health).label("host", host);
            Ok((app(get(plain)).layer(layer), our_page()?))
        },
    },
    Server {
        name: "ours, the layer with until_body_end",
        counts: true,
        start: || {
            let layer = instrument_runtime::axum::layer().until_body_end();
            Ok((app(get(plain)).layer(layer), our_page()?))
        },
    },
    Server {
        name: "ours, the layer with response_sizes",
        counts: true,
        start: || {
            let layer = instrument_runtime::axum::layer().response_sizes();
            Ok((app(get(plain)).layer(layer), our_page()?))
        },
    },
    Server {
        name: "ours, the layer with all settings",
        counts: true,
        start: || {
            let layer = instrument_runtime::axum::layer().until_body_end();
            let layer = layer.response_sizes().skip(is_health);
            let layer = layer.label("host", host);
            Ok((app(get(plain)).layer(layer), our_page()?))
        },
    },
    Server {
        name: "metrics cached by hand, std clock",
        counts: true,
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
        counts: true,
        start: || {
            let (layer, handle) = PrometheusMetricLayer::pair();
            let app = app(get(plain)).layer(layer);
            Ok((app, Box::new(move || handle.render())))
        },
    },
    Server {
        name: "autometrics",
        counts: true,
        start: || {
            autometrics::prometheus_exporter::try_init()?;
            let page = || autometrics::prometheus_exporter::encode_to_string().unwrap_or_default();
            Ok((app(get(with_autometrics)), Box::new(page)))
        },
    },
];

/// Runs a server in this process.
///
/// Prints the port, and then answers each line of standard input with the number of
/// requests that the server has counted.
pub(crate) fn serve(name: &str) -> Result<()> {
    let server = SERVERS.iter().find(|server| server.name == name);
    let server = server.context("there is no server of that name")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let _inside = runtime.enter();
    let (app, page) = (server.start)()?;
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    println!("{}", listener.local_addr()?.port());
    runtime.spawn(async move { axum::serve(listener, app).await });
    child::answer(|_| Ok(counted(&page()).to_string()))
}

/// Returns the sum of the series that count requests.
fn counted(page: &str) -> u64 {
    let names = [
        "requests_total{",
        "axum_http_requests_total{",
        "function_calls_total{",
    ];
    page.lines()
        .filter(|line| names.iter().any(|name| line.starts_with(name)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
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
