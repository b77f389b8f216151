//! The middleware whose requests end with the body of their response.

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
use crate::call::request::{BodyEnd, BodyWatch, HeadSent, Slot};

/// The middleware that counts requests until the end of their response body. Created by
/// [`MetricsMiddleware::until_body_end`].
#[derive(Clone, Debug)]
pub struct BodyEndMiddleware(pub(super) MetricsMiddleware);

layer_settings!(BodyEndMiddleware, 0.settings);

impl<S, B> Transform<S, ServiceRequest> for BodyEndMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<WatchedBody<B>>;
    type Error = Error;
    type Transform = BodyEndService<S>;
    type InitError = ();
    type Future = Ready<Result<BodyEndService<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(BodyEndService {
            inner,
            middleware: self.0.clone(),
        }))
    }
}

/// The service that counts the requests of an inner service. Created by
/// [`BodyEndMiddleware`].
#[derive(Clone, Debug)]
pub struct BodyEndService<S> {
    inner: S,
    middleware: MetricsMiddleware,
}

impl<S, B> Service<ServiceRequest> for BodyEndService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<WatchedBody<B>>;
    type Error = Error;
    type Future = BodyEndFuture<S::Future>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let method = request.method().clone();
        let mut slot = self.middleware.open(&request);
        BodyEndFuture {
            inner: slot.call(|| self.inner.call(request)),
            slot,
            method,
        }
    }
}

pin_project! {
    /// The response future of [`BodyEndService`].
    #[derive(Debug)]
    pub struct BodyEndFuture<F> {
        // Declared first, so that it is dropped before the slot, which ends the request.
        #[pin]
        inner: F,
        slot: Slot,
        method: Method,
    }
}

impl<F, B> Future for BodyEndFuture<F>
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
        let watch = this.slot.answered_until_body_end(head, length);
        Poll::Ready(Ok(
            response.map_body(|_head, inner| WatchedBody { inner, watch })
        ))
    }
}

pin_project! {
    /// The body of a response. Counts the request at its end.
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
