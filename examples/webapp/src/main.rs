//! An example web application on axum, with three instrumented handlers.
//!
//! Environment variables configure the application:
//!
//! - `WEBAPP_ADDR`: the address of the application (default: `127.0.0.1:8080`).
//! - `WEBAPP_NAME`: its name, the label `app_name` (default: `webapp_1`).
//! - `WEBAPP_FILE_SD`: a folder for the target file, through which Prometheus discovers the
//!   application. If it is set, the application waits up to 10 seconds for one more scrape
//!   when it shuts down. Unix only.
//! - `WEBAPP_NATIVE_HISTOGRAMS=1`: adds native histograms.
//! - `WEBAPP_EXEMPLARS=1`: adds exemplars, and prints the spans that they lead to.
//! - `WEBAPP_OLDEST_IN_PROGRESS=1`: adds the age of the oldest request in flight.
//! - `OTEL_EXPORTER_PROMETHEUS_HOST` and `OTEL_EXPORTER_PROMETHEUS_PORT`: the address of the
//!   metrics (default: `127.0.0.1:9464`).

mod error;
mod handlers;
mod shutdown;
mod spans;

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
        // The last layer is the outermost one, so it sees the final response.
        .layer(instrument_runtime::axum::layer());

    let addr = std::env::var("WEBAPP_ADDR").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(&addr).await.with_context(|| {
        format!("cannot listen on {addr}; set WEBAPP_ADDR to another host:port")
    })?;
    let addr = listener.local_addr()?;
    println!("{name} listens on http://{addr}; try:");
    println!("  curl http://{addr}/test            # returns \"test\"");
    println!("  curl http://{addr}/test1           # fails with 500");
    println!("  curl http://{addr}/nowhere         # 404, counted under endpoint=\"unmatched\"");
    println!(
        "  curl -m 0.2 http://{addr}/slow     # disconnects after 0.2 s; the handler takes 2 s"
    );
    if let Some(metrics) = exporter.local_addr() {
        println!("  curl http://{metrics}/metrics        # the metrics that Prometheus scrapes");
        println!(
            "  http://{metrics}/                    # in a browser: a live view of the metrics"
        );
    }

    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown::signal())
        .await?;
    exporter.shutdown().await;
    println!("{name} has stopped");
    Ok(())
}

/// Configures the metrics from the environment.
fn metrics(name: &str) -> Builder {
    let mut builder = instrument_runtime::builder(name);
    if is_on("WEBAPP_NATIVE_HISTOGRAMS") {
        builder = builder.native_histograms();
    }
    if is_on("WEBAPP_EXEMPLARS") {
        spans::install();
        builder = builder.exemplars(instrument_runtime::opentelemetry::current);
    }
    if is_on("WEBAPP_OLDEST_IN_PROGRESS") {
        builder = builder.oldest_in_progress();
    }
    #[cfg(unix)]
    if let Some(folder) = std::env::var_os("WEBAPP_FILE_SD") {
        builder = builder
            .file_sd(folder)
            .version(env!("CARGO_PKG_VERSION"))
            .wait_for_last_scrape(Duration::from_secs(10));
    }
    builder
}

fn is_on(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == "1")
}
