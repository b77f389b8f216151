//! A layer for any [`tower`](https://docs.rs/tower) service of HTTP requests:
//! hyper, a hand-written router, a client's stack. Feature `tower`.
//!
//! Each request is counted once: under the explicit endpoint of its annotated
//! handler, else under the route that [`set_matched_route`] was told of, else under
//! `endpoint="unmatched"`; with its real method (one of the nine of RFC 9110 and
//! RFC 5789, or `_OTHER`) and the status that went out. Its latency ends with the
//! response's head: a body that streams, or a WebSocket after its upgrade, is not
//! waited for.
//!
//! A request whose response never got as far as a head is `cancelled`
//! (`http_status="499"`); one that panicked is `panicked` (`500`). A service that
//! fails with an error instead of a response is `error` with no status.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use http::{Request, Response, StatusCode};
//! use instrument_runtime::tower::set_matched_route;
//! use tower::{ServiceBuilder, service_fn};
//!
//! async fn route(request: Request<String>) -> Result<Response<String>, Infallible> {
//!     let mut response = Response::new(String::new());
//!     if let Some(id) = request.uri().path().strip_prefix("/users/") {
//!         set_matched_route("/users/{id}");
//!         *response.body_mut() = format!("user {id}");
//!     } else {
//!         *response.status_mut() = StatusCode::NOT_FOUND; // endpoint="unmatched"
//!     }
//!     Ok(response)
//! }
//!
//! let service = ServiceBuilder::new()
//!     .layer(instrument_runtime::tower::layer())
//!     .service(service_fn(route));
//! # drop(service);
//! ```
//!
//! # Which function is the handler
//!
//! A function joins the request by `#[instrumented(handler)]`, by its names, or by
//! evidence (see [`instrumented`](crate::instrumented)). While no route is known, names
//! are compared with the request's path. Tower has no extractors, so the only
//! evidence is this: the function takes the very `http::Request` that the layer saw
//! (or its `Parts`), owns all its arguments, and its return type tells an HTTP status.
//!
//! Every other function is in doubt and is counted by itself. Write
//! `#[instrumented(handler)]` on handlers that a hand-written router calls with parts
//! of the request, and on methods. An annotated router that takes the request
//! joins it; write `#[instrumented(handler = false)]` on the router if the functions
//! behind it are to join.
//!
//! A service that moves the request to another task needs a second [`layer()`] inside
//! it. The second layer finds the request again through the request's extensions;
//! the request is counted once.
//!
//! A request that is refused before its handler runs (because its body cannot be
//! parsed, for example) does not have the handler's own labels.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Extensions, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::call::request::{self, Framework, Route, Slot, Start};
use crate::outcome::Outcome;

/// The layer for a service of `http::Request`s.
///
/// Put it outside of whatever may answer in the handler's place (time-outs,
/// authentication). Where a service in between moves requests to another task, put a
/// second one inside of it.
#[must_use]
pub fn layer() -> MetricsLayer {
    MetricsLayer {
        framework: Framework::Tower,
        route: |_extensions| None,
    }
}

/// Tells which route the request that is being answered has matched, for the
/// label `endpoint`. The first word counts; outside of a [`layer`] nothing
/// happens.
///
/// `route` must be the pattern (`/users/{id}`), not the path: each makes series
/// of its own.
pub fn set_matched_route(route: impl Into<Cow<'static, str>>) {
    request::refine_current(route.into());
}

/// Made by [`layer`] and by the frameworks' own.
#[derive(Clone, Copy, Debug)]
pub struct MetricsLayer {
    pub(crate) framework: Framework,
    pub(crate) route: fn(&Extensions) -> Option<Route>,
}

impl<S> Layer<S> for MetricsLayer {
    type Service = MetricsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MetricsService {
            inner,
            framework: self.framework,
            route: self.route,
        }
    }
}

/// A service whose requests are counted. Made by an [`MetricsLayer`].
#[derive(Clone, Copy, Debug)]
pub struct MetricsService<S> {
    inner: S,
    framework: Framework,
    route: fn(&Extensions) -> Option<Route>,
}

impl<S, B, R> Service<Request<B>> for MetricsService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let route = (self.route)(request.extensions());
        let (method, path) = (request.method().as_str(), request.uri().path());
        let start = Start::new(self.framework, method, route, path);
        let mut slot = Slot::new(start, request.extensions().get());
        if let Some(token) = slot.token() {
            request.extensions_mut().insert(token);
        }
        ResponseFuture {
            inner: slot.call(|| self.inner.call(request)),
            slot,
        }
    }
}

pin_project! {
    /// A response that is counted.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // Dropped before the request, which ends with it.
        #[pin]
        inner: F,
        slot: Slot,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let inner = this.inner;
        let response = ready!(this.slot.poll(|| inner.poll(context)));
        this.slot.answered(match &response {
            Ok(response) => Outcome::HttpStatus(response.status().as_u16()),
            Err(_) => Outcome::Error,
        });
        Poll::Ready(response)
    }
}
