//! The age of the oldest request in flight, through each framework's layer.

use std::cell::Cell;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use actix_web::test::TestRequest;
use actix_web::{App, web};
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use futures::{FutureExt, stream};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use instrument_runtime::{Exporter, MetricNames, actix_web as on_actix, instrumented};
use instrument_runtime::{axum as on_axum, tonic as on_tonic, tower as on_tower};
use instrument_tests::ages::{Within, assert_age, pass};
use instrument_tests::alone;
use instrument_tests::page::Page;
use tokio::sync::{Mutex, Notify};
use tower::{Layer, ServiceExt, service_fn};

const NAME: &str = "requests_oldest_in_progress_seconds";

static EXPORTER: LazyLock<Exporter> = LazyLock::new(|| {
    let builder = instrument_runtime::builder("requests").without_listener();
    builder.oldest_in_progress().install().expect("installs")
});

/// Asserts that the only call in flight is in a series with these labels, and that it has
/// started at `start`.
fn assert_alone(labels: &[(&str, &str)], start: Within) {
    let (text, read) = Within::of(|| EXPORTER.render());
    let page = Page::parse(&text);
    let age = page.sum(NAME, labels);
    assert_age(age, start, read);
    assert_eq!(page.sum(NAME, &[]), age, "{labels:?} is not alone");
    assert_eq!(page.sum("requests_in_progress", &[]), 1.0);
}

fn assert_none() {
    let page = Page::parse(&EXPORTER.render());
    assert_eq!(page.sum(NAME, &[]), 0.0, "{page:#?}");
    assert_eq!(page.sum("requests_in_progress", &[]), 0.0);
}

thread_local! {
    /// When the request begins that this thread is about to make.
    static SENT: Cell<Option<Instant>> = const { Cell::new(None) };
}

fn send() {
    LazyLock::force(&EXPORTER);
    SENT.set(Some(Instant::now()));
}

/// When the request has started that has reached the caller.
fn started() -> Within {
    Within {
        from: SENT.get().expect("sent"),
        to: Instant::now(),
    }
}

/// Runs in a handler. Asserts that the request is the only one in flight.
fn inside(endpoint: &str) {
    let start = started();
    pass(Duration::from_millis(2));
    assert_alone(&[("endpoint", endpoint)], start);
}

fn request(path: &str) -> Request<Body> {
    let request = Request::get(path).body(Body::empty());
    request.expect("a request")
}

#[instrumented(endpoint = "/named", method = "GET")]
async fn named() -> &'static str {
    inside("/named");
    "answer"
}

#[instrumented]
async fn inferred(_: Path<u32>) -> &'static str {
    inside("/inferred/{id}");
    "answer"
}

#[instrumented(handler, labels(kind = "own"))]
async fn with_labels() -> StatusCode {
    inside("/labels");
    StatusCode::IM_A_TEAPOT
}

async fn quiet() -> &'static str {
    inside("/quiet");
    "answer"
}

async fn panics() {
    inside("/panics");
    panic!("on purpose");
}

fn app() -> Router {
    Router::new()
        .route("/named", get(named))
        .route("/inferred/{id}", get(inferred))
        .route("/labels", get(with_labels))
        .route("/quiet", get(quiet))
        .route("/panics", get(panics))
        .fallback(|| async { inside("unmatched") })
        .layer(on_axum::layer())
}

/// Held by each test, because the tests share a page.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn a_request_on_axum_has_an_age() {
    let _one = ONE_AT_A_TIME.lock().await;
    for path in ["/named", "/inferred/7", "/labels", "/quiet", "/nowhere"] {
        send();
        let Ok(_) = app().oneshot(request(path)).await;
        assert_none();
    }
    send();
    let unwound = AssertUnwindSafe(app().oneshot(request("/panics"))).catch_unwind();
    assert!(unwound.await.is_err());
    assert_none();
}

