//! The settings of a layer: labels from the head, requests that are skipped, and requests
//! that end with their body, without a server.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use bytes::Bytes;
use futures::FutureExt;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame};
use instrument_runtime::{Exporter, RequestHead, axum as on_axum, instrumented, tower as on_tower};
use instrument_tests::page::Page;
use tower::ServiceExt;

static EXPORTER: LazyLock<Exporter> = LazyLock::new(|| {
    instrument_runtime::builder("settings")
        .without_listener()
        .install()
        .expect("installs")
});

fn page() -> Page {
    Page::parse(&EXPORTER.render())
}

/// The outcome and the status of the only request of an endpoint. Empty while it is in
/// progress.
fn ended(endpoint: &str) -> String {
    let page = page();
    let of = [("endpoint", endpoint)];
    let mut ended = Vec::new();
    for (labels, count) in page.samples("requests_total") {
        if labels["endpoint"] == endpoint && count > 0.0 {
            ended.push(format!(
                "{} {} x{count}",
                labels["outcome"], labels["http_status"]
            ));
        }
    }
    let in_progress = page.sum("requests_in_progress", &of);
    assert_eq!(
        in_progress,
        f64::from(u8::from(ended.is_empty())),
        "{endpoint}"
    );
    assert_eq!(
        page.sum("request_latency_seconds_count", &of),
        ended.len() as f64
    );
    ended.join(", ")
}

fn request(method: &str, path: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request.body(Body::empty()).expect("a request")
}

/// A body that the test determines.
enum Odd {
    /// Frames, then the end.
    Frames(Vec<Frame<Bytes>>),
    Pending,
    Panics,
}

impl hyper::body::Body for Odd {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Frames(frames) if frames.is_empty() => Poll::Ready(None),
            Self::Frames(frames) => Poll::Ready(Some(Ok(frames.remove(0)))),
            Self::Pending => Poll::Pending,
            Self::Panics => panic!("on purpose"),
        }
    }
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

/// Sends a request through the layer. The route is the path.
async fn answered(
    method: &str,
    path: &'static str,
    response: Response<Odd>,
) -> Response<on_tower::WatchedBody<Odd>> {
    LazyLock::force(&EXPORTER);
    let mut response = Some(response);
    let service = tower::ServiceBuilder::new()
        .layer(on_tower::layer().until_body_end())
        .service_fn(move |_: Request<Body>| {
            let response = response.take().expect("one request");
            async move {
                on_tower::set_matched_route(path);
                Ok::<_, Infallible>(response)
            }
        });
    let Ok(response) = service.oneshot(request(method, path)).await;
    response
}

fn with(status: u16, body: Odd) -> Response<Odd> {
    let response = Response::builder().status(status).body(body);
    response.expect("a response")
}

#[tokio::test]
async fn the_end_of_a_body_is_the_end_of_its_request() {
    // To the end, and trailers.
    let response = answered(
        "GET",
        "/whole",
        with(200, Odd::Frames(vec![data("a"), data("b")])),
    )
    .await;
    assert_eq!(ended("/whole"), "");
    assert_eq!(
        response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes(),
        "ab"
    );
    assert_eq!(ended("/whole"), "ok 200 x1");
    let trailers = Frame::trailers(http::HeaderMap::new());
    let mut response = answered(
        "GET",
        "/trailers",
        with(404, Odd::Frames(vec![data("a"), trailers])),
    )
    .await;
    response.body_mut().frame().await;
    assert_eq!(ended("/trailers"), "");
    response.body_mut().frame().await;
    assert_eq!(ended("/trailers"), "client_error 404 x1");

    // A server does not poll a body again once it has `Content-Length` bytes.
    let mut response = with(200, Odd::Frames(vec![data("ab"), data("c")]));
    response.headers_mut().insert("content-length", 3.into());
    let mut response = answered("GET", "/length", response).await;
    response.body_mut().frame().await;
    assert_eq!(ended("/length"), "");
    response.body_mut().frame().await;
    drop(response);
    assert_eq!(ended("/length"), "ok 200 x1");

    // Dropped, before and after the first frame.
    drop(answered("GET", "/unread", with(201, Odd::Pending)).await);
    assert_eq!(ended("/unread"), "cancelled 201 x1");
    let mut response = answered(
        "GET",
        "/left",
        with(200, Odd::Frames(vec![data("a"), data("b")])),
    )
    .await;
    response.body_mut().frame().await;
    drop(response);
    assert_eq!(ended("/left"), "cancelled 200 x1");

    // A panic.
    let mut response = answered("GET", "/panics", with(200, Odd::Panics)).await;
    let polled = poll_fn(|context| Pin::new(response.body_mut()).poll_frame(context));
    AssertUnwindSafe(polled)
        .catch_unwind()
        .await
        .expect_err("a panic");
    assert_eq!(ended("/panics"), "panicked 200 x1");

    // Nothing is sent after the head.
    for (method, path, status) in [
        ("HEAD", "/head", 200),
        ("GET", "/204", 204),
        ("GET", "/304", 304),
        ("GET", "/101", 101),
        ("CONNECT", "/tunnel", 200),
    ] {
        let response = answered(method, path, with(status, Odd::Pending)).await;
        assert_eq!(ended(path), format!("ok {status} x1"), "{path}");
        drop(response);
        assert_eq!(ended(path), format!("ok {status} x1"), "{path}");
    }
}

