//! `response_sizes()`: each response is measured once, in bytes, on every framework.

use std::convert::Infallible;
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
use hyper::body::Frame;
use instrument_runtime::{
    Exporter, MetricNames, actix_web as on_actix, axum as on_axum, instrumented, tonic as on_tonic,
    tower as on_tower,
};
use instrument_tests::alone;
use instrument_tests::page::Page;
use tower::ServiceExt;

static EXPORTER: LazyLock<Exporter> = LazyLock::new(|| {
    instrument_runtime::builder("sizes")
        .without_listener()
        .native_histograms()
        .install()
        .expect("installs")
});

fn page() -> Page {
    Page::parse(&EXPORTER.render())
}

/// The number and the sum of the sizes with these labels.
fn sizes(labels: &[(&str, &str)]) -> (f64, f64) {
    let page = page();
    let sum = |sample| page.sum(&format!("response_size_bytes_{sample}"), labels);
    (sum("count"), sum("sum"))
}

/// The same for an endpoint and an outcome. All sizes of the endpoint must have the outcome.
fn of(endpoint: &str, outcome: &str) -> (f64, f64) {
    let sizes_of_outcome = sizes(&[("endpoint", endpoint), ("outcome", outcome)]);
    assert_eq!(sizes_of_outcome, sizes(&[("endpoint", endpoint)]));
    sizes_of_outcome
}

fn request(method: &str, path: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request.body(Body::empty()).expect("a request")
}

/// A body with these frames, then its end, or something else.
struct Odd(Vec<Frame<Bytes>>, Then);

#[derive(Clone, Copy)]
enum Then {
    End,
    Pending,
    Error,
    Panic,
}

impl hyper::body::Body for Odd {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        match self.1 {
            _ if !self.0.is_empty() => Poll::Ready(Some(Ok(self.0.remove(0)))),
            Then::End => Poll::Ready(None),
            Then::Pending => Poll::Pending,
            Then::Error => Poll::Ready(Some(Err("on purpose"))),
            Then::Panic => panic!("on purpose"),
        }
    }
}

fn data(bytes: usize) -> Frame<Bytes> {
    Frame::data(vec![b'x'; bytes].into())
}

fn trailers() -> Frame<Bytes> {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", 0.into());
    Frame::trailers(trailers)
}

/// Reads a body as a server does: to its end, or until it has no more to give now. Then drops
/// it.
async fn read<B: hyper::body::Body>(body: B) {
    let mut body = Box::pin(body);
    let read = async { while let Some(Ok(_)) = body.as_mut().frame().await {} };
    // A panic was meant, and a body that is not ready is dropped.
    let _ = std::panic::AssertUnwindSafe(read)
        .catch_unwind()
        .now_or_never();
}

/// Sends a request that this body answers, and reads it.
async fn answered(
    layer: on_tower::BodyLayer,
    method: &str,
    path: &'static str,
    status: u16,
    body: Odd,
) {
    let mut body = Some(body);
    let service = tower::ServiceBuilder::new()
        .layer(layer)
        .service_fn(move |_| {
            let response = Response::builder().status(status);
            let response = response.body(body.take().expect("one request"));
            async move {
                on_tower::set_matched_route(path);
                Ok::<_, Infallible>(response.expect("a response"))
            }
        });
    let Ok(response) = service.oneshot(request(method, path)).await;
    read(response.into_body()).await;
}

