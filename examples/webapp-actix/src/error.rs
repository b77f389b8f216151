//! The error type of the handlers, and the response to an error.

use std::fmt;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::middleware::{ErrorHandlerResponse, Next};
use actix_web::{Error, ResponseError};

/// Any error of a handler. By default, `ResponseError` sends status 500.
#[derive(Debug)]
pub(crate) struct AppError(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for AppError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl ResponseError for AppError {}

/// Logs the error of a handler that failed.
pub(crate) async fn log(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let response = next.call(request).await?;
    if let Some(error) = response.response().error() {
        eprintln!("handler failed: {error}");
    }
    Ok(response)
}

/// Replaces the body of an error response, so that the client does not see the error.
pub(crate) fn page<B>(response: ServiceResponse<B>) -> Result<ErrorHandlerResponse<B>, Error> {
    let mut response = response.map_body(|_, _| "500: Server Error\n".to_owned());
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    Ok(ErrorHandlerResponse::Response(
        response.map_into_boxed_body().map_into_right_body(),
    ))
}
