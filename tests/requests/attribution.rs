//! Who takes the request on axum and on tower: the handler, and no function that
//! only looks like one.

use std::convert::Infallible;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use instrument_runtime::{axum as on_axum, instrumented, tower as on_tower};
use instrument_tests::recorded::Recorded;
use tower::{Layer, ServiceExt, service_fn};

use crate::within::counted;

fn request(method: &str, path: &str) -> Request {
    Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .expect("a request")
}

/// One request to `app`, and what was counted of it. Whatever it spawned ends
/// before.
fn ask(app: Router, method: &str, path: &str, expected: &[&str]) {
    Recorded::during_async(async |recorded| {
        let Ok(response) = app.oneshot(request(method, path)).await;
        drop(response);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(counted(recorded), expected);
    });
}

fn app(path: &str, handler: axum::routing::MethodRouter) -> Router {
    Router::new().route(path, handler)
}

#[instrumented(labels(tenant = tenant))]
async fn own(Path(tenant): Path<String>) -> String {
    tokio::task::yield_now().await;
    tenant
}

async fn quiet() -> &'static str {
    "quiet"
}

/// By its types it could be a handler.
#[instrumented(labels(kind = "audit"))]
async fn audit(text: String) -> Result<String, StatusCode> {
    Ok(text)
}

#[instrumented(labels(kind = "stamp"))]
async fn stamp(response: Response) -> Response {
    response
}

async fn audited(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let _ = audit("seen".to_owned()).await;
    response
}

const AUDIT: &str = "endpoint=attribution::audit kind=audit outcome=ok 1";

#[test]
fn a_helper_after_the_handler_leaves_it_the_request() {
    ask(
        app("/own/{tenant}", get(own))
            .layer(from_fn(audited))
            .layer(on_axum::layer()),
        "GET",
        "/own/acme",
        &[
            AUDIT,
            "method=GET endpoint=/own/{tenant} tenant=acme outcome=ok http_status=200 1",
        ],
    );
}

#[test]
fn a_helper_after_an_unannotated_handler_takes_nothing() {
    ask(
        app("/quiet", get(quiet))
            .layer(from_fn(audited))
            .layer(on_axum::layer()),
        "GET",
        "/quiet",
        &[
            AUDIT,
            "method=GET endpoint=/quiet outcome=ok http_status=200 1",
        ],
    );
}

#[test]
fn a_function_that_maps_responses_takes_nothing() {
    ask(
        app("/own/{tenant}", get(own))
            .layer(map_response(stamp))
            .layer(on_axum::layer()),
        "GET",
        "/own/acme",
        &[
            "endpoint=attribution::stamp kind=stamp outcome=ok http_status=200 1",
            "method=GET endpoint=/own/{tenant} tenant=acme outcome=ok http_status=200 1",
        ],
    );
}

#[instrumented(labels(kind = "check"))]
async fn check() -> Result<(), StatusCode> {
    tokio::task::yield_now().await;
    Err(StatusCode::UNAUTHORIZED)
}

async fn guarded(request: Request, next: Next) -> Response {
    match check().await {
        Ok(()) => next.run(request).await,
        Err(status) => status.into_response(),
    }
}

#[test]
fn a_check_that_refuses_takes_nothing() {
    const CHECK: &str =
        "endpoint=attribution::check kind=check outcome=client_error http_status=401 1";
    let guarded = || app("/own/{tenant}", get(own)).layer(from_fn(guarded));
    ask(
        guarded().layer(on_axum::layer()),
        "GET",
        "/own/acme",
        &[
            CHECK,
            "method=GET endpoint=/own/{tenant} outcome=client_error http_status=401 1",
        ],
    );
    Recorded::during_async(async |recorded| {
        let app = on_tower::layer().layer(guarded());
        let Ok(_) = app.oneshot(request("GET", "/own/acme")).await;
        assert_eq!(
            counted(recorded),
            [
                CHECK,
                "method=GET endpoint=unmatched outcome=client_error http_status=401 1",
            ]
        );
    });
}

