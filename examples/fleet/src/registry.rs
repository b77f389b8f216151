//! The folder of targets over HTTP, for a Prometheus that cannot read it.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Answers `GET /targets` from this folder, in the format of Prometheus's HTTP
/// discovery.
pub fn routes(folder: impl Into<PathBuf>) -> Router {
    Router::new()
        .route("/targets", get(targets))
        .with_state(Arc::new(folder.into()))
}

/// Serves [`routes`] on a free port, for as long as the program runs.
///
/// # Errors
///
/// When it cannot listen.
pub fn spawn(folder: impl Into<PathBuf>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    let routes = routes(folder);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::spawn(move || {
        runtime.block_on(async {
            axum::serve(tokio::net::TcpListener::from_std(listener)?, routes).await
        })
    });
    Ok(addr)
}

async fn targets(State(folder): State<Arc<PathBuf>>) -> Response {
    match instrument_runtime::http_sd(&*folder) {
        Ok(json) => ([(CONTENT_TYPE, "application/json")], json).into_response(),
        // On anything but a 200 Prometheus keeps the targets it has.
        Err(error) => {
            eprintln!("cannot read {}: {error}", folder.display());
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
