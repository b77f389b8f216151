//! RPCs through the layer of tonic.

use std::sync::LazyLock;
use std::task::{Context, Waker};

use http::{Request, Response};
use instrument_runtime::RequestHead;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{ServiceExt, service_fn};

use crate::semconv::{Conventions, Situation};
use crate::{EXPORTER, HTTP_AND_SIZE, RPC, assert_page, once, page};

fn name_of(head: &RequestHead<'_>) -> String {
    head.header("x-case").unwrap_or_default().to_owned()
}

/// Answers as tonic's services do.
async fn serve(request: Request<Body>) -> Result<Response<Body>, &'static str> {
    let case = request.headers()["x-case"].to_str().expect("text");
    if request.headers().get("content-type").is_none() {
        return Ok(Response::new(Body::empty()));
    }
    match case.strip_prefix("grpc: ").expect("a case") {
        "unmatched" => Ok(Status::unimplemented("").into_http()),
        "error" => Err("no response"),
        "panic" => panic!("on purpose"),
        "cancelled" => std::future::pending().await,
        code => {
            let code: i32 = code.parse().expect("a code");
            Ok(Status::new(Code::from(code), "").into_http())
        }
    }
}

#[test]
fn rpcs_of_tonic() {
    LazyLock::force(&EXPORTER);
    let conventions = Conventions::read();
    let layer = instrument_runtime::tonic::layer().response_sizes();
    let layer = layer.label("case", name_of);
    let app = tower::ServiceBuilder::new()
        .layer(layer)
        .service(service_fn(serve));
    let send = |case: &str, path: &str| {
        let request = Request::builder().method("POST").uri(path);
        let request = request
            .header("x-case", case)
            .header("content-type", "application/grpc");
        once(
            app.clone()
                .oneshot(request.body(Body::empty()).expect("a request")),
        );
    };
    let status = "rpc.response.status_code";
    let call = Situation::of(&[("rpc.system.name", "grpc"), ("rpc.method", "test.Shop/Buy")]);

    // 0 comes first: after a success, the path is known to be that of a method.
    let codes = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    for (code, name) in codes.into_iter().enumerate() {
        let case = format!("grpc: {code}");
        send(&case, "/test.Shop/Buy");
        conventions.assert_counted(&page(), &case, RPC, &call.clone().with(status, name));
    }
    for (case, situation) in [
        ("grpc: error", call.clone().failed("_OTHER")),
        ("grpc: panic", call.clone().failed("panic")),
        ("grpc: cancelled", call.clone().failed("cancelled")),
    ] {
        send(case, "/test.Shop/Buy");
        conventions.assert_counted(&page(), case, RPC, &situation);
    }
    send("grpc: unmatched", "/test.Shop/Steal");
    let unmatched = call
        .with("rpc.method", "_OTHER")
        .with(status, "UNIMPLEMENTED");
    conventions.assert_counted(&page(), "grpc: unmatched", RPC, &unmatched);

    // The conventions have no metric of RPCs in progress.
    let request = Request::builder().method("POST").uri("/test.Shop/Buy");
    let request = request
        .header("x-case", "grpc: cancelled")
        .header("content-type", "application/grpc");
    let mut request = Box::pin(
        app.clone()
            .oneshot(request.body(Body::empty()).expect("a request")),
    );
    let polled = request
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    let labels = [
        ("case", "grpc: cancelled"),
        ("method", "POST"),
        ("endpoint", "/test.Shop/Buy"),
    ];
    assert_eq!(page().exactly("requests_in_progress", &labels), 1.0);
    drop(request);
    assert_eq!(page().exactly("requests_in_progress", &labels), 0.0);

    // A plain HTTP request beside gRPC.
    let request = Request::builder()
        .uri("/health")
        .header("x-case", "grpc: plain");
    once(app.oneshot(request.body(Body::empty()).expect("a request")));
    let plain = Situation::of(&[
        ("http.request.method", "GET"),
        ("url.scheme", "http"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "1.1"),
    ]);
    conventions.assert_counted(&page(), "grpc: plain", HTTP_AND_SIZE, &plain);
    assert_page(&page());
}
