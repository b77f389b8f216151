//! Serves the targets in a folder over HTTP, for a Prometheus server that cannot read the
//! folder.

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

/// Returns a router that serves the targets in `folder` at `GET /targets`.
///
/// The response has the format of Prometheus's HTTP service discovery.
pub fn routes(folder: impl Into<PathBuf>) -> Router {
    Router::new()
        .route("/targets", get(targets))
        .with_state(Arc::new(folder.into()))
}

/// Serves [`routes`] on a free port until the program exits, and returns the address.
///
/// # Errors
///
/// Returns an error if the listener cannot be bound or the runtime cannot be built.
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
        // If the status is not 200, Prometheus keeps its current targets.
        Err(error) => {
            eprintln!("cannot read {}: {error}", folder.display());
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
