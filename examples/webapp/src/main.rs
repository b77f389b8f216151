//! The web application of the monitoring article, on axum: three handlers, a
//! page of metrics beside them.
//!
//! `WEBAPP_ADDR` sets where it listens (`127.0.0.1:8080`). The page is on
//! `127.0.0.1:9464`, or where the standard variables
//! `OTEL_EXPORTER_PROMETHEUS_HOST` and `OTEL_EXPORTER_PROMETHEUS_PORT` say.
//! `WEBAPP_NAME` is its name (`webapp_1`). With `WEBAPP_FILE_SD` set to a folder,
//! Prometheus finds it there, and its end waits for one more scrape.

mod error;
mod handlers;
mod shutdown;

use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::middleware::map_response;
use axum::routing::get;
use instrument_runtime::Builder;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let name = std::env::var("WEBAPP_NAME").unwrap_or_else(|_| "webapp_1".to_owned());
    let exporter = metrics(&name).install()?;

    let app = Router::new()
        .route("/test", get(handlers::test))
        .route("/test1", get(handlers::test1))
        .route("/slow", get(handlers::slow))
        .layer(map_response(error::page))
        // Outside of all others, so that it sees what goes out.
        .layer(instrument_runtime::axum::layer());

    let addr = std::env::var("WEBAPP_ADDR").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(&addr).await.with_context(|| {
        format!("cannot listen on {addr}; set WEBAPP_ADDR to another host:port")
    })?;
    let addr = listener.local_addr()?;
    println!("{name} listens on http://{addr}; try");
    println!("  curl http://{addr}/test            # answers \"test\"");
    println!("  curl http://{addr}/test1           # fails: 500");
    println!("  curl http://{addr}/nowhere         # 404, under endpoint=\"unmatched\"");
    println!("  curl -m 0.2 http://{addr}/slow     # hangs up on a handler that takes 2 s");
    if let Some(metrics) = exporter.local_addr() {
        println!("  curl http://{metrics}/metrics        # what Prometheus sees");
    }

    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown::signal())
        .await?;
    exporter.shutdown().await;
    println!("{name} has stopped");
    Ok(())
}

fn metrics(name: &str) -> Builder {
    let builder = instrument_runtime::builder(name);
    #[cfg(unix)]
    if let Some(folder) = std::env::var_os("WEBAPP_FILE_SD") {
        return builder
            .file_sd(folder)
            .build_version(env!("CARGO_PKG_VERSION"))
            .last_scrape(Duration::from_secs(10));
    }
    builder
}
