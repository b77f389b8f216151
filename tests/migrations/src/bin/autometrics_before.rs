//! An application whose functions have the attribute of autometrics.

use autometrics::settings::AutometricsSettings;
use autometrics::{autometrics, prometheus_exporter};
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::net::TcpListener;

#[autometrics(track_concurrency)]
async fn create() -> StatusCode {
    StatusCode::CREATED
}

#[autometrics(track_concurrency)]
async fn user(Path(id): Path<u16>) -> Result<String, StatusCode> {
    match id {
        404 => Err(StatusCode::NOT_FOUND),
        500 => Err(StatusCode::INTERNAL_SERVER_ERROR),
        _ => Ok(format!("user {id}")),
    }
}

#[autometrics(track_concurrency)]
async fn sleep(Path(millis): Path<u64>) -> &'static str {
    app::sleep(millis).await;
    "slept"
}

#[autometrics(track_concurrency)]
async fn download() -> Body {
    Body::from_stream(app::endless())
}

#[autometrics(track_concurrency)]
async fn crash() -> &'static str {
    panic!("a bug")
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    AutometricsSettings::builder().service_name("shop").init();
    let app = Router::new()
        .route("/users", post(create))
        .route("/users/{id}", get(user))
        .route("/sleep/{millis}", get(sleep))
        .route("/download", get(download))
        .route("/crash", get(crash))
        .route(
            "/metrics",
            get(async || prometheus_exporter::encode_http_response()),
        );

    let listener = TcpListener::bind(std::env::var("ADDR")?).await?;
    let addr = listener.local_addr()?;
    println!("http://{addr}\nhttp://{addr}/metrics");
    axum::serve(listener, app).await?;
    Ok(())
}
