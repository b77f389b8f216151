//! The statuses that actix-web answers its own types with. Errors that are
//! `ResponseError`s are asked where the return type is looked at.

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

/// The status that actix-web answers with when a handler returns this error.
///
/// actix-web sends what `error_response()` returns, and `status_code()` is only what
/// most implementations build it from. Those that do not usually leave `status_code()`
/// at its default, 500, so the response itself is asked for only then: it costs a
/// rendered body, and it may log.
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

/// Whether the error may have a response that it gives away when it is asked for the
/// first time, as [`InternalError::from_response`] does. To ask would change what
/// goes out. The error's type is unknown here, but not its size.
pub(super) fn may_hold_a_response<E: ResponseError + ?Sized>(error: &E) -> bool {
    size_of_val(error) >= size_of::<InternalError<()>>()
}

/// 200, unless the value cannot be serialized: then actix-web answers 500, which
/// the middleware sees.
impl<T> HttpStatus for Json<T> {
    fn http_status(&self) -> u16 {
        StatusCode::OK.as_u16()
    }
}

/// As [`Json`].
impl<T> HttpStatus for Form<T> {
    fn http_status(&self) -> u16 {
        StatusCode::OK.as_u16()
    }
}

/// A body with its status, in actix-web's order.
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