#[tokio::test]
async fn a_request_moves_to_its_route_with_its_age() {
    let _one = ONE_AT_A_TIME.lock().await;
    let service = on_tower::layer().layer(service_fn(async |_: Request<Body>| {
        let start = started();
        inside("unmatched");
        on_tower::set_matched_route("/late");
        assert_alone(&[("endpoint", "/late")], start);
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    send();
    let Ok(_) = service.oneshot(request("/anything")).await;
    assert_none();
}

fn rpc() -> Request<tonic::body::Body> {
    let request = Request::post("/test.Echo/Say").header("content-type", "application/grpc");
    let request = request.body(tonic::body::Body::empty());
    request.expect("a request")
}

#[tokio::test]
async fn a_grpc_call_has_an_age() {
    let _one = ONE_AT_A_TIME.lock().await;
    // The route of a gRPC call is known only when it has succeeded.
    let say = async |_: Request<tonic::body::Body>| {
        inside("unmatched");
        Ok::<_, Infallible>(tonic::Status::ok("").into_http::<tonic::body::Body>())
    };
    send();
    let Ok(_) = on_tonic::layer()
        .layer(service_fn(say))
        .oneshot(rpc())
        .await;
    assert_none();
}

#[instrumented]
async fn on_actix_web(_: web::Path<u32>) -> &'static str {
    inside("/actix/{id}");
    "answer"
}

#[actix_web::test]
async fn a_request_on_actix_web_has_an_age() {
    let _one = ONE_AT_A_TIME.lock().await;
    let app = App::new()
        .wrap(on_actix::middleware())
        .route("/actix/{id}", web::get().to(on_actix_web));
    let app = actix_web::test::init_service(app).await;
    send();
    let call = TestRequest::get().uri("/actix/7").to_request();
    let response = actix_web::test::call_service(&app, call).await;
    assert_eq!(response.status(), 200);
    assert_none();
}

/// The head of the response has gone out, and the body has not.
fn assert_open(endpoint: &str) {
    let start = started();
    pass(Duration::from_millis(2));
    assert_alone(&[("endpoint", endpoint)], start);
}

#[tokio::test]
async fn a_request_has_an_age_until_its_body_ends() {
    let _one = ONE_AT_A_TIME.lock().await;
    for is_read in [true, false] {
        let body = async || Body::from_stream(stream::iter(["a", "b"].map(Ok::<_, Infallible>)));
        let app = Router::new()
            .route("/body", get(body))
            .layer(on_axum::layer().until_body_end());
        send();
        let Ok(response) = app.oneshot(request("/body")).await;
        assert_open("/body");
        if is_read {
            let body = response.into_body().collect().await;
            assert_eq!(body.expect("a body").to_bytes(), "ab");
        } else {
            drop(response);
        }
        assert_none();
    }
}

#[actix_web::test]
async fn a_request_on_actix_web_has_an_age_until_its_body_ends() {
    let _one = ONE_AT_A_TIME.lock().await;
    let body = async || {
        let frames = stream::iter([Ok::<_, Infallible>(web::Bytes::from("a"))]);
        actix_web::HttpResponse::Ok().streaming(frames)
    };
    let app = App::new()
        .wrap(on_actix::middleware().until_body_end())
        .route("/actix_body", web::get().to(body));
    let app = actix_web::test::init_service(app).await;
    send();
    let call = TestRequest::get().uri("/actix_body").to_request();
    let response = actix_web::test::call_service(&app, call).await;
    assert_open("/actix_body");
    assert_eq!(actix_web::test::read_body(response).await, "a");
    assert_none();
}

static GO_ON: Notify = Notify::const_new();

#[instrumented]
async fn slow(_: Method) -> &'static str {
    GO_ON.notified().await;
    "answer"
}

#[instrumented]
async fn other() {}

/// The age of a request is that of the request, although its handler starts later.
#[tokio::test]
async fn a_request_is_older_than_its_handler() {
    let _one = ONE_AT_A_TIME.lock().await;
    let app = Router::new()
        .route("/slow", get(slow).layer(from_fn(later)))
        .layer(on_axum::layer());
    for is_cancelled in [true, false] {
        send();
        let mut call = Box::pin(app.clone().oneshot(request("/slow")));
        let (polled, start) = Within::of(|| poll_once(&mut call));
        assert!(polled.is_pending());
        let start = Within {
            to: start.to - LATER,
            ..start
        };
        assert_alone(&[("endpoint", "/slow")], start);
        if is_cancelled {
            drop(call);
        } else {
            GO_ON.notify_one();
            let Ok(response) = call.await;
            assert_eq!(response.status(), 200);
        }
        assert_none();
    }
}

/// How much later a handler starts than its request.
const LATER: Duration = Duration::from_millis(5);

async fn later(request: Request<Body>, next: Next) -> Response {
    pass(LATER);
    next.run(request).await
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    future.poll_unpin(&mut Context::from_waker(Waker::noop()))
}

/// A call that was taken for the handler, and turns out to be none while it runs, keeps the
/// start that it had.
#[tokio::test]
async fn a_call_that_is_taken_out_of_its_request_keeps_its_start() {
    let _one = ONE_AT_A_TIME.lock().await;
    let middleware = async |request: Request<Body>, next: Next| {
        pass(LATER);
        let mut response = Box::pin(next.run(request));
        let (polled, start) = Within::of(|| poll_once(&mut response));
        assert!(polled.is_pending());
        pass(LATER);
        // The handler is the only call so far, in the series of the route.
        let page = Page::parse(&EXPORTER.render());
        assert_eq!(page.sum(NAME, &[("endpoint", "slow")]), 0.0);
        // A handler calls others only while it is polled.
        other().await;
        let (text, read) = Within::of(|| EXPORTER.render());
        let page = Page::parse(&text);
        let age = |endpoint: &str| page.value(NAME, &[("endpoint", endpoint)]);
        assert_age(age("slow").expect("the series"), start, read);
        let request = Within {
            from: SENT.get().expect("sent"),
            to: start.from - LATER,
        };
        assert_age(age("/doubtful").expect("the series"), request, read);
        response.await
    };
    let app = Router::new()
        .route("/doubtful", get(slow).layer(from_fn(middleware)))
        .layer(on_axum::layer());
    send();
    let mut call = Box::pin(app.oneshot(request("/doubtful")));
    assert!(poll_once(&mut call).is_pending());
    drop(call);
    assert_none();
}

/// A call that a request watches, because it may be the handler, and that is counted by
/// itself.
#[tokio::test]
async fn a_call_in_doubt_has_an_age_of_its_own() {
    let _one = ONE_AT_A_TIME.lock().await;
    let handler = async |method: Method| {
        // Not in the poll in which the request was handed over.
        tokio::task::yield_now().await;
        pass(LATER);
        let mut doubtful = pin!(slow(method));
        let (polled, start) = Within::of(|| poll_once(&mut doubtful));
        assert!(polled.is_pending());
        let (text, read) = Within::of(|| EXPORTER.render());
        let age = Page::parse(&text).value(NAME, &[("endpoint", "slow")]);
        assert_age(age.expect("the series"), start, read);
    };
    let app = Router::new()
        .route("/doubt", get(handler))
        .layer(on_axum::layer());
    send();
    let Ok(_) = app.oneshot(request("/doubt")).await;
    assert_none();
}

#[instrumented(endpoint = "/users", method = "GET")]
async fn users() {
    std::future::pending().await
}

#[instrumented]
async fn job() {
    std::future::pending().await
}

/// OpenTelemetry's conventions have no such metric, so it keeps its name.
#[tokio::test]
async fn requests_have_the_labels_of_the_conventions_if_they_have_the_names() {
    let name = "requests_have_the_labels_of_the_conventions_if_they_have_the_names";
    alone(name, || {
        let exporter = instrument_runtime::builder("opentelemetry")
            .names(MetricNames::opentelemetry())
            .without_listener()
            .oldest_in_progress()
            .install()
            .expect("installs");
        let endless = async || std::future::pending::<()>().await;
        let app = Router::new()
            .route("/items/{id}", get(endless))
            .fallback(endless)
            .layer(on_axum::layer());
        let mut requests = ["/items/7", "/nowhere"].map(|path| app.clone().oneshot(request(path)));
        let say = async |_: Request<tonic::body::Body>| {
            std::future::pending::<Result<Response<tonic::body::Body>, Infallible>>().await
        };
        let service = on_tonic::layer().layer(service_fn(say));
        let mut rpc = Box::pin(service.oneshot(rpc()));
        let mut users = Box::pin(users());
        let mut job = Box::pin(job());
        let (_, start) = Within::of(|| {
            for request in &mut requests {
                assert!(poll_once(request).is_pending());
            }
            assert!(poll_once(&mut rpc).is_pending());
            assert!(poll_once(&mut users).is_pending());
            assert!(poll_once(&mut job).is_pending());
        });
        let (text, read) = Within::of(|| exporter.render());
        let page = Page::parse(&text);
        let http = [("http_request_method", "GET"), ("url_scheme", "http")];
        let with_route = |route| [&http[..], &[("http_route", route)]].concat();
        let mut expected = [
            with_route("/items/{id}"),
            http.to_vec(),
            vec![("method", "POST"), ("endpoint", "unmatched")],
            with_route("/users"),
            vec![("endpoint", "job")],
        ];
        for labels in &expected {
            assert_age(page.exactly(NAME, labels), start, read);
        }
        let mut found: Vec<Vec<(&str, &str)>> = page
            .labels(NAME)
            .map(|labels| {
                labels
                    .iter()
                    .map(|(n, v)| (n.as_str(), v.as_str()))
                    .collect()
            })
            .collect();
        expected
            .iter_mut()
            .for_each(|labels| labels.sort_unstable());
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    });
}
