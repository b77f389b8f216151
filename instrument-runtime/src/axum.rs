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

use axum::extract::MatchedPath;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::app_page;
use crate::exporter::respond::PAGE_TYPE;
use crate::request::{Framework, Route};
pub use crate::tower::InstrumentedLayer;

mod statuses;

/// The layer for [`Router::layer`](axum::Router::layer) of axum 0.8, added last, so
/// that it is outside of whatever may answer in a handler's place. Another axum's
/// routes it does not know.
///
/// Each request is counted once, as [`tower`](crate::tower) says; its endpoint
/// is what the attribute of its handler says, else the route that axum matched,
/// else `unmatched` (the fallback's requests).
#[must_use]
pub fn layer() -> InstrumentedLayer {
    InstrumentedLayer {
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
    let page = match app_page::asked_for(&headers).await {
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
