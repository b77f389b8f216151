//! For [actix-web](https://docs.rs/actix-web): a middleware for the application,
//! the page as a handler, and the statuses of actix-web's own types. Feature
//! `actix-web`.
//!
//! ```
//! use actix_web::{App, get, web};
//! use instrument_runtime::instrumented;
//!
//! #[instrumented] // endpoint="/users/{id}", method="GET"
//! #[get("/users/{id}")]
//! async fn user(id: web::Path<u32>) -> String {
//!     format!("user {id}")
//! }
//!
//! let app = App::new()
//!     .wrap(instrument_runtime::actix_web::middleware())
//!     .route("/metrics", web::get().to(instrument_runtime::actix_web::metrics))
//!     .service(user);
//! # drop(app);
//! ```
//!
//! # Which function is the handler
//!
//! A function joins the request by `#[instrumented(handler)]`, by its names, or by
//! evidence (see [`instrumented`](crate::instrumented)). A route attribute such as
//! `#[get("/users/{id}")]` below `#[instrumented]` gives the names. actix-web does not
//! show when it hands a request to its handler, so the evidence is in the types:
//!
//! - a resource has matched, the function returns a response, and all its arguments
//!   are extractors;
//! - one of the arguments is a `web::Path`, `Query`, `Json`, `Form`, `Header`,
//!   `Either` or `Payload`, which helpers seldom take;
//! - no other function has joined;
//! - the function has ended when the response goes out.
//!
//! Doubt remains in these cases:
//!
//! - A handler without names that takes nothing, or only what helpers take too
//!   (`web::Data`, `HttpRequest`, `String`, `Bytes` or an extractor of your own), is
//!   counted by itself. Write `#[instrumented(handler)]`. The same holds for
//!   `#[get("")]` in a scope, which names no endpoint.
//! - A handler that is cancelled by a time-out within the middleware is counted by
//!   itself as `cancelled`, unless `handler` or its names say that it is the handler.
//! - A handler that is *not* annotated, and that passes its `web::Path` or `web::Json`
//!   on to an annotated function: that function joins. Write
//!   `#[instrumented(handler = false)]` on it, or annotate the handler.
//!
//! A middleware that moves the handler to another task needs a second [`middleware()`]
//! inside it. The second one finds the request again through the request's
//! extensions; the request is counted once.
//!
//! When an extractor rejects the request, the handler does not run: the request is
//! counted under its resource, without the handler's own labels.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, ready as ready_or_return};

use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use pin_project_lite::pin_project;

use crate::app_page;
use crate::exporter::respond::PAGE_TYPE;
use crate::method;
use crate::outcome::Outcome;
use crate::request::{Framework, Route, Slot, Start};

mod statuses;

/// The middleware for [`App::wrap`](actix_web::App::wrap), added last, so that it
/// is outside of whatever may answer in a handler's place.
///
/// Each request is counted once: under what the attribute of its handler says,
/// else under the resource pattern that it matched, else under
/// `endpoint="unmatched"`; with its real method (one of the nine of RFC 9110 and
/// RFC 5789, or `_OTHER`) and the status that went out. Its latency ends with the
/// response's head. A request that got no response is `cancelled`
/// (`http_status="499"`), or `panicked` (`500`).
///
/// By default actix-web lets a handler run on when its client has hung up, and the
/// request is counted with what it answers. With
/// [`HttpServer::h1_allow_half_closed(false)`](actix_web::HttpServer::h1_allow_half_closed)
/// it is `cancelled`.
#[must_use]
pub fn middleware() -> Instrumented {
    Instrumented { _private: () }
}

/// Made by [`middleware`].
#[derive(Clone, Copy, Debug)]
pub struct Instrumented {
    _private: (),
}

impl<S, B> Transform<S, ServiceRequest> for Instrumented
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = InstrumentedService<S>;
    type InitError = ();
    type Future = Ready<Result<InstrumentedService<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(InstrumentedService { inner }))
    }
}

/// A service whose requests are counted. Made by [`Instrumented`].
#[derive(Debug)]
pub struct InstrumentedService<S> {
    inner: S,
}

impl<S, B> Service<ServiceRequest> for InstrumentedService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let route = request.match_pattern().map(Route::Owned);
        let path = route.is_none().then(|| request.path().into());
        let start = Start {
            framework: Framework::ActixWeb,
            method: method::label(request.method().as_str()),
            route,
            candidate: None,
            path,
        };
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

impl<F, B> Future for ResponseFuture<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let inner = this.inner;
        let response = ready_or_return!(this.slot.poll(|| inner.poll(context)));
        let status = match &response {
            Ok(response) => response.status(),
            // The server answers with what the error says.
            Err(error) => error.as_response_error().status_code(),
        };
        this.slot.answered(Outcome::HttpStatus(status.as_u16()));
        Poll::Ready(response)
    }
}

/// The page as a handler, for a route of the application's own: compressed when
/// asked, 503 before anything is installed.
pub async fn metrics(request: HttpRequest) -> HttpResponse {
    // actix-web's headers are of another version of the `http` crate.
    let mut headers = http::HeaderMap::new();
    for value in request.headers().get_all(ACCEPT_ENCODING) {
        if let Ok(value) = http::HeaderValue::from_bytes(value.as_bytes()) {
            headers.append(http::header::ACCEPT_ENCODING, value);
        }
    }
    let Some(page) = app_page::asked_for(&headers).await else {
        return HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE).body(app_page::NOT_INSTALLED);
    };
    let mut response = HttpResponse::Ok();
    response
        .content_type(PAGE_TYPE)
        .insert_header((VARY, "accept-encoding"));
    if page.is_gzip {
        response.insert_header((CONTENT_ENCODING, "gzip"));
    }
    response.body(page.body)
}
