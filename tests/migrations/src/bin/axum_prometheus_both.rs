//! The application with axum-prometheus and the layer for axum, on one page.

use app::handlers::{create, user};
use axum::Router;
use axum::routing::{get, post};
use axum_prometheus::BaseMetricLayer;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let exporter = instrument_runtime::init("shop")?; // http://127.0.0.1:9464/metrics
    let app = Router::new()
        .route("/users", post(create))
        .route("/users/{id}", get(user))
        .layer(BaseMetricLayer::new()) // axum-prometheus
        .layer(instrument_runtime::axum::layer());

    let listener = TcpListener::bind(std::env::var("ADDR")?).await?;
    println!("http://{}", listener.local_addr()?);
    if let Some(addr) = exporter.local_addr() {
        println!("http://{addr}/metrics");
    }
    axum::serve(listener, app).await?;
    Ok(())
}
