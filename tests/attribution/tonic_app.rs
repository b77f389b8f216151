//! The random application on tonic.

use std::convert::Infallible;

use bytes::{Buf, BufMut, Bytes};
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use instrument_runtime::instrumented;
use instrument_runtime::tonic::layer;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Request, Response, Status};
use tower::{Layer, ServiceExt, service_fn};

use crate::App;
use crate::functions::{self, Problem, QUIET, around, handle};
use crate::plan;
use crate::truth::{About, Handler, Protocol};

/// A codec whose messages are plain text.
#[derive(Clone, Copy, Debug)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let mut bytes = vec![0; source.remaining()];
        source.copy_to_slice(&mut bytes);
        Ok(String::from_utf8(bytes).ok())
    }
}

type Answer = Result<Response<String>, Status>;

fn answer(result: Result<String, Problem>) -> Answer {
    result
        .map(Response::new)
        .map_err(|problem| Status::new(code(problem.0), ""))
}

fn code(status: u16) -> Code {
    match status {
        401 => Code::Unauthenticated,
        404 => Code::NotFound,
        408 => Code::DeadlineExceeded,
        500 => Code::Internal,
        other => unreachable!("no plan answers {other}"),
    }
}

const HANDLER: About = About {
    alone: "",
    ok: "outcome=ok grpc_status=OK",
    protocol: Protocol::Grpc,
    handler: Handler::Inferred,
    endpoint: None,
    labels: "",
};

#[derive(Clone, Copy, Debug)]
struct Greeter;

static SAY: About = About {
    alone: "endpoint=tonic_app::say kind=say",
    labels: "kind=say",
    ..HANDLER
};

static SAID: About = About {
    alone: "endpoint=tonic_app::said kind=said",
    handler: Handler::Certain,
    labels: "kind=said",
    ..HANDLER
};

static DENIED: About = About {
    alone: "endpoint=tonic_app::denied kind=denied",
    handler: Handler::Never,
    ..HANDLER
};

impl Greeter {
    #[instrumented(labels(kind = "say"))]
    async fn say(&self, _request: Request<String>) -> Answer {
        answer(handle(&SAY).await)
    }

    #[instrumented(handler, labels(kind = "said"))]
    async fn said(&self, _name: String) -> Answer {
        answer(handle(&SAID).await)
    }

    #[instrumented(handler = false, labels(kind = "denied"))]
    async fn denied(&self, _request: Request<String>) -> Answer {
        answer(handle(&DENIED).await)
    }

    async fn quiet(&self, _request: Request<String>) -> Answer {
        answer(handle(&QUIET).await)
    }
}

/// A unary method of the service.
struct Unary(fn(Request<String>) -> BoxFuture<'static, Answer>);

impl UnaryService<String> for Unary {
    type Response = String;
    type Future = BoxFuture<'static, Answer>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        (self.0)(request)
    }
}

async fn route(request: http::Request<Body>) -> Result<http::Response<Body>, Infallible> {
    let mut grpc = Grpc::new(Text);
    Ok(match request.uri().path() {
        "/test.Greeter/Say" => {
            let method = Unary(|request| Box::pin(async { Greeter.say(request).await }));
            grpc.unary(method, request).await
        }
        "/test.Greeter/Said" => {
            let method = Unary(|request: Request<String>| {
                Box::pin(async { Greeter.said(request.into_inner()).await })
            });
            grpc.unary(method, request).await
        }
        "/test.Greeter/Denied" => {
            let method = Unary(|request| Box::pin(async { Greeter.denied(request).await }));
            grpc.unary(method, request).await
        }
        _ => {
            let method = Unary(|request| Box::pin(async { Greeter.quiet(request).await }));
            grpc.unary(method, request).await
        }
    })
}

async fn middle(request: http::Request<Body>) -> Result<http::Response<Body>, Infallible> {
    // The inner layer is for requests that are moved to another task.
    let router = layer().layer(service_fn(route));
    let is_moved = plan::Request::current().plan.is_moved;
    let handler = async move {
        let Ok(response) = if is_moved {
            functions::in_a_task(router.oneshot(request)).await
        } else {
            router.oneshot(request).await
        };
        response.map(Body::new)
    };
    let answer = |status| Status::new(code(status), "").into_http();
    Ok(around(handler, answer).await)
}

async fn send(uri: &'static str) -> u16 {
    // One message, "you", in gRPC's framing.
    let frame = Full::new(Bytes::from_static(b"\0\0\0\0\x03you"));
    let request = http::Request::post(uri)
        .header("content-type", "application/grpc")
        .body(Body::new(frame))
        .expect("a request");
    let Ok(response) = layer().layer(service_fn(middle)).oneshot(request).await;
    let in_head = response.headers().get("grpc-status").cloned();
    let collected = response.into_body().collect().await.expect("a whole body");
    let status = in_head.or_else(|| collected.trailers()?.get("grpc-status").cloned());
    match Code::from_bytes(status.expect("a status").as_bytes()) {
        Code::Ok => 200,
        Code::Unauthenticated => 401,
        Code::NotFound => 404,
        Code::DeadlineExceeded => 408,
        Code::Internal => 500,
        other => unreachable!("no plan has the status {other:?}"),
    }
}

pub(crate) static APP: App = App {
    method: "POST",
    protocol: Protocol::Grpc,
    is_routed_first: true,
    has_inner_layer: true,
    handlers: &[
        ("/test.Greeter/Quiet", "/test.Greeter/Quiet", &QUIET),
        ("/test.Greeter/Say", "/test.Greeter/Say", &SAY),
        ("/test.Greeter/Said", "/test.Greeter/Said", &SAID),
        ("/test.Greeter/Denied", "/test.Greeter/Denied", &DENIED),
    ],
    send: |uri| Box::pin(send(uri)),
};
