//! Implements [`HttpStatus`] for actix-web's own types, and [`Side`] for every
//! `ResponseError`.

use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Form, Json};
use actix_web::{Error, HttpResponse, ResponseError};

use crate::outcome::answered::is_answered_by_layer;
use crate::outcome::http_status::HttpStatus;
use crate::outcome::probe::{ActixError, Side};
use crate::outcome::{Outcome, Protocol};

impl HttpStatus for StatusCode {
    fn http_status(&self) -> u16 {
        self.as_u16()
    }
}

impl<B> HttpStatus for HttpResponse<B> {
    fn http_status(&self) -> u16 {
        self.status().as_u16()
    }
}

impl HttpStatus for Error {
    fn http_status(&self) -> u16 {
        status_of(self.as_response_error())
    }
}

impl<T: ResponseError> Side<T> for ActixError {
    const PROTOCOL: Protocol = Protocol::Http;

    fn tell(value: &T, _is_request: bool) -> Option<Outcome> {
        let status = status_of(value);
        Some(Outcome::HttpStatus(status))
    }
}

/// Returns the status of the response that actix-web sends for this error.
///
/// actix-web sends the result of `error_response()`. Calling that method has a cost: it
/// renders a body and may write to a log. Most implementations use the status from
/// `status_code()`. The others usually leave `status_code()` at its default, 500.
/// Therefore `error_response()` is called only if `status_code()` returns 500.
pub(super) fn status_of<E: ResponseError + ?Sized>(error: &E) -> u16 {
    let status = error.status_code();
    let is_asked = status == StatusCode::INTERNAL_SERVER_ERROR
        && !is_answered_by_layer()
        && !may_hold_a_response(error);
    if is_asked {
        error.error_response().status().as_u16()
    } else {
        status.as_u16()
    }
}

/// Returns whether the error may contain a response that `error_response()` returns on
/// the first call only, as [`InternalError::from_response`] does.
///
/// If such an error's `error_response()` were called here, actix-web would later send
/// another response. The concrete type of the error is unknown here, but its size is known,
/// and an error that is smaller than `InternalError` cannot contain a response.
pub(super) fn may_hold_a_response<E: ResponseError + ?Sized>(error: &E) -> bool {
    size_of_val(error) >= size_of::<InternalError<()>>()
}

/// Returns 200. If the value cannot be serialized, actix-web responds with 500, but only
/// the middleware counts that status.
impl<T> HttpStatus for Json<T> {
    fn http_status(&self) -> u16 {
        StatusCode::OK.as_u16()
    }
}

/// Returns 200, as for `Json`.
impl<T> HttpStatus for Form<T> {
    fn http_status(&self) -> u16 {
        StatusCode::OK.as_u16()
    }
}

/// Implements [`HttpStatus`] for pairs of a body and a status. In actix-web, the body is
/// the first element.
macro_rules! with_status {
    ($($body:ty $(, any $param:ident)?;)*) => {
        $(
            impl$(<$param>)? HttpStatus for ($body, StatusCode) {
                fn http_status(&self) -> u16 {
                    self.1.as_u16()
                }
            }
        )*
    };
}

with_status! {
    &'static str;
    String;
    &'static [u8];
    Vec<u8>;
    Bytes;
    Json<T>, any T;
    Form<T>, any T;
}
