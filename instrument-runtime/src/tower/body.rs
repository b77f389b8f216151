//! The layer that follows the bodies of responses.

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
use crate::call::request::{BodyEnd, BodySettings, BodyWatch, HeadSent, SizeWatch, Slot};
use crate::outcome::Outcome;

/// The layer that counts requests and follows the bodies of their responses. Created by
/// [`MetricsLayer::until_body_end`] and [`MetricsLayer::response_sizes`].
#[derive(Clone, Debug)]
pub struct BodyLayer {
    layer: MetricsLayer,
    body: BodySettings,
}

impl BodyLayer {
    pub(super) fn new(layer: MetricsLayer) -> Self {
        let body = BodySettings::default();
        Self { layer, body }
    }

    /// Makes requests end with the body of their response; see
    /// [`MetricsLayer::until_body_end`].
    #[must_use]
    pub fn until_body_end(mut self) -> Self {
        self.body.until_end = true;
        self
    }

    /// Measures the sizes of responses; see [`MetricsLayer::response_sizes`].
    #[must_use]
    pub fn response_sizes(mut self) -> Self {
        self.body.sizes = true;
        self
    }
}

layer_settings!(BodyLayer, layer.settings);

impl<S> Layer<S> for BodyLayer {
    type Service = BodyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyService {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service that counts the requests of an inner service. Created by [`BodyLayer`].
#[derive(Clone, Debug)]
pub struct BodyService<S> {
    inner: S,
    layer: BodyLayer,
}

impl<S, B, R> Service<Request<B>> for BodyService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<WatchedBody<R>>;
    type Error = S::Error;
    type Future = BodyFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let method = request.method().clone();
        let BodyLayer { layer, body } = &self.layer;
        let mut slot = layer.open(&mut request);
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

impl<F, R: Body, E> Future for BodyFuture<F>
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
        let (length, body, size) = (length(&response), *this.body, this.size.take());
        let watch = this.slot.answered_before_body(head, length, body, size);
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
    /// The body of a response, followed to its end.
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
