//! For [tonic](https://docs.rs/tonic): a layer for the server, and the statuses
//! of gRPC calls. Feature `tonic`.
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
//! # Which method is the call
//!
//! A method joins the call if it takes the very `tonic::Request` that the layer saw,
//! by value, and returns a `tonic::Response` or a `tonic::Status`; or by
//! `#[instrumented(handler)]`, or by its names (see [`instrumented`](crate::instrumented)).
//! Every other annotated method is counted by itself.
//!
//! Doubt remains in these cases:
//!
//! - A method that takes the message instead of the request, or that names its
//!   argument by a pattern, is counted by itself. Write `#[instrumented(handler)]`.
//! - A method that is *not* annotated, and that passes its request on to an annotated
//!   one: that one joins. Write `#[instrumented(handler = false)]` on it.
//!
//! A service that moves the call to another task needs a second [`layer()`] inside it.
//! The second layer finds the call again through the request's extensions; the call
//! is counted once.
//!
//! A call that an interceptor refuses, or whose message cannot be decoded, does not
//! have the method's own labels.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{PoisonError, RwLock};
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::method;
use crate::outcome::{Outcome, Protocol};
use crate::request::{Framework, Route, Slot, Start};
use crate::tell::Tells;

/// The layer for `Server::builder().layer(…)`, outside of all others.
///
/// Each call is counted once, when its status goes out: at the end of a stream,
/// for one that streams. The status is the label `grpc_status`, by the names of
/// gRPC's codes; the outcome follows from it as
/// [`Outcome::GrpcStatus`] says. A call that its
/// client gives up is `cancelled` (`CANCELLED`), one that panicked is `panicked`
/// (`INTERNAL`).
///
/// The endpoint is what the attribute of the method says, else the call's path
/// (`/package.Service/Method`) once something has answered there, else
/// `unmatched`: a client can ask for any path.
#[must_use]
pub fn layer() -> GrpcLayer {
    GrpcLayer { _private: () }
}

/// Made by [`layer`].
#[derive(Clone, Copy, Debug)]
pub struct GrpcLayer {
    _private: (),
}

impl<S> Layer<S> for GrpcLayer {
    type Service = GrpcService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GrpcService { inner }
    }
}

/// A service whose calls are counted. Made by a [`GrpcLayer`].
#[derive(Clone, Copy, Debug)]
pub struct GrpcService<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for GrpcService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<CountedBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        let route = Some(Route::Owned(path.to_owned()));
        let (route, candidate, learned) = if is_answered(path) {
            (route, None, None)
        } else {
            (None, route, Some(path.to_owned()))
        };
        let start = Start {
            framework: Framework::Tonic,
            method: method::label(request.method().as_str()),
            route,
            candidate,
            path: None,
        };
        let mut slot = Slot::new(start, request.extensions().get());
        if let Some(token) = slot.token() {
            request.extensions_mut().insert(token);
        }
        ResponseFuture {
            inner: slot.call(|| self.inner.call(request)),
            slot,
            new_path: learned,
        }
    }
}

/// The paths at which something has answered.
static ANSWERED: RwLock<Option<HashSet<String>>> = RwLock::new(None);
/// More than a server has methods; past it a path is looked at again each time.
const MAX_ANSWERED: usize = 4096;

fn is_answered(path: &str) -> bool {
    let answered = ANSWERED.read().unwrap_or_else(PoisonError::into_inner);
    answered
        .as_ref()
        .is_some_and(|answered| answered.contains(path))
}

/// Only a method answers that all is well.
fn learn(path: String) {
    let mut answered = ANSWERED.write().unwrap_or_else(PoisonError::into_inner);
    let answered = answered.get_or_insert_default();
    if answered.len() < MAX_ANSWERED {
        answered.insert(path);
    }
}

pin_project! {
    /// A response that is counted.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // Dropped before the call, which ends with it.
        #[pin]
        inner: F,
        slot: Slot,
        new_path: Option<String>,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
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
        let mut call = CallEnd {
            slot: this.slot.take(),
            new_path: this.new_path.take(),
        };
        if let Some(code) = code(response.headers()) {
            call.ended(code);
        } else if response.status() != StatusCode::OK {
            call.ended(code_of(response.status()));
        }
        Poll::Ready(Ok(response.map(|inner| CountedBody { inner, call })))
    }
}

pin_project! {
    /// The body of a response, up to its trailers.
    #[derive(Debug)]
    pub struct CountedBody<B> {
        #[pin]
        inner: B,
        call: CallEnd,
    }
}

impl<B: Default> Default for CountedBody<B> {
    /// A body of no call.
    fn default() -> Self {
        Self {
            inner: B::default(),
            call: CallEnd {
                slot: Slot::none(),
                new_path: None,
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
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.call.ended(code(trailers).unwrap_or(UNKNOWN));
                }
            }
            // Without a status, a client makes `UNKNOWN` of it.
            Some(Err(_)) | None => this.call.ended(UNKNOWN),
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

#[derive(Debug)]
struct CallEnd {
    slot: Slot,
    new_path: Option<String>,
}

impl CallEnd {
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
    Some(status.parse().unwrap_or(UNKNOWN))
}

/// What gRPC makes of an HTTP status without one of its own ("HTTP to gRPC
/// status code mapping" in gRPC's documentation).
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

/// What a gRPC method returns, by the status that goes out.
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
