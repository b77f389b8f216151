//! An application on axum with axum-prometheus.

use app::handlers::{crash, create, download, sleep, user};
use axum::Router;
use axum::routing::{get, post};
use axum_prometheus::PrometheusMetricLayer;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (layer, page) = PrometheusMetricLayer::pair();
    let app = Router::new()
        .route("/users", post(create))
        .route("/users/{id}", get(user))
        .route("/sleep/{millis}", get(sleep))
        .route("/download", get(download))
        .route("/crash", get(crash))
        .layer(layer)
        .route("/metrics", get(async move || page.render()));

    let listener = TcpListener::bind(std::env::var("ADDR")?).await?;
    let addr = listener.local_addr()?;
    println!("http://{addr}\nhttp://{addr}/metrics");
    axum::serve(listener, app).await?;
    Ok(())
}
