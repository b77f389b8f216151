//! What a handler fails with, and the layer that answers for it.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Any error that a handler gave up on. What is answered is the error layer's
/// matter, and the metrics show that.
#[derive(Clone)]
pub(crate) struct AppError(Arc<anyhow::Error>);

impl<E: Into<anyhow::Error>> From<E> for AppError {
    fn from(error: E) -> Self {
        Self(Arc::new(error.into()))
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The error layer: logs what a handler failed with and answers with a page
/// that does not give it away.
pub(crate) async fn page(response: Response) -> Response {
    match response.extensions().get::<AppError>() {
        Some(AppError(error)) => {
            eprintln!("a handler failed: {error:#}");
            (StatusCode::INTERNAL_SERVER_ERROR, "500: Server Error\n").into_response()
        }
        None => response,
    }
}
