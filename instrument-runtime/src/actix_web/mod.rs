//! Support for [actix-web](https://docs.rs/actix-web) 4: a middleware for the
//! application, and handlers that serve the page and the live view.
//!
//! Requires the feature `actix-web`, which also implements
//! [`HttpStatus`](crate::HttpStatus) for actix-web's own types.
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
//! A function joins the request as its handler by `#[instrumented(handler)]`, by its
//! method and endpoint, or by evidence (see [`instrumented`](crate::instrumented)). A route
//! attribute such as `#[get("/users/{id}")]` below `#[instrumented]` provides the method and
//! the endpoint. The middleware cannot observe when actix-web calls the handler, so the
//! evidence consists mainly of the argument types. It is sufficient if all of these hold:
//!
//! - The function's explicit method and endpoint, if it has them, match the request.
//! - A resource has matched, the function returns a response, and all its arguments are
//!   extractors.
//! - One of the arguments is a `web::Path`, `Query`, `Json`, `Form`, `Header`, `Either`
//!   or `Payload`, because functions that are not handlers seldom take them.
//! - No other function has joined.
//! - The function has ended when the head of the response is sent.
//!
//! In these cases, the middleware cannot recognize the handler, or mistakes another
//! function for the handler:
//!
//! - A handler without a method or an endpoint is counted separately if it takes no
//!   arguments, or only arguments that other functions often take too (`web::Data`,
//!   `HttpRequest`, `String`, `Bytes`, or an extractor of your own). This includes a
//!   handler with `#[get("")]` in a scope, because the empty path does not set the
//!   endpoint. Write `#[instrumented(handler)]`.
//! - A handler that a timeout inside the middleware cancels is counted separately, as
//!   `cancelled`, unless it is marked with `handler`, or its method and endpoint are those
//!   of the request.
//! - If a handler is *not* annotated and passes its `web::Path` or `web::Json` on to an
//!   annotated function, that function joins. Write `#[instrumented(handler = false)]` on
//!   that function, or annotate the handler.
//!
//! Middleware that moves the handler to another task needs a second [`middleware()`] inside
//! that middleware. The inner [`middleware()`] recognizes the request by its extensions,
//! and the request is still counted once.
//!
//! If an extractor rejects the request, the handler does not run. The request is then
//! counted under its resource, without the handler's own labels.

use std::borrow::Cow;
use std::cell::RefCell;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready as ready_or_return};

use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use pin_project_lite::pin_project;

use crate::call::head::{LayerSettings, RequestHead, Transport, http_version, layer_settings};
use crate::call::request::{Framework, Route, Slot, Start};
use crate::live_view::in_app::{InApp, NEXT_TO_METRICS};
use crate::outcome::Outcome;
use crate::page::encoding::{VARIES_BY, accepts_gzip};
use crate::page::in_app::{self, Unavailable};

mod body;
pub(crate) mod statuses;

pub use self::body::{BodyFuture, BodyMiddleware, BodyService, WatchedBody};

