//! The statuses that axum answers its own types with.

use axum::extract::rejection::{
    BytesRejection, ExtensionRejection, FormRejection, JsonRejection, MatchedPathRejection,
    PathRejection, QueryRejection, RawFormRejection, RawPathParamsRejection, StringRejection,
};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, NoContent, Redirect};
use axum::{Form, Json};

use crate::HttpStatus;

/// Its own status, or 500 where the location cannot be sent in a header.
impl HttpStatus for Redirect {
    fn http_status(&self) -> u16 {
        self.clone().into_response().status().as_u16()
    }
}

impl HttpStatus for NoContent {
    fn http_status(&self) -> u16 {
        StatusCode::NO_CONTENT.as_u16()
    }
}

/// 200, unless the value cannot be serialized: then axum answers 500, which the
/// layer sees.
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

impl<T> HttpStatus for Html<T> {
    fn http_status(&self) -> u16 {
        StatusCode::OK.as_u16()
    }
}

macro_rules! rejections {
    ($($rejection:ty)*) => {
        $(
            impl HttpStatus for $rejection {
                fn http_status(&self) -> u16 {
                    self.status().as_u16()
                }
            }
        )*
    };
}

rejections! {
    BytesRejection ExtensionRejection FormRejection JsonRejection MatchedPathRejection PathRejection
    QueryRejection RawFormRejection RawPathParamsRejection StringRejection
}

/// A response's parts that begin with its status.
macro_rules! tuples {
    ($($($part:ident)+;)*) => {
        $(
            impl<$($part),+> HttpStatus for (StatusCode, $($part),+) {
                fn http_status(&self) -> u16 {
                    self.0.as_u16()
                }
            }
        )*
    };
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}
