//! The middleware that follows the bodies of responses.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, ready as ready_or_return};

use actix_web::Error;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::Method;
use actix_web::web::Bytes;
use pin_project_lite::pin_project;

use super::{MetricsMiddleware, answered_by_error};
use crate::call::head::layer_settings;
use crate::call::request::{BodyEnd, BodySettings, BodyWatch, HeadSent, SizeWatch, Slot};

/// The middleware that counts requests and follows the bodies of their responses. Created
/// by [`MetricsMiddleware::until_body_end`] and [`MetricsMiddleware::response_sizes`].
#[derive(Clone, Debug)]
pub struct BodyMiddleware {
    middleware: MetricsMiddleware,
    body: BodySettings,
}

impl BodyMiddleware {
    pub(super) fn new(middleware: MetricsMiddleware) -> Self {
        let body = BodySettings::default();
        Self { middleware, body }
    }

    /// Makes requests end with the body of their response; see
    /// [`MetricsMiddleware::until_body_end`].
    #[must_use]
    pub fn until_body_end(mut self) -> Self {
        self.body.until_end = true;
        self
    }

    /// Measures the sizes of responses; see [`MetricsMiddleware::response_sizes`].
    #[must_use]
    pub fn response_sizes(mut self) -> Self {
        self.body.sizes = true;
        self
    }
}

layer_settings!(BodyMiddleware, middleware.settings);

impl<S, B> Transform<S, ServiceRequest> for BodyMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<WatchedBody<B>>;
    type Error = Error;
    type Transform = BodyService<S>;
    type InitError = ();
    type Future = Ready<Result<BodyService<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(BodyService {
            inner,
            middleware: self.clone(),
        }))
    }
}

/// The service that counts the requests of an inner service. Created by
/// [`BodyMiddleware`].
#[derive(Clone, Debug)]
pub struct BodyService<S> {
    inner: S,
    middleware: BodyMiddleware,
}

impl<S, B> Service<ServiceRequest> for BodyService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<WatchedBody<B>>;
    type Error = Error;
    type Future = BodyFuture<S::Future>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let method = request.method().clone();
        let BodyMiddleware { middleware, body } = &self.middleware;
        let mut slot = middleware.open(&request);
        BodyFuture {
            inner: slot.call(|| self.inner.call(request)),
            size: slot.size(*body),
            slot,
            method,
            body: *body,
        }
    }
}

pin_project! {
    /// The response future of [`BodyService`].
    #[derive(Debug)]
    pub struct BodyFuture<F> {
        // Declared first, so that it is dropped before the slot, which ends the request.
        #[pin]
        inner: F,
        slot: Slot,
        size: Option<SizeWatch>,
        method: Method,
        body: BodySettings,
    }
}

impl<F, B> Future for BodyFuture<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
    B: MessageBody,
{
    type Output = Result<ServiceResponse<WatchedBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let inner = this.inner;
        let response = match ready_or_return!(this.slot.poll(|| inner.poll(context))) {
            Ok(response) => response,
            Err(mut error) => {
                answered_by_error(this.slot.take(), &mut error);
                return Poll::Ready(Err(error));
            }
        };
        let size = response.response().body().size();
        let head = HeadSent {
            method: this.method.as_str(),
            status: response.status().as_u16(),
            is_empty: size.is_eof(),
        };
        let length = match size {
            BodySize::Sized(length) => Some(length),
            _ => None,
        };
        let (body, size) = (*this.body, this.size.take());
        let watch = this.slot.answered_before_body(head, length, body, size);
        Poll::Ready(Ok(
            response.map_body(|_head, inner| WatchedBody { inner, watch })
        ))
    }
}

pin_project! {
    /// The body of a response, followed to its end.
    #[derive(Debug)]
    pub struct WatchedBody<B> {
        // Declared first, so that it is dropped before the request ends.
        #[pin]
        inner: B,
        watch: Option<BodyWatch>,
    }
}

impl<B: MessageBody> MessageBody for WatchedBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.inner.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, B::Error>>> {
        let this = self.project();
        let Some(watch) = this.watch else {
            return this.inner.poll_next(context);
        };
        let chunk = ready_or_return!(watch.during(|| this.inner.poll_next(context)));
        match &chunk {
            Some(Ok(bytes)) => watch.sent(bytes.len(), false),
            Some(Err(_)) => watch.end(BodyEnd::Failed),
            None => watch.end(BodyEnd::Complete),
        }
        Poll::Ready(chunk)
    }
}
