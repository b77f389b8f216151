//! The candidates. All of them answer the same request, and the response is read to its end.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use anyhow::Result;
use axum::body::{Bytes, HttpBody};
use axum::http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use instrument_benches::measure::{Batch, Candidate, Running};
use instrument_runtime::tower::layer;
use instrument_runtime::{RequestHead, instrumented};
use tower::{Layer, Service, service_fn};

pub(crate) const CANDIDATES: &[Candidate] = &[
    Candidate {
        name: "no layer",
        start: || Ok(Running::without_page(sends(Hello))),
    },
    Candidate {
        name: "the layer",
        start: || ours(sends(layer().layer(Hello))),
    },
    Candidate {
        name: "attribute and layer",
        start: || {
            let handler = async |request| Ok::<_, Infallible>(annotated(request).await);
            ours(sends(layer().layer(service_fn(handler))))
        },
    },
    Candidate {
        name: "skip, not skipped",
        start: || ours(sends(layer().skip(is_health).layer(Hello))),
    },
    Candidate {
        name: "skip, skipped",
        start: || ours(sends(layer().skip(|head| !is_health(head)).layer(Hello))),
    },
    Candidate {
        name: "label, literal",
        start: || ours(sends(layer().label("tenant", |_| "acme").layer(Hello))),
    },
    Candidate {
        name: "label, a copied header",
        start: || ours(sends(layer().label("tenant", tenant).layer(Hello))),
    },
    Candidate {
        name: "until_body_end",
        start: || ours(sends(layer().until_body_end().layer(Hello))),
    },
    Candidate {
        name: "response_sizes",
        start: || ours(sends(layer().response_sizes().layer(Hello))),
    },
    Candidate {
        name: "until_body_end and response_sizes",
        start: || {
            let layer = layer().until_body_end().response_sizes();
            ours(sends(layer.layer(Hello)))
        },
    },
    Candidate {
        name: "all settings, a copied header",
        start: || {
            let layer = layer().until_body_end().response_sizes();
            let layer = layer.skip(is_health).label("tenant", tenant);
            ours(sends(layer.layer(Hello)))
        },
    },
    Candidate {
        name: "100 chunks, no layer",
        start: || Ok(Running::without_page(sends(service_fn(stream)))),
    },
    Candidate {
        name: "100 chunks, the layer",
        start: || ours(sends(layer().layer(service_fn(stream)))),
    },
    Candidate {
        name: "100 chunks, until_body_end and response_sizes",
        start: || {
            let layer = layer().until_body_end().response_sizes();
            ours(sends(layer.layer(service_fn(stream))))
        },
    },
];

fn is_health(head: &RequestHead<'_>) -> bool {
    head.path() == "/health"
}

fn tenant(head: &RequestHead<'_>) -> String {
    head.header("x-tenant").unwrap_or_default().to_owned()
}

fn ours(batch: Batch) -> Result<Running> {
    Running::ours(instrument_runtime::builder("bench"), batch)
}

/// Returns a batch that sends requests to a service on the current thread, and reads each
/// response to its end.
fn sends<S, B>(service: S) -> Batch
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible> + Clone + Sync + 'static,
    B: HttpBody,
{
    Box::new(move |calls| {
        let mut service = service.clone();
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..calls {
            let answered = pin!(async {
                let Ok(response) = service.call(request()).await;
                let mut body = pin!(response.into_body());
                while let Some(frame) = body.as_mut().frame().await {
                    black_box(frame.is_ok());
                }
            });
            let is_ready = answered.poll(&mut context).is_ready();
            assert!(is_ready, "no service here waits");
        }
    })
}

fn request() -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = black_box(Uri::from_static("/hello"));
    let tenant = HeaderValue::from_static("acme");
    request.headers_mut().insert("x-tenant", tenant);
    // axum and other frameworks add extensions to every request anyway.
    request.extensions_mut().insert(1_u64);
    request.extensions_mut().insert(1_u32);
    request
}

const CHUNK: Bytes = Bytes::from_static(b"hello");

/// The service of most candidates. The length of its body is known.
#[derive(Clone, Copy)]
struct Hello;

impl Service<Request<()>> for Hello {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(Full::new(CHUNK))))
    }
}

#[instrumented(handler, endpoint = "/hello", method = "GET")]
async fn annotated(_: Request<()>) -> Response<Full<Bytes>> {
    Response::new(Full::new(CHUNK))
}

async fn stream(_: Request<()>) -> Result<Response<Chunks>, Infallible> {
    Ok(Response::new(Chunks(100)))
}

/// A body of this many chunks, whose length is not known.
struct Chunks(u32);

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.checked_sub(1).map(|left| {
            self.0 = left;
            Ok(Frame::data(CHUNK))
        }))
    }
}