#[tokio::test]
async fn the_bytes_that_the_server_takes_are_measured() {
    LazyLock::force(&EXPORTER);
    // Without the body's end as the request's end, the outcome is that of the head.
    for (until_end, failed, panicked, left) in [
        (false, "ok", "ok", "ok"),
        (true, "error", "panicked", "cancelled"),
    ] {
        let layer = || match until_end {
            false => on_tower::layer().response_sizes(),
            true => on_tower::layer().response_sizes().until_body_end(),
        };
        let path = |plain: &'static str, until: &'static str| if until_end { until } else { plain };
        let three = || vec![data(1_000), data(0), data(234)];

        let whole = path("/whole", "/u/whole");
        answered(layer(), "GET", whole, 200, Odd(three(), Then::End)).await;
        assert_eq!(of(whole, "ok"), (1.0, 1_234.0));

        let with_trailers = path("/trailers", "/u/trailers");
        let body = Odd([three(), vec![trailers()]].concat_frames(), Then::Pending);
        answered(layer(), "GET", with_trailers, 503, body).await;
        assert_eq!(of(with_trailers, "error"), (1.0, 1_234.0));

        for (then, path, outcome) in [
            (Then::Error, path("/fails", "/u/fails"), failed),
            (Then::Panic, path("/panics", "/u/panics"), panicked),
            (Then::Pending, path("/left", "/u/left"), left),
        ] {
            answered(layer(), "GET", path, 200, Odd(three(), then)).await;
            assert_eq!(of(path, outcome), (1.0, 1_234.0), "{path}");
        }

        let unread = path("/unread", "/u/unread");
        answered(layer(), "GET", unread, 200, Odd(vec![], Then::Pending)).await;
        assert_eq!(of(unread, left), (1.0, 0.0));

        // Nothing is sent after the head.
        for (method, status, path) in [
            ("HEAD", 200, path("/head", "/u/head")),
            ("GET", 204, path("/204", "/u/204")),
            ("GET", 304, path("/304", "/u/304")),
        ] {
            answered(layer(), method, path, status, Odd(three(), Then::End)).await;
            assert_eq!(of(path, "ok"), (1.0, 0.0), "{path}");
        }
    }
}

trait ConcatFrames {
    fn concat_frames(self) -> Vec<Frame<Bytes>>;
}

impl ConcatFrames for [Vec<Frame<Bytes>>; 2] {
    fn concat_frames(self) -> Vec<Frame<Bytes>> {
        self.into_iter().flatten().collect()
    }
}

#[tokio::test]
async fn no_response_no_size() {
    LazyLock::force(&EXPORTER);
    let service = |path: &'static str| {
        let layer = on_tower::layer().response_sizes();
        tower::ServiceBuilder::new()
            .layer(layer)
            .service_fn(move |_: Request<Body>| async move {
                on_tower::set_matched_route(path);
                match path {
                    "/no/error" => Err("no response"),
                    "/no/panic" => panic!("on purpose"),
                    _ => std::future::pending::<Result<Response<Body>, _>>().await,
                }
            })
    };
    for path in ["/no/error", "/no/panic", "/no/answer"] {
        let sent = service(path).oneshot(request("GET", path));
        let sent = std::panic::AssertUnwindSafe(sent).catch_unwind();
        let _ = sent.now_or_never();
        assert_eq!(page().sum("requests_total", &[("endpoint", path)]), 1.0);
        assert_eq!(sizes(&[("endpoint", path)]), (0.0, 0.0), "{path}");
    }
}

#[instrumented(handler, labels(plan = "free"))]
async fn annotated(_: Request<Body>) -> Vec<u8> {
    vec![0; 500]
}

/// Sends half of each body, after a part of it.
async fn halved(request: Request<Body>, next: Next) -> Response<Body> {
    let (mut head, body) = next.run(request).await.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await;
    let half = bytes.expect("a body").split_to(250);
    head.headers.remove("content-length");
    Response::from_parts(head, Body::from(half))
}