/// Returns the middleware that counts requests, for [`App::wrap`](actix_web::App::wrap).
///
/// Add this middleware with the last `wrap`, so that it is the outermost middleware. It
/// then also counts requests to which other middleware responds instead of the handler.
///
/// Each request is counted once:
///
/// - The label `endpoint` is the explicit endpoint of the handler's attribute. Without one,
///   it is the pattern of the matched resource, or `unmatched`.
/// - The label `method` is the real method if it is a
///   [known method](crate::Builder::known_methods), or `_OTHER`.
/// - The label `http_status` is the status of the response. If the response future is
///   dropped or panics before it returns a response, the request is `cancelled`
///   (`http_status="499"`) or `panicked` (`http_status="500"`).
/// - The latency ends with the head of the response. It does not include the time to stream
///   the body, unless the middleware has the setting
///   [`until_body_end`](MetricsMiddleware::until_body_end).
///
/// # Errors of handlers
///
/// If a handler returns an error, actix-web creates the response with `error_response()`.
/// The request is counted with the status of that response, even if `status_code()` returns
/// another status.
///
/// Without this middleware, an annotated function determines the status of the error that
/// it returns. It calls `status_code()`. If the result is 500, which is also the default,
/// the function calls `error_response()` too, because only that method may know the real
/// status. If `error_response()` writes to a log, the error may then be logged twice.
///
/// # Clients that hang up
///
/// By default, actix-web does not notice that a client has disconnected. The handler runs
/// to completion, and the request is counted with the status of its response, usually
/// `http_status="200"` and `outcome="ok"`, although no client receives it. With
/// [`HttpServer::h1_allow_half_closed(false)`](actix_web::HttpServer::h1_allow_half_closed),
/// actix-web drops the handler, and the request is `cancelled`:
///
/// ```no_run
/// # use actix_web::{App, HttpServer};
/// # async fn serve() -> std::io::Result<()> {
/// HttpServer::new(|| App::new().wrap(instrument_runtime::actix_web::middleware()))
///     .h1_allow_half_closed(false) // detect clients that disconnect
///     .bind("127.0.0.1:8080")?
///     .run()
///     .await
/// # }
/// ```
///
/// With this setting, a client that half-closes its connection after the request (with
/// `shutdown(SHUT_WR)`) gets no response. Few clients do this. The setting applies to
/// HTTP/1 only. On HTTP/2, actix-web always runs the handler to completion.
#[must_use]
pub fn middleware() -> MetricsMiddleware {
    MetricsMiddleware {
        settings: LayerSettings::default(),
    }
}

/// The middleware that counts requests. Created by [`middleware`].
#[derive(Clone, Debug)]
pub struct MetricsMiddleware {
    settings: LayerSettings,
}

layer_settings!(MetricsMiddleware, settings);

impl MetricsMiddleware {
    /// Makes requests end with the body of their response, instead of its head.
    ///
    /// Use it for downloads and server-sent events, for a whole application or for a scope.
    /// A request is in progress until then, and its latency includes the time to stream the
    /// body. The label `http_status` is the status that was sent. The outcome is:
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
    /// So do an upgrade and an error that actix-web converts to a response outside this
    /// middleware.
    ///
    /// A middleware without this setting outside this middleware counts the request with the
    /// same end, unless it replaces the body.
    #[must_use]
    pub fn until_body_end(self) -> BodyMiddleware {
        BodyMiddleware::new(self).until_body_end()
    }

    /// Measures the sizes of responses, in the histogram `response_size_bytes`.
    ///
    /// The size is the number of bytes of the body that the server takes, without the head:
    /// 0 for `HEAD`, and less than the whole body if the client leaves before the end. Outside
    /// the `Compress` middleware, it is the compressed size. It is recorded when the body ends,
    /// once for each response. If two middlewares have this setting, the outermost one
    /// measures. An error that actix-web converts to a response outside this middleware has no
    /// size.
    ///
    /// The labels are those of the latency histogram, and
    /// [`max_series`](crate::Builder::max_series) bounds them.
    /// [`MetricNames::response_size_bytes`](crate::MetricNames::response_size_bytes) renames
    /// the histogram, and [`buckets_for`](crate::Builder::buckets_for) sets its bounds.
    ///
    /// # Examples
    ///
    /// ```
    /// let middleware = instrument_runtime::actix_web::middleware().response_sizes();
    /// # drop(middleware);
    /// ```
    #[must_use]
    pub fn response_sizes(self) -> BodyMiddleware {
        BodyMiddleware::new(self).response_sizes()
    }

    /// Starts to count a request.
    fn open(&self, request: &ServiceRequest) -> Slot {
        let (method, path) = (request.method().as_str(), request.path());
        let labels = self
            .settings
            .labels(Framework::ActixWeb.protocol(), |labels| {
                labels(&RequestHead {
                    method,
                    path,
                    header: &|name| request.headers().get(name)?.to_str().ok(),
                    transport: &|| Transport {
                        scheme: match request.uri().scheme_str() {
                            None if request.app_config().secure() => Some("https"),
                            scheme => scheme,
                        },
                        version: http_version!(request.version(), actix_web::http::Version),
                    },
                })
            });
        let Some(labels) = labels else {
            return Slot::none();
        };
        let route = request.match_pattern().map(Route::Owned);
        let start = Start::new(Framework::ActixWeb, method, route, path, labels);
        // `Slot::open` takes the extensions of `http`, and these are actix-web's own.
        let slot = Slot::new(start, request.extensions().get());
        if let Some(token) = slot.token() {
            request.extensions_mut().insert(token);
        }
        slot
    }
}

