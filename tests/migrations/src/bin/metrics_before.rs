//! An application on axum that calls the macros of `metrics` in a middleware.

use std::net::SocketAddr;
use std::time::Instant;

use app::handlers::{crash, download, sleep, user};
use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;

async fn track(path: MatchedPath, request: Request, next: Next) -> Response {
    let method = request.method().to_string();
    let labels = [("method", method), ("path", path.as_str().to_owned())];
    let pending = gauge!("http_requests_pending", &labels);
    pending.increment(1);
    let start = Instant::now();
    let response = next.run(request).await;
    pending.decrement(1);

    let [method, path] = labels;
    let labels = [
        method,
        path,
        ("status", response.status().as_str().to_owned()),
    ];
    counter!("http_requests_total", &labels).increment(1);
    histogram!("http_request_duration_seconds", &labels).record(start.elapsed());
    response
}

async fn create() -> StatusCode {
    counter!("users_created_total").increment(1);
    StatusCode::CREATED
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let addr: SocketAddr = std::env::var("METRICS_ADDR")?.parse()?;
    PrometheusBuilder::new()
        .with_http_listener(addr)
        .set_buckets(&[0.01, 0.1, 1.0, 2.5, 5.0, 10.0])?
        .install()?;
    let app = Router::new()
        .route("/users", post(create))
        .route("/users/{id}", get(user))
        .route("/sleep/{millis}", get(sleep))
        .route("/download", get(download))
        .route("/crash", get(crash))
        .route_layer(from_fn(track));

    let listener = TcpListener::bind(std::env::var("ADDR")?).await?;
    println!("http://{}\nhttp://{addr}/metrics", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
