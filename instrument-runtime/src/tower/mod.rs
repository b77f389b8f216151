//! Support for any [`tower`](https://docs.rs/tower) service that handles HTTP requests, for
//! example on hyper, in a hand-written router, or in a client stack.
//!
//! Requires the feature `tower`.
//!
//! Each request is counted once:
//!
//! - The label `endpoint` is the explicit endpoint of the annotated handler. Without one,
//!   it is the route that was passed to [`set_matched_route`], or `unmatched`.
//! - The label `method` is the real method if it is a
//!   [known method](crate::Builder::known_methods), or `_OTHER`.
//! - The label `http_status` is the status of the response. If the response future is
//!   dropped or panics before it returns a response, the request is `cancelled`
//!   (`http_status="499"`) or `panicked` (`http_status="500"`). If the service returns an
//!   error instead of a response, the request is `error` and has no status.
//! - The latency ends when the service returns the head of the response. It does not
//!   include the time to stream the body, unless the layer has the setting
//!   [`until_body_end`](MetricsLayer::until_body_end).
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
//! A function joins the request as its handler by `#[instrumented(handler)]`, by its
//! method and endpoint, or by evidence (see [`instrumented`](crate::instrumented)). Before
//! [`set_matched_route`] is called, the endpoint of the function is compared with the path
//! of the request.
//!
//! Tower has no extractors, so the evidence is sufficient only if all of these hold:
//!
//! - The function takes the same `http::Request` value that passed through the layer, or
//!   the `Parts` of that request.
//! - The function owns all its arguments.
//! - The return type has an HTTP status.
//!
//! Every other function is counted separately. Write `#[instrumented(handler)]` on
//! methods, and on handlers that a hand-written router calls with parts of the request.
//!
//! An annotated router that takes the request joins the request itself. If the functions
//! that the router calls should join instead, write `#[instrumented(handler = false)]` on
//! the router.
//!
//! A service that moves the request to another task needs a second [`layer()`] inside that
//! service. The inner layer recognizes the request by its extensions, and the request is
//! still counted once.
//!
//! A request that is rejected before its handler runs (because its body cannot be parsed,
//! for example) does not have the handler's own labels.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Extensions, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

mod body;

pub use self::body::{BodyFuture, BodyLayer, BodyService, WatchedBody};

use crate::call::head::{LayerSettings, layer_settings};
use crate::call::request::{self, Framework, Route, Slot, Start};
use crate::outcome::Outcome;

/// Returns the layer that counts requests, for a service of `http::Request`s.
///
/// Add this layer outside every layer that may respond instead of the handler (timeouts,
/// authentication). If a service moves requests to another task, add a second layer inside
/// that service.
#[must_use]
pub fn layer() -> MetricsLayer {
    MetricsLayer::new(Framework::Tower, |_extensions| None)
}

/// Sets the route that the current request has matched, for the label `endpoint`.
///
/// A hand-written router calls this function while it handles the request. Only the first
/// call for each request has an effect. Outside a request that a [`layer`] counts, the call
/// has no effect.
///
/// `route` must be the route pattern (`/users/{id}`), not the path: every distinct value
/// creates new series (unbounded cardinality).
pub fn set_matched_route(route: impl Into<Cow<'static, str>>) {
    request::refine_current(route.into());
}

/// The layer that counts requests. Created by [`layer`] and by `axum::layer`.
#[derive(Clone, Debug)]
pub struct MetricsLayer {
    framework: Framework,
    route: fn(&Extensions) -> Option<Route>,
    settings: LayerSettings,
}

impl MetricsLayer {
    pub(crate) fn new(framework: Framework, route: fn(&Extensions) -> Option<Route>) -> Self {
        Self {
            framework,
            route,
            settings: LayerSettings::default(),
        }
    }

    /// Makes requests end with the body of their response, instead of its head.
    ///
    /// Use it for downloads and server-sent events, for a whole application or for a part of
    /// a router. A request is in progress until then, and its latency includes the time to
    /// stream the body. The label `http_status` is the status that was sent. The outcome
    /// is:
    ///
    /// - that of the status, if the body was sent to its end,
    /// - `cancelled`, if the client left before the end,
    /// - `error`, if the body failed,
    /// - `panicked`, if the body panicked.
    ///
    /// The end of the body is the moment at which the server takes the last bytes. The
    /// operating system may still have to send some of them.
    ///
    /// A request whose response has no body (`HEAD`, status 204 or 304) ends with the head.
    /// So does an upgrade, such as a WebSocket: its connection leaves the HTTP server. To
    /// measure a WebSocket, annotate the function that serves the connection.
    ///
    /// A layer without this setting outside this layer counts the request with the same
    /// end, unless it replaces the body.
    #[must_use]
    pub fn until_body_end(self) -> BodyLayer {
        BodyLayer::new(self).until_body_end()
    }

    /// Measures the sizes of responses, in the histogram `response_size_bytes`.
    ///
    /// The size is the number of bytes of the body that the server takes, without the head:
    /// 0 for `HEAD`, and less than the whole body if the client leaves before the end. Outside
    /// a compression layer, it is the compressed size. It is recorded when the body ends, once
    /// for each response. If two layers have this setting, the outermost one measures.
    ///
    /// The labels are those of the latency histogram, and
    /// [`max_series`](crate::Builder::max_series) bounds them.
    /// [`MetricNames::response_size_bytes`](crate::MetricNames::response_size_bytes) renames
    /// the histogram, and [`buckets_for`](crate::Builder::buckets_for) sets its bounds.
    ///
    /// # Examples
    ///
    /// ```
    /// let layer = instrument_runtime::tower::layer().response_sizes();
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn response_sizes(self) -> BodyLayer {
        BodyLayer::new(self).response_sizes()
    }
}

layer_settings!(MetricsLayer, settings);

impl<S> Layer<S> for MetricsLayer {
    type Service = MetricsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MetricsService {
            inner,
            layer: self.clone(),
        }
    }
}

impl MetricsLayer {
    /// Starts to count a request.
    #[inline]
    fn open<B>(&self, request: &mut Request<B>) -> Slot {
        let framework = self.framework;
        let Some(labels) = self.settings.labels_of(request, framework.protocol()) else {
            return Slot::none();
        };
        let route = (self.route)(request.extensions());
        let (method, path) = (request.method().as_str(), request.uri().path());
        let start = Start::new(framework, method, route, path, labels);
        Slot::open(start, request.extensions_mut())
    }
}

/// The service that counts the requests of an inner service. Created by [`MetricsLayer`].
#[derive(Clone, Debug)]
pub struct MetricsService<S> {
    inner: S,
    layer: MetricsLayer,
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
        let mut slot = self.layer.open(&mut request);
        ResponseFuture {
            inner: slot.call(|| self.inner.call(request)),
            slot,
        }
    }
}

pin_project! {
    /// The response future of [`MetricsService`], which counts its request.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // Declared first, so that it is dropped before the slot, which ends the request.
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
