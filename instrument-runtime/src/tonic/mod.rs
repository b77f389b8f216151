//! Support for [tonic](https://docs.rs/tonic) 0.14: a layer for the server that counts
//! gRPC calls by their status.
//!
//! Requires the feature `tonic`.
//!
//! ```
//! use instrument_runtime::instrumented;
//! use tonic::{Request, Response, Status};
//!
//! struct Greeter;
//!
//! impl Greeter {
//!     #[instrumented] // endpoint="/greeter.Greeter/SayHello", grpc_status="OK"
//!     async fn say_hello(&self, name: Request<String>) -> Result<Response<String>, Status> {
//!         Ok(Response::new(format!("Hello, {}!", name.into_inner())))
//!     }
//! }
//!
//! # let _ = Greeter::say_hello;
//! // Server::builder().layer(instrument_runtime::tonic::layer()).add_service(…)
//! let layer = instrument_runtime::tonic::layer();
//! # drop(layer);
//! ```
//!
//! # Which method is the handler
//!
//! A method joins the gRPC call as its handler if it takes by value the `tonic::Request`
//! that passed through the layer, and returns a `tonic::Response` or a `tonic::Status`. A
//! method also joins if it is marked with `#[instrumented(handler)]`, or if its method and
//! endpoint are those of the call (see [`instrumented`](crate::instrumented)). Every other
//! annotated method is counted separately.
//!
//! In these cases, the layer does not recognize the handler, or mistakes another method for
//! the handler:
//!
//! - A method that takes the message instead of the request, or whose argument is a
//!   pattern, is counted separately. Write `#[instrumented(handler)]`.
//! - If a method is *not* annotated and passes its request on to an annotated method, the
//!   annotated method joins. If it should not join, write
//!   `#[instrumented(handler = false)]` on it.
//!
//! A service that moves the call to another task needs a second [`layer()`] inside that
//! service. The inner layer recognizes the call by the extensions of its request, and the
//! call is still counted once.
//!
//! A call that an interceptor rejects, or whose message cannot be decoded, does not have
//! the method's own labels.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{PoisonError, RwLock};
use std::task::{Context, Poll, ready};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Buf;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::call::head::{LayerSettings, layer_settings};
use crate::call::request::{BodySettings, Framework, Route, SizeWatch, Slot, Start, or_on_unwind};
use crate::outcome::probe::Tells;
use crate::outcome::{Outcome, Protocol};

mod web;

use web::WebTrailers;

/// Returns the layer that counts gRPC calls, for `Server::builder().layer(…)`.
///
/// Add it first, so that it is the outermost layer.
///
/// Each call is counted once, when its status goes out. For a streaming response, that is
/// at the end of the stream.
///
/// - The label `grpc_status` is the name of the gRPC status code, which also determines
///   the outcome (see [`Outcome::GrpcStatus`]). A call that the client cancels is
///   `cancelled`, with `grpc_status="CANCELLED"`. A call that panics is `panicked`, with
///   `grpc_status="INTERNAL"`.
/// - The label `endpoint` is the explicit endpoint of the method's attribute. Without one,
///   it is the path of the call (`/package.Service/Method`). A client can send any path, so
///   the path is used only if this call or an earlier call of the same path succeeded, or
///   if an annotated method joined. Otherwise the label is `unmatched`.
///
/// # gRPC-Web
///
/// The layer also counts gRPC-Web calls. Add `tonic_web::GrpcWebLayer` inside this layer.
/// The status of a gRPC-Web call is read from the end of the response body.
///
/// # Other requests
///
/// If neither the request nor the response has a gRPC `content-type`, the request is
/// counted as an HTTP request: when the head of the response is sent, and with
/// `http_status` instead of `grpc_status`. The endpoint is `unmatched`, unless the
/// handler's attribute or a layer inside the router provides the route. If an axum router
/// contains plain HTTP routes in addition to gRPC services, add the axum layer to the plain
/// routes (feature `axum`):
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::{Router, routing::get};
///
/// let plain = Router::new()
///     .route("/healthz", get(|| async { "ok" }))
///     .layer(instrument_runtime::axum::layer()); // finds the route; counts nothing twice
/// // Routes::new(…).into_axum_router().merge(plain)
/// # let _: Router = plain;
/// # }
/// ```
#[must_use]
pub fn layer() -> MetricsLayer {
    MetricsLayer {
        settings: LayerSettings::default(),
        body: BodySettings::default(),
    }
}

/// The layer that counts gRPC calls. Created by [`layer`].
#[derive(Clone, Debug)]
pub struct MetricsLayer {
    settings: LayerSettings,
    body: BodySettings,
}

