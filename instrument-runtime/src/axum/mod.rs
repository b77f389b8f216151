//! Support for [axum](https://docs.rs/axum) 0.8: a layer for the router, and a handler
//! that serves the page.
//!
//! Requires the feature `axum`, which also implements [`HttpStatus`](crate::HttpStatus)
//! for axum's own response and rejection types.
//!
//! ```
//! use axum::Router;
//! use axum::routing::get;
//! use instrument_runtime::instrumented;
//!
//! #[instrumented]
//! async fn user() -> &'static str {
//!     "Alice"
//! }
//!
//! let app: Router = Router::new()
//!     .route("/users/{id}", get(user)) // endpoint="/users/{id}", method="GET"
//!     .route("/metrics", get(instrument_runtime::axum::metrics))
//!     .layer(instrument_runtime::axum::layer());
//! ```
//!
//! # Which function is the handler
//!
//! A function joins the request as its handler by `#[instrumented(handler)]`, by its
//! names, or by evidence (see [`instrumented`](crate::instrumented)). On axum, the
//! evidence is sufficient if all of these hold:
//!
//! - The function returns a response, and all its arguments are extractors. An extractor
//!   that is implemented for one type of state only is recognized if the function also
//!   takes a `State` of that type.
//! - The request was handed over: axum has taken it apart for the extractors. A function
//!   without a body extractor must start right after that. A function that takes the
//!   `Request`, its `Parts` or its `Extensions` must have received the very request that
//!   the layer saw.
//! - No other function has joined.
//! - The function has ended when the response goes out.
//!
//! These cases remain ambiguous:
//!
//! - Some handlers are counted by themselves: a handler whose only arguments are
//!   `String`, `Bytes` or `Body`; a handler with an extractor that is implemented for one
//!   type of state only, and without a `State` argument; and a handler behind middleware
//!   that keeps a copy of the request. Write `#[instrumented(handler)]`.
//! - A handler that is cancelled by a time-out inside the layer is counted by itself, as
//!   `cancelled`, unless `handler` or its names say that it is the handler.
//! - If a handler is *not* annotated, an annotated function may join in its place: a
//!   function without arguments, or with extractors only, that the handler calls first,
//!   or that middleware calls after a handler that completed without waiting. Write
//!   `#[instrumented(handler = false)]` on that function, or annotate the handler.
//!
//! Middleware that moves the handler to another task (`tokio::spawn(next.run(request))`)
//! needs a second [`layer()`] inside it. The inner layer finds the request again through
//! the request's extensions, and the request is still counted once. Without the inner
//! layer, an annotated handler on the other task is counted by itself.
//!
//! If an extractor rejects the request, the handler does not run. The request is then
//! counted under its route, without the handler's own labels.

use axum::extract::MatchedPath;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::call::request::{Framework, Route};
use crate::page::encoding::PAGE_TYPE;
use crate::page::in_app;
pub use crate::tower::MetricsLayer;

mod statuses;

/// Returns the layer that counts requests, for [`Router::layer`](axum::Router::layer).
///
/// Add it last, so that it is the outermost layer: it then also counts requests that
/// other layers answer in the handler's place. It recognizes the routes of axum 0.8 only.
///
/// Each request is counted once, as described in [`tower`](crate::tower). The label
/// `endpoint` is the explicit endpoint of the handler's attribute, else the route that
/// axum matched, else `unmatched` (requests that reach the fallback).
#[must_use]
pub fn layer() -> MetricsLayer {
    MetricsLayer {
        framework: Framework::Axum,
        route: matched,
    }
}

/// Returns the route that axum has matched.
pub(crate) fn matched(extensions: &Extensions) -> Option<Route> {
    let path = extensions.get::<MatchedPath>()?.as_str();
    Some(Route::Owned(match path.split_once("{*__private__axum") {
        // `nest_service` adds a wildcard with a private name to its path.
        Some((nested, _)) => format!("{nested}{{*rest}}"),
        None => path.to_owned(),
    }))
}

/// Serves the page on a route of the application's own.
///
/// The response is compressed if the request accepts gzip. Its status is 503 before
/// [`init`](crate::init) or if the rendering thread cannot be started, and 500 if a panic
/// interrupted the rendering.
///
/// The page is rendered on a separate thread, one page at a time; requests that wait at
/// the same time share a page.
pub async fn metrics(headers: HeaderMap) -> Response {
    let page = match in_app::asked_for(&headers).await {
        Ok(page) => page,
        Err(no_page) => {
            let (status, text) = no_page.answer();
            let status = StatusCode::from_u16(status).unwrap_or_default();
            return (status, text).into_response();
        }
    };
    let mut response = (
        [(CONTENT_TYPE, PAGE_TYPE), (VARY, "accept-encoding")],
        page.body,
    )
        .into_response();
    if page.is_gzip {
        response.headers_mut().insert(
            CONTENT_ENCODING,
            axum::http::HeaderValue::from_static("gzip"),
        );
    }
    response
}
