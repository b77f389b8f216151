//! The application with the layer for axum, and the names of OpenTelemetry.

use app::handlers::{crash, create, download, sleep, user};
use axum::Router;
use axum::routing::{get, post};
use instrument_runtime::MetricNames;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let exporter = instrument_runtime::builder("shop")
        .names(MetricNames::opentelemetry())
        .install()?; // http://127.0.0.1:9464/metrics
    let app = Router::new()
        .route("/users", post(create))
        .route("/users/{id}", get(user))
        .route("/sleep/{millis}", get(sleep))
        .route("/download", get(download))
        .route("/crash", get(crash))
        .layer(instrument_runtime::axum::layer().response_sizes());

    let listener = TcpListener::bind(std::env::var("ADDR")?).await?;
    println!("http://{}", listener.local_addr()?);
    if let Some(addr) = exporter.local_addr() {
        println!("http://{addr}/metrics");
    }
    axum::serve(listener, app).await?;
    Ok(())
}
