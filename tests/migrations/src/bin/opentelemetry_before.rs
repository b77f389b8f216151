//! An application on axum with the layer of OpenTelemetry.

use app::handlers::{crash, create, download, sleep, user};
use axum::Router;
use axum::routing::{get, post};
use opentelemetry_instrumentation_tower::http::server;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .build()?;
    let provider = SdkMeterProvider::builder().with_reader(exporter).build();
    opentelemetry::global::set_meter_provider(provider);
    let page = async move || {
        TextEncoder::new()
            .encode_to_string(&registry.gather())
            .expect("text")
    };
    let app = Router::new()
        .route("/users", post(create))
        .route("/users/{id}", get(user))
        .route("/sleep/{millis}", get(sleep))
        .route("/download", get(download))
        .route("/crash", get(crash))
        .layer(server::Layer::new())
        .route("/metrics", get(page));

    let listener = TcpListener::bind(std::env::var("ADDR")?).await?;
    let addr = listener.local_addr()?;
    println!("http://{addr}\nhttp://{addr}/metrics");
    axum::serve(listener, app).await?;
    Ok(())
}
