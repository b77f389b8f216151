//! For [axum](https://docs.rs/axum): a layer for the router, the page as a
//! handler, and the statuses of axum's own types. Feature `axum`.
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
//! A function joins the request by `#[instrumented(handler)]`, by its names, or by
//! evidence (see [`instrumented`](crate::instrumented)). On axum the evidence is:
//!
//! - the function returns a response, and all its arguments are extractors. An
//!   extractor for one type of state is recognized beside a `State` of that type;
//! - the request was handed over: axum has taken it apart for the extractors. A
//!   function that extracts nothing from the body must start right after that. A
//!   function that takes the `Request`, its `Parts` or its `Extensions` must have
//!   received the very request that the layer saw;
//! - no other function has joined;
//! - the function has ended when the response goes out.
//!
//! Doubt remains in these cases:
//!
//! - A handler whose only arguments are `String`, `Bytes` or `Body`, a handler with
//!   an extractor that is implemented for one type of state and no `State` argument,
//!   and a handler behind middleware that keeps a copy of the request are counted by
//!   themselves. Write `#[instrumented(handler)]`.
//! - A handler that is cancelled by a time-out within the layer is counted by itself
//!   as `cancelled`, unless `handler` or its names say that it is the handler.
//! - A handler that is *not* annotated, and that first of all calls an annotated
//!   function without arguments or with extractors only: that function joins. So
//!   does such a function in middleware after a handler that is not annotated and
//!   did not wait. Write `#[instrumented(handler = false)]`, or annotate the handler.
//!
//! Middleware that moves the handler to another task (`tokio::spawn(next.run(request))`)
//! needs a second [`layer()`] inside it. The second layer finds the request again
//! through the request's extensions; the request is counted once. Without the second
//! layer, an annotated handler on the other task is counted by itself.
//!
//! When an extractor rejects the request, the handler does not run: the request is
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

/// The layer for [`Router::layer`](axum::Router::layer) of axum 0.8, added last, so
/// that it is outside of whatever may answer in a handler's place. Another axum's
/// routes it does not know.
///
/// Each request is counted once, as [`tower`](crate::tower) says; its endpoint
/// is what the attribute of its handler says, else the route that axum matched,
/// else `unmatched` (the fallback's requests).
#[must_use]
pub fn layer() -> MetricsLayer {
    MetricsLayer {
        framework: Framework::Axum,
        route: matched,
    }
}

pub(crate) fn matched(extensions: &Extensions) -> Option<Route> {
    let path = extensions.get::<MatchedPath>()?.as_str();
    Some(Route::Owned(match path.split_once("{*__private__axum") {
        // What `nest_service` adds to its path is axum's own matter.
        Some((nested, _)) => format!("{nested}{{*rest}}"),
        None => path.to_owned(),
    }))
}

/// Serves the page on a route of the application's own. It is compressed if the
/// request accepts gzip.
///
/// Requests that wait at the same time share one page, and one page is made at a
/// time, on a thread of its own. Answers 503 before [`init`](crate::init), and 500
/// if a panic kept the page from being made.
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