#[tokio::test]
async fn an_outer_layer_counts_what_the_inner_one_watches() {
    LazyLock::force(&EXPORTER);
    async fn replaced(request: Request<Body>, next: Next) -> Response<Body> {
        let response = next.run(request).await;
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX)
            .await
            .expect("a body");
        Response::from_parts(head, Body::from(bytes))
    }
    async fn dropped(request: Request<Body>, next: Next) -> StatusCode {
        drop(next.run(request).await);
        StatusCode::IM_A_TEAPOT
    }
    let part = |path| {
        let stream = || async {
            let chunks = ["a", "b"].map(Ok::<_, Infallible>);
            Body::from_stream(futures::stream::iter(chunks))
        };
        let route = axum::Router::<()>::new().route(path, get(stream));
        route.layer(on_axum::layer().until_body_end())
    };
    let app = part("/watched")
        .merge(part("/replaced").layer(from_fn(replaced)))
        .merge(part("/dropped").layer(from_fn(dropped)))
        .route("/plain", get(|| async { "plain" }))
        .layer(on_axum::layer());
    let send = |path| app.clone().oneshot(request("GET", path));

    let Ok(response) = send("/watched").await;
    assert_eq!(ended("/watched"), "");
    response.into_body().collect().await.expect("a body");
    assert_eq!(ended("/watched"), "ok 200 x1");
    // A layer in between has read the body, or has dropped it.
    let Ok(response) = send("/replaced").await;
    assert_eq!(ended("/replaced"), "ok 200 x1");
    drop(response);
    assert_eq!(ended("/replaced"), "ok 200 x1");
    let Ok(_) = send("/dropped").await;
    assert_eq!(ended("/dropped"), "client_error 418 x1");
    let Ok(response) = send("/plain").await;
    assert_eq!(ended("/plain"), "ok 200 x1");
    drop(response);
    assert_eq!(ended("/plain"), "ok 200 x1");
}

#[instrumented(handler, labels(shop = "of the handler"))]
async fn annotated(_: Request<Body>) {}

fn tenant(head: &RequestHead<'_>) -> String {
    head.header("X-Tenant").unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_layer_adds_labels_and_skips() {
    LazyLock::force(&EXPORTER);
    let layer = on_axum::layer()
        .skip(|head| head.path() == "/labels/health")
        .skip(|head| head.method() == "OPTIONS")
        .label("tenant", |_| "replaced below")
        .label("tenant", tenant)
        .label("shop", |_| "of the layer");
    let app = axum::Router::<()>::new()
        .route("/labels", get(|| async {}))
        .route("/labels/annotated", get(annotated))
        .route("/labels/health", get(|| async {}))
        .layer(layer);
    let send = async |method, path, tenant: &str| {
        let mut request = request(method, path);
        let value = http::HeaderValue::from_bytes(tenant.as_bytes()).expect("a header");
        request.headers_mut().insert("x-tenant", value);
        let Ok(response) = app.clone().oneshot(request).await;
        response.status()
    };
    let long = "x".repeat(1_000);
    let tenants = ["acme", "a\"b\\c", "a=\"b\",c=\"", &long];
    for tenant in tenants {
        for path in ["/labels", "/labels/annotated"] {
            assert_eq!(send("GET", path, tenant).await, 200);
        }
    }
    // An empty value, and one that is not text.
    send("GET", "/labels", "").await;
    send("GET", "/labels", "\u{e9}").await;
    // Skipped.
    send("GET", "/labels/health", "acme").await;
    send("OPTIONS", "/labels", "acme").await;

    let page = page();
    let of = |endpoint: &str, name: &'static str| {
        let all = page.labels("requests_total");
        let of_endpoint = all.filter(|labels| labels["endpoint"] == endpoint);
        let values = of_endpoint.map(|labels| labels.get(name).cloned().unwrap_or_default());
        values.collect::<BTreeSet<String>>()
    };
    let mut shown: BTreeSet<String> = tenants[..3]
        .iter()
        .map(|&tenant| tenant.to_owned())
        .collect();
    let cut = |values: BTreeSet<String>| -> BTreeSet<String> {
        values
            .into_iter()
            .filter(|value| value.len() < 100)
            .collect()
    };
    assert_eq!(cut(of("/labels/annotated", "tenant")), shown);
    assert_eq!(
        of("/labels/annotated", "tenant").len(),
        4,
        "long values are shortened"
    );
    shown.insert(String::new());
    assert_eq!(cut(of("/labels", "tenant")), shown);
    assert_eq!(
        of("/labels", "shop"),
        BTreeSet::from(["of the layer".to_owned()])
    );
    // The handler's own label wins.
    let of_handler = BTreeSet::from(["of the handler".to_owned()]);
    assert_eq!(of("/labels/annotated", "shop"), of_handler);
    for name in ["requests_total", "request_latency_seconds_count"] {
        assert_eq!(page.sum(name, &[("endpoint", "/labels")]), 6.0, "{name}");
        assert_eq!(
            page.sum(name, &[("endpoint", "/labels/health")]),
            0.0,
            "{name}"
        );
    }
    let in_progress = page.labels("requests_in_progress");
    let with_label =
        in_progress.filter(|labels| labels.get("tenant").is_some_and(|of| of == "acme"));
    assert_eq!(with_label.count(), 3, "one before its handler is known");
    assert_eq!(
        page.sum("requests_in_progress", &[("endpoint", "/labels")]),
        0.0
    );
}

#[test]
fn a_bad_label_is_refused_at_once() {
    for (name, problem) in [
        ("a-b", "the label `a-b` of a layer is not a label name"),
        (
            "method",
            "the label `method` of a layer is set by the exporter itself",
        ),
        ("__a", "the label `__a` of a layer starts with `__`"),
    ] {
        let refused = std::panic::catch_unwind(|| on_tower::layer().label(name, |_| ""));
        let message = refused.expect_err("refused");
        let message = message.downcast_ref::<String>().expect("a message");
        assert!(message.starts_with(problem), "{message}");
    }
}
