//! The folder of targets over HTTP, for a Prometheus that cannot read it.

use std::path::PathBuf;
use std::sync::Arc;

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
