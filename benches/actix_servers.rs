//! The servers. All of them serve the same handler, which returns `hello`, with different
//! metrics.

use std::net::{Ipv4Addr, SocketAddr};

use actix_web::rt::System;
use actix_web::{App, HttpServer, dev, web};
use actix_web_prom::PrometheusMetricsBuilder;
use anyhow::{Context, Result};
use instrument_benches::loopback::{Page, Server};
use instrument_runtime::instrumented;

type Start = fn() -> Result<(u16, Page)>;

const COUNTERS: &[&str] = &["requests_total", "request_latency_seconds_count"];
const ADDR: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

pub(crate) const SERVERS: &[Server<Start>] = &[
    Server {
        name: "plain",
        counters: &[],
        start: plain_server,
    },
    Server {
        name: "plain again",
        counters: &[],
        start: plain_server,
    },
    Server {
        name: "ours, the middleware alone",
        counters: COUNTERS,
        start: || {
            let server = HttpServer::new(|| {
                App::new()
                    .wrap(instrument_runtime::actix_web::middleware())
                    .route("/hello", web::get().to(plain))
            });
            let server = server.workers(1).bind(ADDR)?;
            run(&server.addrs(), server.run(), our_page()?)
        },
    },
    Server {
        name: "ours, attribute and middleware",
        counters: COUNTERS,
        start: || {
            let server = HttpServer::new(|| {
                App::new()
                    .wrap(instrument_runtime::actix_web::middleware())
                    .route("/hello", web::get().to(ours))
            });
            let server = server.workers(1).bind(ADDR)?;
            run(&server.addrs(), server.run(), our_page()?)
        },
    },
    // It measures until the end of the body, and has no gauge of requests in flight.
    Server {
        name: "actix-web-prom",
        counters: &[
            "bench_http_requests_total",
            "bench_http_requests_duration_seconds_count",
        ],
        start: || {
            let metrics = PrometheusMetricsBuilder::new("bench").build();
            let metrics = metrics.map_err(anyhow::Error::from_boxed)?;
            let registry = metrics.registry.clone();
            let page = move || {
                let families = registry.gather();
                prometheus::TextEncoder::new()
                    .encode_to_string(&families)
                    .unwrap_or_default()
            };
            let server = HttpServer::new(move || {
                App::new()
                    .wrap(metrics.clone())
                    .route("/hello", web::get().to(plain))
            });
            let server = server.workers(1).bind(ADDR)?;
            run(&server.addrs(), server.run(), Box::new(page))
        },
    },
];

/// Runs a server on a thread of its own.
fn run(addrs: &[SocketAddr], server: dev::Server, page: Page) -> Result<(u16, Page)> {
    let addr = addrs.first().context("the server has no address")?;
    std::thread::spawn(move || System::new().block_on(server));
    Ok((addr.port(), page))
}

fn plain_server() -> Result<(u16, Page)> {
    let server = HttpServer::new(|| App::new().route("/hello", web::get().to(plain)));
    let server = server.workers(1).bind(ADDR)?;
    run(&server.addrs(), server.run(), Box::new(String::new))
}

fn our_page() -> Result<Page> {
    let exporter = instrument_runtime::builder("bench")
        .without_listener()
        .install()?;
    Ok(Box::new(move || exporter.render()))
}

async fn plain() -> &'static str {
    "hello"
}

#[instrumented(endpoint = "/hello", method = "GET")]
async fn ours() -> &'static str {
    "hello"
}