#[tokio::test]
async fn the_outermost_of_two_layers_measures() {
    LazyLock::force(&EXPORTER);
    let inner = || on_axum::layer().response_sizes();
    let both = axum::Router::<()>::new()
        .route("/both", get(annotated))
        .layer(inner())
        .layer(from_fn(halved))
        .layer(on_axum::layer().response_sizes().label("on", |_| "both"));
    let within = axum::Router::<()>::new()
        .route("/within", get(annotated))
        .layer(inner().until_body_end())
        .layer(from_fn(halved))
        .layer(on_axum::layer());
    let skipped = axum::Router::<()>::new()
        .route("/skipped", get(annotated))
        .layer(inner().skip(|_| true));
    let none = axum::Router::<()>::new()
        .route("/none", get(annotated))
        .layer(on_axum::layer().until_body_end());
    let app = both.merge(within).merge(skipped).merge(none);
    for path in ["/both", "/within", "/skipped", "/none"] {
        let Ok(response) = app.clone().oneshot(request("GET", path)).await;
        read(response.into_body()).await;
    }
    let of = |endpoint| sizes(&[("endpoint", endpoint), ("plan", "free"), ("outcome", "ok")]);
    assert_eq!(of("/both"), (1.0, 250.0));
    assert_eq!(
        of("/within"),
        (1.0, 500.0),
        "the size that the layer has seen"
    );
    assert_eq!(of("/skipped"), (0.0, 0.0));
    assert_eq!(of("/none"), (0.0, 0.0));
    assert_eq!(sizes(&[("on", "both")]), (1.0, 250.0));
}

#[actix_web::test]
async fn sizes_on_actix_web() {
    use actix_web::http::header::ACCEPT_ENCODING;
    use actix_web::middleware::Compress;
    use actix_web::{App, HttpResponse, test, web};

    LazyLock::force(&EXPORTER);
    let text = "a text that is easily compressed. ".repeat(100);
    let length = text.len() as f64;
    let whole = move || {
        let text = text.clone();
        async move { text }
    };
    let app = App::new()
        .wrap(Compress::default())
        .wrap(on_actix::middleware().response_sizes())
        .route("/actix", web::get().to(whole.clone()))
        .route("/actix/head", web::head().to(whole))
        .route("/actix/404", web::get().to(HttpResponse::NotFound));
    let app = test::init_service(app).await;
    let get = |path| test::TestRequest::get().uri(path);

    let response = test::call_service(&app, get("/actix").to_request()).await;
    test::read_body(response).await;
    assert_eq!(of("/actix", "ok"), (1.0, length));

    let head = test::TestRequest::default().method(actix_web::http::Method::HEAD);
    drop(test::call_service(&app, head.uri("/actix/head").to_request()).await);
    assert_eq!(of("/actix/head", "ok"), (1.0, 0.0));
    drop(test::call_service(&app, get("/actix/404").to_request()).await);
    assert_eq!(of("/actix/404", "client_error"), (1.0, 0.0));

    let gzip = get("/actix").insert_header((ACCEPT_ENCODING, "gzip"));
    let response = test::call_service(&app, gzip.to_request()).await;
    let sent = test::read_body(response).await.len() as f64;
    assert!(0.0 < sent && sent < length / 2.0, "{sent}");
    assert_eq!(of("/actix", "ok"), (2.0, length + sent));
}

#[tokio::test]
async fn sizes_on_tonic() {
    LazyLock::force(&EXPORTER);
    let send = async |path: &'static str, kind: &'static str, frames, then| {
        let mut body = Some(Odd(frames, then));
        let service = tower::ServiceBuilder::new()
            .layer(on_tonic::layer().response_sizes())
            .service_fn(move |_| {
                let response = Response::builder().header("content-type", kind);
                let response = response.body(body.take().expect("one request"));
                async move { Ok::<_, Infallible>(response.expect("a response")) }
            });
        let mut request = request("POST", path);
        let kind = http::HeaderValue::from_static(kind);
        request.headers_mut().insert("content-type", kind);
        let Ok(response) = service.oneshot(request).await;
        read(response.into_body()).await;
    };
    let grpc = "application/grpc";
    let frames = || vec![data(105), data(15), trailers()];
    send("/test.Shop/Buy", grpc, frames(), Then::End).await;
    assert_eq!(of("/test.Shop/Buy", "ok"), (1.0, 120.0));
    // The client leaves before the status.
    send("/test.Shop/Buy", grpc, vec![data(30)], Then::Pending).await;
    let cancelled = [("endpoint", "/test.Shop/Buy"), ("outcome", "cancelled")];
    assert_eq!(sizes(&cancelled), (1.0, 30.0));
    // A plain HTTP request ends with its head, and its size is known later.
    send("/plain", "text/plain", vec![data(77)], Then::End).await;
    let plain = [("endpoint", "unmatched"), ("http_status", "200")];
    assert_eq!(page().sum("requests_total", &plain), 1.0);
    assert_eq!(of("unmatched", "ok"), (1.0, 77.0));
}

