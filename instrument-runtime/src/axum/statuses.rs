//! [`HttpStatus`] for axum's own response and rejection types.

use axum::extract::rejection::{
    BytesRejection, ExtensionRejection, FormRejection, JsonRejection, MatchedPathRejection,
    PathRejection, QueryRejection, RawFormRejection, RawPathParamsRejection, StringRejection,
};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, NoContent, Redirect};
use axum::{Form, Json};

use crate::HttpStatus;

/// Returns the status of the redirect, or 500 if its location is not a valid header
/// value.
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

/// Returns 200. If the value cannot be serialized, axum responds with 500, but only the
/// layer counts that status.
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

/// Implements [`HttpStatus`] for tuples whose first element is a status.
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