impl<S, B> Transform<S, ServiceRequest> for MetricsMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Response = ServiceResponse<B>;
    type Error = Error;
    type Transform = MetricsService<S>;
    type InitError = ();
    type Future = Ready<Result<MetricsService<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(MetricsService {
            inner,
            middleware: self.clone(),
        }))
    }
}

/// The service that counts the requests of an inner service. Created by
/// [`MetricsMiddleware`].
#[derive(Clone, Debug)]
pub struct MetricsService<S> {
    inner: S,
    middleware: MetricsMiddleware,
}

impl<S, B> Service<ServiceRequest> for MetricsService<S>
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
        let mut slot = self.middleware.open(&request);
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

impl<F, B> Future for ResponseFuture<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let inner = this.inner;
        let mut response = ready_or_return!(this.slot.poll(|| inner.poll(context)));
        match &mut response {
            Ok(response) => this.slot.answered(outcome(response.status())),
            Err(error) => answered_by_error(this.slot.take(), error),
        }
        Poll::Ready(response)
    }
}

fn outcome(status: StatusCode) -> Outcome {
    Outcome::HttpStatus(status.as_u16())
}

/// Counts the request when the server converts the error to a response.
///
/// `error_response()` is not called here, because it may log or count, and because
/// [`InternalError::from_response`](actix_web::error::InternalError::from_response)
/// returns its response on the first call only.
fn answered_by_error(slot: Slot, error: &mut Error) {
    /// The request, until the server converts the error to a response.
    struct Unanswered {
        slot: RefCell<Slot>,
        status: StatusCode,
    }

    impl Drop for Unanswered {
        /// Counts a request whose error was dropped before the server converted it to a
        /// response, for example because middleware replaced the error. `error_response()`
        /// can no longer be called, so the stored result of `status_code()` is counted.
        fn drop(&mut self) {
            self.slot.get_mut().answered(outcome(self.status));
        }
    }

    let unanswered = Unanswered {
        slot: RefCell::new(slot),
        status: error.as_response_error().status_code(),
    };
    error.add_response_mapper(move |response| {
        if let Ok(mut slot) = unanswered.slot.try_borrow_mut() {
            slot.answered(outcome(response.status()));
        }
        response
    });
}

/// Provides `Error::add_response_mapper` for versions of actix-web before 4.15. In newer
/// versions, the inherent method of the same name takes precedence.
#[allow(dead_code, reason = "used only with an older actix-web")]
trait AddResponseMapper {
    fn add_response_mapper<F>(&mut self, mapper: F)
    where
        F: Fn(HttpResponse) -> HttpResponse + 'static;
}

impl AddResponseMapper for Error {
    /// Calls `error_response()` immediately, unless the call could change the response that
    /// is sent later.
    fn add_response_mapper<F>(&mut self, mapper: F)
    where
        F: Fn(HttpResponse) -> HttpResponse + 'static,
    {
        if !statuses::may_hold_a_response(self.as_response_error()) {
            drop(mapper(self.error_response()));
        }
    }
}