#[tokio::test]
async fn a_client_receives_as_many_bytes_as_are_measured() {
    LazyLock::force(&EXPORTER);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let handler = async |axum::extract::Path(size): axum::extract::Path<usize>| vec![0; size];
    let app = axum::Router::<()>::new()
        .route("/real/{size}", get(handler))
        .layer(on_axum::layer().response_sizes());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let sizes_sent = [0, 1, 64, 65, 1_000, 70_000, 3_000_000];
    let received = tokio::task::spawn_blocking(move || {
        sizes_sent.map(|size| {
            let url = format!("http://{addr}/real/{size}");
            let response = ureq::get(&url).call().expect("a response");
            let mut body = response.into_body();
            body.read_to_vec().expect("a body").len()
        })
    });
    let received = received.await.expect("a client");
    assert_eq!(received, sizes_sent);
    let all = received.iter().sum::<usize>() as f64;
    let count = received.len() as f64;
    instrument_tests::wait_until(
        "all sizes are measured",
        || of("/real/{size}", "ok"),
        |sizes| *sizes == (count, all),
    );
    // The buckets are those of bytes, and cumulative.
    let page = page();
    let bucket = |le| {
        let labels = [("endpoint", "/real/{size}"), ("le", le)];
        page.sum("response_size_bytes_bucket", &labels)
    };
    assert_eq!(bucket("64.0"), 3.0);
    assert_eq!(bucket("256.0"), 4.0);
    assert_eq!(bucket("65536.0"), 5.0);
    assert_eq!(bucket("4.194304e+06"), 7.0);
    assert_eq!(bucket("+Inf"), 7.0);
    let text = EXPORTER.render();
    assert!(text.contains("# TYPE response_size_bytes histogram"));
    assert!(text.contains("# HELP response_size_bytes Size of response bodies in bytes."));
}

#[test]
fn sizes_have_a_name_bounds_and_a_limit() {
    alone("sizes_have_a_name_bounds_and_a_limit", || {
        let exporter = instrument_runtime::builder("sizes")
            .without_listener()
            .names(MetricNames::default().response_size_bytes("sent_bytes"))
            .buckets_for("sent_bytes", &[10.0, 100.0])
            .max_series(2)
            .install()
            .expect("installs");
        assert!(
            !exporter.render().contains("sent_bytes"),
            "no layer measures"
        );
        let layer = on_axum::layer().response_sizes();
        let layer = layer.label("tenant", |head| head.path().to_owned());
        let app = axum::Router::<()>::new()
            .fallback(async || (StatusCode::OK, "text"))
            .layer(layer);
        for tenant in 0..10 {
            let sent = async {
                let request = request("GET", &format!("/{tenant}"));
                let Ok(response) = app.clone().oneshot(request).await;
                read(response.into_body()).await;
            };
            sent.now_or_never().expect("an answer");
        }
        let page = Page::parse(&exporter.render());
        assert_eq!(page.sum("sent_bytes_sum", &[]), 40.0);
        assert_eq!(page.sum("sent_bytes_count", &[]), 10.0);
        assert_eq!(page.sum("sent_bytes_count", &[("overflow", "true")]), 8.0);
        assert_eq!(page.series("sent_bytes_count"), 3);
        assert_eq!(page.series("sent_bytes_bucket"), 3 * 3);
    });
}
