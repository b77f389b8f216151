//! The statuses that actix-web answers its own types with. Errors that are
//! `ResponseError`s are asked where the return type is looked at.

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Form, Json};
use actix_web::{Error, HttpResponse};

use crate::HttpStatus;

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
        self.as_response_error().status_code().as_u16()
    }
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