layer_settings!(MetricsLayer, settings);

impl MetricsLayer {
    /// Measures the sizes of responses, in the histogram `response_size_bytes`.
    ///
    /// The size is the number of bytes of the body that the server takes, without the head and
    /// the trailers: the messages, compressed if the service compresses them, and 5 bytes
    /// before each message. It is recorded when the body ends, once for each response. The
    /// labels are those of the latency histogram.
    ///
    /// # Examples
    ///
    /// ```
    /// let layer = instrument_runtime::tonic::layer().response_sizes();
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn response_sizes(mut self) -> Self {
        self.body.sizes = true;
        self
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = MetricsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MetricsService {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service that counts the calls of an inner service. Created by [`MetricsLayer`].
#[derive(Clone, Debug)]
pub struct MetricsService<S> {
    inner: S,
    layer: MetricsLayer,
}

impl<S, B, R> Service<Request<B>> for MetricsService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<CountedBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let is_grpc = grpc_subtype(request.headers()).is_some();
        let path = request.uri().path();
        let (route, candidate, learned) = if !is_grpc {
            (http_route(request.extensions()), None, None)
        } else if is_answered(path) {
            (Some(Route::Owned(path.to_owned())), None, None)
        } else {
            let candidate = Route::Owned(path.to_owned());
            (None, Some(candidate), Some(path.to_owned()))
        };
        let framework = if is_grpc {
            Framework::Tonic
        } else {
            PLAIN_HTTP
        };
        let settings = &self.layer.settings;
        let mut slot = match settings.labels_of(&request, framework.protocol()) {
            Some(labels) => {
                let start = Start {
                    candidate,
                    path: None,
                    ..Start::new(framework, request.method().as_str(), route, path, labels)
                };
                Slot::open(start, request.extensions_mut())
            }
            None => Slot::none(),
        };
        ResponseFuture {
            inner: slot.call(|| self.inner.call(request)),
            size: slot.size(self.layer.body),
            slot,
            new_path: learned,
            is_grpc,
        }
    }
}

/// The framework of requests that are not gRPC. Routes beside gRPC services are usually
/// axum's.
#[cfg(feature = "axum")]
const PLAIN_HTTP: Framework = Framework::Axum;
#[cfg(not(feature = "axum"))]
const PLAIN_HTTP: Framework = Framework::Tower;

/// Returns the route of a request that is not gRPC, if axum has already matched a route.
#[cfg(feature = "axum")]
use crate::axum::matched as http_route;

#[cfg(not(feature = "axum"))]
fn http_route(_extensions: &http::Extensions) -> Option<Route> {
    None
}

/// The paths of gRPC calls that have succeeded. A success proves that the path exists.
static ANSWERED: RwLock<Option<HashSet<String>>> = RwLock::new(None);
/// The maximum number of remembered paths, which is more than a server has methods. Further
/// paths are not remembered: a call of such a path is `unmatched`, unless this call
/// succeeds or an annotated method joins.
const MAX_ANSWERED: usize = 4096;

fn is_answered(path: &str) -> bool {
    let answered = ANSWERED.read().unwrap_or_else(PoisonError::into_inner);
    answered
        .as_ref()
        .is_some_and(|answered| answered.contains(path))
}

/// Remembers the path of a successful call. A success proves that a method has run.
fn learn(path: String) {
    let mut answered = ANSWERED.write().unwrap_or_else(PoisonError::into_inner);
    let answered = answered.get_or_insert_default();
    if answered.len() < MAX_ANSWERED {
        answered.insert(path);
    }
}

pin_project! {
    /// The response future of [`MetricsService`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // Declared first, so that it is dropped before the slot, which ends the call.
        #[pin]
        inner: F,
        slot: Slot,
        size: Option<SizeWatch>,
        new_path: Option<String>,
        is_grpc: bool,
    }
}

impl<F, R: Body, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<CountedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let inner = this.inner;
        let response = match ready!(this.slot.poll(|| inner.poll(context))) {
            Ok(response) => response,
            Err(error) => {
                this.slot.answered(Outcome::Error);
                return Poll::Ready(Err(error));
            }
        };
        let mut size = this.size.take();
        if let Some(size) = &mut size {
            size.begin();
        }
        let mut call = CallEnd {
            size,
            slot: this.slot.take(),
            new_path: this.new_path.take(),
            web_trailers: None,
        };
        if let Some(code) = code(response.headers()) {
            call.ended(code);
        } else if !*this.is_grpc && grpc_subtype(response.headers()).is_none() {
            let status = response.status().as_u16();
            call.slot.answered(Outcome::HttpStatus(status));
        } else if response.status() != StatusCode::OK {
            call.ended(code_of(response.status()));
        } else if response.body().is_end_stream() {
            // hyper does not poll an empty body, so the call ends here.
            call.ended(UNKNOWN);
        } else {
            call.web_trailers = WebTrailers::of(response.headers());
        }
        Poll::Ready(Ok(response.map(|inner| CountedBody { inner, call })))
    }
}

