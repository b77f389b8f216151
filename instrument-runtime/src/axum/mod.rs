//! Support for [axum](https://docs.rs/axum) 0.8: a layer for the router, and
//! handlers that serve the page and the live view.
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
//! method and endpoint, or by evidence (see [`instrumented`](crate::instrumented)). On
//! axum, the evidence is sufficient if all of these hold:
//!
//! - The function's explicit method and endpoint, if it has them, match the request. Only
//!   a function that takes a `Request`, `Parts` or `Extensions` may have another endpoint.
//! - The function returns a response, and all its arguments are extractors. An extractor
//!   that is implemented only for one type of state is recognized if the function also
//!   takes a `State` of that type.
//! - axum has split the request into its parts for the extractors. A function without a
//!   body extractor must start in the same poll, before any other annotated function. A
//!   function that takes a `Request`, `Parts` or `Extensions` must have received them from
//!   the request that passed through the layer.
//! - No other function has joined.
//! - The function has ended when the head of the response is sent.
//!
//! In these cases, the layer cannot recognize the handler, or may mistake another function
//! for the handler:
//!
//! - Some handlers are counted separately: a handler that takes a `String`, `Bytes` or
//!   `Body`, and nothing else except a `HeaderMap`, `Method`, `Uri` or `Version`; a handler
//!   that has an extractor for only one type of state, but no `State` argument; and a
//!   handler behind middleware that keeps a copy of the request. Write
//!   `#[instrumented(handler)]`.
//! - A handler that a timeout inside the layer cancels is counted separately, as
//!   `cancelled`, unless it is marked with `handler`, or its method and endpoint are those
//!   of the request.
//! - If a handler is *not* annotated, an annotated function that takes no arguments or only
//!   extractors may join instead. This happens if the function is the first annotated
//!   function that the handler calls, or if middleware calls the function after a handler
//!   that completed in its first poll. Write `#[instrumented(handler = false)]` on that
//!   function, or annotate the handler.
//!
//! Middleware that moves the handler to another task (`tokio::spawn(next.run(request))`)
//! needs a second [`layer()`] inside that middleware. The inner layer recognizes the
//! request by its extensions, and the request is still counted once. Without the inner
//! layer, an annotated handler on the other task is counted separately.
//!
//! If an extractor rejects the request, the handler does not run. The request is then
//! counted under its route, without the handler's own labels.

use std::borrow::Cow;
use std::future::{Ready, ready};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::call::request::{Framework, Route};
use crate::live_view::in_app::{InApp, NEXT_TO_METRICS};
use crate::page::encoding::{VARIES_BY, accepts_gzip};
use crate::page::in_app::{self, Unavailable};
pub use crate::tower::{BodyLayer, MetricsLayer};

mod statuses;

/// Returns the layer that counts requests, for [`Router::layer`](axum::Router::layer).
///
/// Add this layer last, so that it is the outermost layer. It then also counts requests to
/// which other layers respond instead of the handler. The layer recognizes only routes of
/// axum 0.8.
///
/// Each request is counted once, as described in [`tower`](crate::tower). The label
/// `endpoint` is the explicit endpoint of the handler's attribute. Without one, it is the
/// route that axum matched, or `unmatched` if the request reached the fallback.
#[must_use]
pub fn layer() -> MetricsLayer {
    MetricsLayer::new(Framework::Axum, matched)
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

/// Serves the live view on a route of the application's own.
///
/// The view reads the metrics from the path `metrics` beside its own: a view at `/live` reads
/// `/metrics`, and a view at `/internal/live` reads `/internal/metrics`. [`metrics()`] serves
/// them. For another path, use [`live_view_of`].
///
/// An open view requests the metrics every two seconds. [`layer`] counts these requests like
/// all others, unless [`skip`](MetricsLayer::skip) leaves them out.
///
/// [`Exporter`](crate::Exporter#the-live-view) describes the view. The status is 503 if
/// [`init`](crate::init) has not been called.
///
/// # Examples
///
/// ```
/// use axum::Router;
/// use axum::routing::get;
///
/// let internal: Router = Router::new()
///     .route("/live", get(instrument_runtime::axum::live_view))
///     .route("/metrics", get(instrument_runtime::axum::metrics));
/// let app: Router = Router::new().nest("/internal", internal);
/// ```
pub async fn live_view(headers: HeaderMap) -> Response {
    view(&NEXT_TO_METRICS, &headers)
}

/// Returns a handler that serves the live view of the metrics at another path.
///
/// `metrics` is the URL of the metrics. It is relative to the URL of the view, or absolute. The
/// browser must reach both on the same server: the view's `Content-Security-Policy` forbids
/// requests to other servers. [`live_view`] is this handler for the URL `metrics`.
///
/// # Examples
///
/// ```
/// use axum::Router;
/// use axum::routing::get;
/// use instrument_runtime::axum::{live_view_of, metrics};
///
/// let app: Router = Router::new()
///     .route("/prometheus", get(metrics))
///     .route("/live", get(live_view_of("prometheus")));
/// ```
pub fn live_view_of(
    metrics: impl Into<Cow<'static, str>>,
) -> impl Fn(HeaderMap) -> Ready<Response> + Clone + Send + Sync + 'static {
    let of = Arc::new(InApp::new(metrics.into()));
    move |headers| ready(view(&of, &headers))
}

fn view(of: &InApp, headers: &HeaderMap) -> Response {
    let view = match of.view() {
        Ok(view) => view,
        Err(no_view) => return unavailable(no_view),
    };
    let (headers, body) = view.answer(accepts_gzip(headers));
    let mut response = Response::new(Body::from(body));
    for (name, value) in headers {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

fn unavailable(reason: Unavailable) -> Response {
    let (status, text) = reason.answer();
    let status = StatusCode::from_u16(status).unwrap_or_default();
    (status, text).into_response()
}

/// Serves the page on a route of the application's own.
///
/// The format is the one that the header `Accept` prefers. The response is compressed if
/// the request accepts gzip. The status is 503 if [`init`](crate::init) has not been called
/// or if the rendering thread cannot be started, and 500 if rendering the page panicked.
///
/// A separate thread renders one page at a time. Requests that wait at the same time share
/// one page.
pub async fn metrics(headers: HeaderMap) -> Response {
    let page = match in_app::asked_for(&headers).await {
        Ok(page) => page,
        Err(no_page) => return unavailable(no_page),
    };
    let mut response = (
        [(CONTENT_TYPE, page.content_type), (VARY, VARIES_BY)],
        Body::new(page.body),
    )
        .into_response();
    if page.is_gzip {
        response
            .headers_mut()
            .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}
