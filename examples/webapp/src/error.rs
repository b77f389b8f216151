//! The error type of the handlers, and the middleware that creates the error response.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Any error of a handler.
///
/// The response contains the error in its extensions. The middleware [`page`] replaces this
/// response, and the metrics show the status of the new response.
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

/// Logs the error of a handler that failed, and replaces the response.
///
/// The new response does not reveal the error to the client.
pub(crate) async fn page(response: Response) -> Response {
    match response.extensions().get::<AppError>() {
        Some(AppError(error)) => {
            eprintln!("handler failed: {error:#}");
            (StatusCode::INTERNAL_SERVER_ERROR, "500: Server Error\n").into_response()
        }
        None => response,
    }
}