pin_project! {
    /// The body of a response. Counts the call when its trailers go out.
    #[derive(Debug)]
    pub struct CountedBody<B> {
        #[pin]
        inner: B,
        call: CallEnd,
    }
}

impl<B: Default> Default for CountedBody<B> {
    /// Returns a default body that counts nothing.
    fn default() -> Self {
        Self {
            inner: B::default(),
            call: CallEnd {
                size: None,
                slot: Slot::none(),
                new_path: None,
                web_trailers: None,
            },
        }
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let poll = || this.inner.as_mut().poll_frame(context);
        let frame = ready!(or_on_unwind(this.call, |call| call.slot.panicked(), poll));
        match &frame {
            Some(Ok(frame)) => {
                if let Some((size, data)) = this.call.size.as_mut().zip(frame.data_ref()) {
                    size.sent(data.remaining());
                }
                let is_end = frame.is_trailers() || this.inner.is_end_stream();
                if let Some(code) = this.call.code_in(frame) {
                    this.call.ended(code);
                } else if is_end {
                    // hyper does not poll the body again, so there are no trailers.
                    this.call.ended(UNKNOWN);
                }
                if is_end {
                    this.call.size = None;
                }
            }
            // gRPC clients report a missing status as `UNKNOWN`.
            Some(Err(_)) | None => {
                this.call.ended(UNKNOWN);
                this.call.size = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What is needed to count a call at the end of its response.
#[derive(Debug)]
struct CallEnd {
    size: Option<SizeWatch>,
    slot: Slot,
    new_path: Option<String>,
    web_trailers: Option<WebTrailers>,
}

impl CallEnd {
    /// Returns the status, if this frame of the body contains it.
    fn code_in(&mut self, frame: &Frame<impl Buf>) -> Option<u8> {
        if let Some(trailers) = frame.trailers_ref() {
            return Some(code(trailers).unwrap_or(UNKNOWN));
        }
        self.web_trailers.as_mut()?.read(frame.data_ref()?)
    }

    fn ended(&mut self, code: u8) {
        if let Some(path) = self.new_path.take()
            && code == OK
        {
            learn(path);
        }
        self.slot.answered(Outcome::GrpcStatus(code));
    }
}

const OK: u8 = 0;
const UNKNOWN: u8 = 2;

fn code(headers: &HeaderMap) -> Option<u8> {
    let status = headers.get("grpc-status")?.to_str().ok()?;
    Some(parse_code(status))
}

fn parse_code(status: &str) -> u8 {
    status.parse().unwrap_or(UNKNOWN)
}

/// Returns the part of the `content-type` that follows `application/grpc`, for example an
/// empty string, `+proto` or `-web-text`. Returns `None` if the `content-type` is not gRPC.
fn grpc_subtype(headers: &HeaderMap) -> Option<&str> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let rest = strip_prefix_of_any_case(content_type, "application/grpc")?;
    (!rest.starts_with(char::is_alphanumeric)).then_some(rest)
}

fn strip_prefix_of_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Returns the gRPC code that corresponds to the HTTP status of a response without a gRPC
/// status.
///
/// See [HTTP to gRPC status code mapping][mapping].
///
/// [mapping]: https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
fn code_of(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => UNKNOWN,
    }
}

/// Implements [`Tells`] for a return type of gRPC methods.
macro_rules! grpc {
    ($side:ty $(, any $param:ident)? => $code:expr) => {
        impl$(<$param>)? Tells for $side {
            const PROTOCOL: Protocol = Protocol::Grpc;

            fn tell(&self, _is_request: bool) -> Option<Outcome> {
                let code: fn(&Self) -> u8 = $code;
                Some(Outcome::GrpcStatus(code(self)))
            }
        }
    };
}

grpc!(tonic::Status => |status| status.code() as u8);
grpc!(Box<tonic::Status> => |status| status.code() as u8);
grpc!(tonic::Response<T>, any T => |_| OK);
grpc!(Box<tonic::Response<T>>, any T => |_| OK);
