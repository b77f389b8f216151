//! The application with `#[instrumented]` instead of `#[autometrics]`.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use instrument_runtime::instrumented;
use tokio::net::TcpListener;

#[instrumented]
async fn create() -> StatusCode {
    StatusCode::CREATED
}

#[instrumented]
async fn user(Path(id): Path<u16>) -> Result<String, StatusCode> {
    match id {
        404 => Err(StatusCode::NOT_FOUND),
        500 => Err(StatusCode::INTERNAL_SERVER_ERROR),
        _ => Ok(format!("user {id}")),
    }
}

#[instrumented]
async fn sleep(Path(millis): Path<u64>) -> &'static str {
    app::sleep(millis).await;
    "slept"
}

#[instrumented]
async fn download() -> Body {
    Body::from_stream(app::endless())
}

#[instrumented]
async fn crash() -> &'static str {
    panic!("a bug")
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let exporter = instrument_runtime::builder("shop")
        .version(env!("CARGO_PKG_VERSION"))
        .install()?; // http://127.0.0.1:9464/metrics
    let app = Router::new()
        .route("/users", post(create))
        .route("/users/{id}", get(user))
        .route("/sleep/{millis}", get(sleep))
        .route("/download", get(download))
        .route("/crash", get(crash));

    let listener = TcpListener::bind(std::env::var("ADDR")?).await?;
    println!("http://{}", listener.local_addr()?);
    if let Some(addr) = exporter.local_addr() {
        println!("http://{addr}/metrics");
    }
    axum::serve(listener, app).await?;
    Ok(())
}