#[instrumented(labels(kind = "patient"))]
async fn patient() -> Result<(), StatusCode> {
    pending().await
}

async fn waits(request: Request, next: Next) -> Response {
    let _ = patient().await;
    next.run(request).await
}

#[test]
fn a_check_that_the_client_does_not_wait_for_takes_nothing() {
    Recorded::during(|recorded| {
        let app = app("/own/{tenant}", get(own))
            .layer(from_fn(waits))
            .layer(on_axum::layer());
        {
            let mut asked = pin!(app.oneshot(request("GET", "/own/acme")));
            let polled = asked.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
        }
        assert_eq!(
            counted(recorded),
            [
                "endpoint=attribution::patient kind=patient outcome=cancelled http_status=499 1",
                "method=GET endpoint=/own/{tenant} outcome=cancelled http_status=499 1",
            ]
        );
    });
}

#[instrumented(endpoint = "/oauth/introspect", method = "POST")]
async fn introspect() -> Result<(), StatusCode> {
    Ok(())
}

#[instrumented(endpoint = "/oauth/keys", method = "GET")]
async fn keys() -> Result<(), StatusCode> {
    Ok(())
}

async fn asks_others() -> &'static str {
    let _ = introspect().await;
    let _ = keys().await;
    "users"
}

async fn introspects(request: Request, next: Next) -> Response {
    let _ = introspect().await;
    let response = next.run(request).await;
    let _ = keys().await;
    response
}

#[test]
fn calls_to_other_services_take_nothing() {
    let expected = [
        "method=GET endpoint=/oauth/keys outcome=ok 1",
        "method=GET endpoint=/users outcome=ok http_status=200 1",
        "method=POST endpoint=/oauth/introspect outcome=ok 1",
    ];
    let users = app("/users", get(asks_others));
    ask(users.layer(on_axum::layer()), "GET", "/users", &expected);
    let users = app("/users", get(quiet)).layer(from_fn(introspects));
    ask(users.layer(on_axum::layer()), "GET", "/users", &expected);
}

#[instrumented(labels(kind = "render"))]
async fn render(lines: Vec<String>) -> String {
    lines.join("\n")
}

#[instrumented(labels(kind = "load"))]
async fn load(name: String) -> Result<String, StatusCode> {
    Ok(name)
}

#[test]
fn helpers_of_an_unannotated_handler_take_nothing() {
    async fn renders() -> String {
        render(vec!["line".to_owned()]).await
    }
    async fn loads() -> Result<String, StatusCode> {
        load("name".to_owned()).await
    }
    ask(
        app("/page", get(renders)).layer(on_axum::layer()),
        "GET",
        "/page",
        &[
            "endpoint=attribution::render kind=render outcome=ok 1",
            "method=GET endpoint=/page outcome=ok http_status=200 1",
        ],
    );
    ask(
        app("/page", get(loads)).layer(on_axum::layer()),
        "GET",
        "/page",
        &[
            "endpoint=attribution::load kind=load outcome=ok 1",
            "method=GET endpoint=/page outcome=ok http_status=200 1",
        ],
    );
}

#[instrumented(labels(kind = "work"))]
async fn work() -> String {
    tokio::time::sleep(Duration::from_secs(1)).await;
    "done".to_owned()
}

/// An answer before the work is done.
async fn accepts() -> StatusCode {
    let mut work = Box::pin(work());
    match tokio::time::timeout(Duration::from_millis(10), &mut work).await {
        Ok(_) => StatusCode::OK,
        Err(_) => {
            tokio::spawn(work);
            StatusCode::ACCEPTED
        }
    }
}

