//! The handlers for axum.

use axum::body::Body;
use axum::extract::Path;
use axum::http::StatusCode;

/// `POST /users`
pub async fn create() -> StatusCode {
    StatusCode::CREATED
}

/// `GET /users/{id}`
///
/// # Errors
///
/// Returns the id as the status for the ids 404 and 500.
pub async fn user(Path(id): Path<u16>) -> Result<String, StatusCode> {
    match id {
        404 => Err(StatusCode::NOT_FOUND),
        500 => Err(StatusCode::INTERNAL_SERVER_ERROR),
        _ => Ok(format!("user {id}")),
    }
}

/// `GET /sleep/{millis}`
pub async fn sleep(Path(millis): Path<u64>) -> &'static str {
    crate::sleep(millis).await;
    "slept"
}

/// `GET /download`
pub async fn download() -> Body {
    Body::from_stream(crate::endless())
}

/// `GET /crash`
///
/// # Panics
///
/// Always panics.
pub async fn crash() -> &'static str {
    panic!("a bug")
}