/// Serves the live view on a route of the application's own.
///
/// The view reads the metrics from the path `metrics` beside its own: a view at `/live` reads
/// `/metrics`, and a view at `/internal/live` reads `/internal/metrics`. [`metrics()`] serves
/// them. For another path, use [`live_view_of`].
///
/// An open view requests the metrics every two seconds. [`middleware`] counts these requests
/// like all others, unless [`skip`](MetricsMiddleware::skip) leaves them out.
///
/// [`Exporter`](crate::Exporter#the-live-view) describes the view. The status is 503 if
/// [`init`](crate::init) has not been called.
///
/// # Examples
///
/// ```
/// use actix_web::{App, web};
///
/// let app = App::new().service(
///     web::scope("/internal")
///         .route("/live", web::get().to(instrument_runtime::actix_web::live_view))
///         .route("/metrics", web::get().to(instrument_runtime::actix_web::metrics)),
/// );
/// # drop(app);
/// ```
pub async fn live_view(request: HttpRequest) -> HttpResponse {
    view(&NEXT_TO_METRICS, &request)
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
/// use actix_web::{App, web};
/// use instrument_runtime::actix_web::{live_view_of, metrics};
///
/// let app = App::new()
///     .route("/prometheus", web::get().to(metrics))
///     .route("/live", web::get().to(live_view_of("prometheus")));
/// # drop(app);
/// ```
pub fn live_view_of(
    metrics: impl Into<Cow<'static, str>>,
) -> impl Fn(HttpRequest) -> Ready<HttpResponse> + Clone + Send + Sync + 'static {
    let of = Arc::new(InApp::new(metrics.into()));
    move |request| ready(view(&of, &request))
}

fn view(of: &InApp, request: &HttpRequest) -> HttpResponse {
    let view = match of.view() {
        Ok(view) => view,
        Err(no_view) => return unavailable(no_view),
    };
    let (headers, body) = view.answer(accepts_gzip(&formats(request)));
    let mut response = HttpResponse::Ok();
    for header in headers {
        response.insert_header(header);
    }
    response.body(body)
}

fn unavailable(reason: Unavailable) -> HttpResponse {
    let (status, text) = reason.answer();
    let status = StatusCode::from_u16(status).unwrap_or_default();
    HttpResponse::build(status).body(text)
}

/// Returns the headers that choose the format and the encoding of a response. actix-web 4 uses
/// `http` 0.2, whose header types differ from those of `http` 1.
fn formats(request: &HttpRequest) -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    for (theirs, ours) in [
        (ACCEPT, http::header::ACCEPT),
        (ACCEPT_ENCODING, http::header::ACCEPT_ENCODING),
    ] {
        for value in request.headers().get_all(theirs) {
            if let Ok(value) = http::HeaderValue::from_bytes(value.as_bytes()) {
                headers.append(&ours, value);
            }
        }
    }
    headers
}

/// Serves the page on a route of the application's own.
///
/// The format is the one that the header `Accept` prefers. The response is compressed if
/// the request accepts gzip. The status is 503 if [`init`](crate::init) has not been called
/// or if the rendering thread cannot be started, and 500 if rendering the page panicked.
///
/// A separate thread renders one page at a time. Requests that wait at the same time share
/// one page.
pub async fn metrics(request: HttpRequest) -> HttpResponse {
    let page = match in_app::asked_for(&formats(&request)).await {
        Ok(page) => page,
        Err(no_page) => return unavailable(no_page),
    };
    let mut response = HttpResponse::Ok();
    response
        .content_type(page.content_type)
        .insert_header((VARY, VARIES_BY));
    if page.is_gzip {
        response.insert_header((CONTENT_ENCODING, "gzip"));
    }
    response.body(page.body)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use actix_web::ResponseError;
    use actix_web::error::InternalError;

    use super::*;

    #[derive(Debug)]
    struct ByResponse;

    impl std::fmt::Display for ByResponse {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("by response")
        }
    }

    impl ResponseError for ByResponse {
        fn error_response(&self) -> HttpResponse {
            HttpResponse::Unauthorized().finish()
        }
    }

    #[test]
    fn an_older_actix_web_is_asked_at_once_if_that_does_no_harm() {
        let response = HttpResponse::BadGateway().body("kept");
        for (mut error, expected) in [
            (Error::from(ByResponse), Some(StatusCode::UNAUTHORIZED)),
            (InternalError::from_response("", response).into(), None),
        ] {
            let seen = Rc::new(RefCell::new(None));
            let to = Rc::clone(&seen);
            // Called with a path, because a method call would use the inherent method of a
            // newer actix-web.
            AddResponseMapper::add_response_mapper(&mut error, move |response| {
                *to.borrow_mut() = Some(response.status());
                response
            });
            assert_eq!(*seen.borrow(), expected, "{error}");
        }
    }
}
