//! The layer whose requests end with the body of their response.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use hyper::body::{Body, Buf, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::MetricsLayer;
use crate::call::head::layer_settings;
use crate::call::request::{BodyEnd, BodyWatch, HeadSent, Slot};
use crate::outcome::Outcome;

/// The layer that counts requests until the end of their response body. Created by
/// [`MetricsLayer::until_body_end`].
#[derive(Clone, Debug)]
pub struct BodyEndLayer(pub(super) MetricsLayer);

layer_settings!(BodyEndLayer, 0.settings);

impl<S> Layer<S> for BodyEndLayer {
    type Service = BodyEndService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyEndService {
            inner,
            layer: self.0.clone(),
        }
    }
}

/// The service that counts the requests of an inner service. Created by [`BodyEndLayer`].
#[derive(Clone, Debug)]
pub struct BodyEndService<S> {
    inner: S,
    layer: MetricsLayer,
}

impl<S, B, R> Service<Request<B>> for BodyEndService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<WatchedBody<R>>;
    type Error = S::Error;
    type Future = BodyEndFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let method = request.method().clone();
        let mut slot = self.layer.open(&mut request);
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

impl<F, R: Body, E> Future for BodyEndFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<WatchedBody<R>>, E>;

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
        let head = HeadSent {
            method: this.method.as_str(),
            status: response.status().as_u16(),
            is_empty: response.body().is_end_stream(),
        };
        let watch = this.slot.answered_until_body_end(head, length(&response));
        Poll::Ready(Ok(response.map(|inner| WatchedBody { inner, watch })))
    }
}

/// Returns the length of the body, if it is known.
fn length(response: &Response<impl Body>) -> Option<u64> {
    let header = response.headers().get(CONTENT_LENGTH);
    let header = header.and_then(|length| length.to_str().ok()?.parse().ok());
    header.or_else(|| response.body().size_hint().exact())
}

pin_project! {
    /// The body of a response. Counts the request at its end.
    #[derive(Debug, Default)]
    pub struct WatchedBody<B> {
        // Declared first, so that it is dropped before the request ends.
        #[pin]
        inner: B,
        watch: Option<BodyWatch>,
    }
}

impl<B: Body> Body for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(watch) = this.watch else {
            return this.inner.poll_frame(context);
        };
        let frame = ready!(watch.during(|| this.inner.as_mut().poll_frame(context)));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Buf::remaining);
                // Trailers are the last frame.
                let is_end = frame.is_trailers() || this.inner.is_end_stream();
                watch.sent(bytes, is_end);
            }
            Some(Err(_)) => watch.end(BodyEnd::Failed),
            None => watch.end(BodyEnd::Complete),
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