#[test]
fn work_that_outlives_its_request_is_counted_by_itself() {
    ask(
        app("/work", get(accepts)).layer(on_axum::layer()),
        "GET",
        "/work",
        &[
            "endpoint=attribution::work kind=work outcome=ok 1",
            "method=GET endpoint=/work outcome=ok http_status=202 1",
        ],
    );
}

#[test]
fn a_panic_that_is_caught_is_not_forgotten_for_a_helper() {
    #[instrumented(labels(kind = "panics"))]
    async fn panics() -> String {
        panic!("on purpose")
    }
    async fn catches(request: Request, next: Next) -> Response {
        let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let _ = audit("caught".to_owned()).await;
        response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
    ask(
        app("/panics", get(panics))
            .layer(from_fn(catches))
            .layer(on_axum::layer()),
        "GET",
        "/panics",
        &[
            AUDIT,
            "method=GET endpoint=/panics kind=panics outcome=panicked http_status=500 1",
        ],
    );
}

#[instrumented(endpoint = "/", method = "GET", labels(kind = "other"))]
async fn other() -> http::Response<()> {
    pending().await
}

/// A layered service of its own, asked and given up within a handler.
async fn asks_and_gives_up() {
    let other = on_tower::layer().layer(service_fn(async |_: http::Request<()>| {
        Ok::<_, Infallible>(other().await)
    }));
    let asked = other.oneshot(http::Request::new(()));
    let answer = tokio::time::timeout(Duration::from_millis(5), asked).await;
    assert!(answer.is_err());
}

#[test]
fn another_request_that_is_given_up_leaves_the_handler_its_own() {
    #[instrumented(labels(kind = "gateway"))]
    async fn gateway() -> String {
        asks_and_gives_up().await;
        "gone on".to_owned()
    }
    ask(
        app("/gateway", get(gateway)).layer(on_axum::layer()),
        "GET",
        "/gateway",
        &[
            "method=GET endpoint=/ kind=other outcome=cancelled http_status=499 1",
            "method=GET endpoint=/gateway kind=gateway outcome=ok http_status=200 1",
        ],
    );
}

type Work = Shared<BoxFuture<'static, String>>;

/// Starts in one request, ends in another.
#[test]
fn a_future_that_requests_share_is_counted_by_itself() {
    async fn joins(Extension(shared): Extension<Arc<Mutex<Option<Work>>>>) -> String {
        let work = shared
            .lock()
            .expect("no panic")
            .get_or_insert_with(|| work().boxed().shared())
            .clone();
        work.await
    }
    async fn impatient(request: Request, next: Next) -> Response {
        let is_first = request.uri().query().is_some();
        let answer = next.run(request);
        if !is_first {
            return answer.await;
        }
        match tokio::time::timeout(Duration::from_millis(10), answer).await {
            Ok(response) => response,
            Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
        }
    }
    for first_leaves in [false, true] {
        Recorded::during_async(async |recorded| {
            let shared: Arc<Mutex<Option<Work>>> = Arc::default();
            let app = app("/shared", get(joins))
                .layer(Extension(shared))
                .layer(from_fn(impatient))
                .layer(on_axum::layer());
            let path = if first_leaves {
                "/shared"
            } else {
                "/shared?first"
            };
            let first = app.clone().oneshot(request("GET", path));
            let second = async {
                tokio::task::yield_now().await;
                drop(app.oneshot(request("GET", "/shared")).await);
            };
            let first = tokio::time::timeout(Duration::from_millis(100), first);
            let (first, ()) = tokio::join!(first, second);
            assert_eq!(first.is_err(), first_leaves);
            assert_eq!(
                counted(recorded),
                [
                    "endpoint=attribution::work kind=work outcome=ok 1",
                    if first_leaves {
                        "method=GET endpoint=/shared outcome=cancelled http_status=499 1"
                    } else {
                        "method=GET endpoint=/shared outcome=client_error http_status=408 1"
                    },
                    "method=GET endpoint=/shared outcome=ok http_status=200 1",
                ]
            );
        });
    }
}
