//! Which function a request is attributed to on axum and on tower: the handler, never a
//! function that only looks like a handler.

use std::convert::Infallible;
use std::future::{Ready, pending};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequestParts, Json, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, stream};
use instrument_runtime::{axum as on_axum, instrumented, tower as on_tower};
use instrument_tests::alone;
use instrument_tests::recorded::Recorded;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::counted::Counted;
use crate::within::counted;
use crate::{install, runtime};

fn request(method: &str, path: &str) -> Request {
    Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .expect("a request")
}

/// Sends one request to `app` and checks what was counted. Tasks that the request spawned
/// end before the check.
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

/// By its types, this function could be a handler.
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

/// Answers before the work is done.
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

/// Sends a request to another layered service and drops it before it ends.
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

/// The future starts in one request and ends in another.
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

#[test]
fn a_function_that_starts_beside_the_candidate_makes_it_doubtful() {
    #[instrumented(labels(kind = "first"))]
    async fn first() -> String {
        tokio::task::yield_now().await;
        "first".to_owned()
    }
    #[instrumented(labels(kind = "second"))]
    async fn second(part: u8) -> u8 {
        part
    }
    async fn both() -> String {
        let (first, second) = tokio::join!(first(), second(2));
        format!("{first}{second}")
    }
    ask(
        app("/both", get(both)).layer(on_axum::layer()),
        "GET",
        "/both",
        &[
            "endpoint=attribution::first kind=first outcome=ok 1",
            "endpoint=attribution::second kind=second outcome=ok 1",
            "method=GET endpoint=/both outcome=ok http_status=200 1",
        ],
    );
}

#[test]
fn a_function_that_an_unannotated_handler_calls_later_takes_nothing() {
    #[instrumented(labels(kind = "later"))]
    async fn later() -> String {
        "later".to_owned()
    }
    async fn waits_first() -> String {
        tokio::task::yield_now().await;
        later().await
    }
    ask(
        app("/later", get(waits_first)).layer(on_axum::layer()),
        "GET",
        "/later",
        &[
            "endpoint=attribution::later kind=later outcome=ok 1",
            "method=GET endpoint=/later outcome=ok http_status=200 1",
        ],
    );
}

#[test]
fn a_candidate_that_is_given_up_within_its_request_is_counted_by_itself() {
    #[instrumented(labels(kind = "slow"))]
    async fn slow() -> String {
        pending().await
    }
    async fn impatient(request: Request, next: Next) -> Response {
        let answer = next.run(request);
        match tokio::time::timeout(Duration::from_millis(10), answer).await {
            Ok(response) => response,
            Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
        }
    }
    ask(
        app("/slow", get(slow))
            .layer(from_fn(impatient))
            .layer(on_axum::layer()),
        "GET",
        "/slow",
        &[
            "endpoint=attribution::slow kind=slow outcome=cancelled 1",
            "method=GET endpoint=/slow outcome=client_error http_status=408 1",
        ],
    );
}

#[derive(Clone)]
struct AppState;

/// An extractor that works only with the state of this application.
struct User(&'static str);

impl FromRequestParts<AppState> for User {
    type Rejection = StatusCode;

    async fn from_request_parts(_parts: &mut Parts, _state: &AppState) -> Result<Self, StatusCode> {
        tokio::task::yield_now().await;
        Ok(Self("alice"))
    }
}

/// The label of each handler shows that the request was attributed to it.
#[test]
fn handlers_without_a_word_are_known_by_their_arguments() {
    #[instrumented(labels(kind = "handler"))]
    async fn none() {}
    #[instrumented(labels(kind = "handler"))]
    async fn path(Path(_id): Path<u8>) -> StatusCode {
        StatusCode::OK
    }
    #[instrumented(labels(kind = "handler"))]
    async fn headers(_headers: HeaderMap, _method: Method, _uri: Uri) -> Html<String> {
        tokio::task::yield_now().await;
        Html(String::new())
    }
    #[instrumented(labels(kind = "handler"))]
    async fn user(State(_state): State<AppState>, user: User) -> Result<&'static str, StatusCode> {
        Ok(user.0)
    }
    #[instrumented(labels(kind = "handler"))]
    async fn text(State(_state): State<AppState>, text: String) -> impl IntoResponse {
        text
    }
    #[instrumented(labels(kind = "handler"))]
    async fn json(Json(value): Json<serde_json::Value>) -> Json<serde_json::Value> {
        Json(value)
    }
    #[instrumented(labels(kind = "handler"))]
    async fn whole(request: Request) -> String {
        request.uri().path().to_owned()
    }
    #[instrumented(labels(kind = "handler"))]
    async fn extensions(extensions: Extensions, _: Query<()>) -> String {
        extensions.len().to_string()
    }
    #[instrumented(labels(kind = "handler"))]
    async fn parts(parts: Parts) -> String {
        parts.uri.path().to_owned()
    }
    #[instrumented(labels(kind = "handler"))]
    fn returned(_query: Query<()>) -> impl Future<Output = String> + Send {
        std::future::ready(String::new())
    }
    #[instrumented(labels(kind = "handler"))]
    async fn maybe(_path: Option<Path<u8>>, _body: Result<Json<u8>, JsonRejection>) {}

    let app: Router = Router::new()
        .route("/none", post(none))
        .route("/path/{id}", post(path))
        .route("/headers", post(headers))
        .route("/user", post(user))
        .route("/text", post(text))
        .route("/json", post(json))
        .route("/whole", post(whole))
        .route("/extensions", post(extensions))
        .route("/parts", post(parts))
        .route("/returned", post(returned))
        .route("/maybe", post(maybe))
        .layer(from_fn(async |request: Request, next: Next| {
            tokio::task::yield_now().await;
            next.run(request).await
        }))
        .layer(on_axum::layer())
        .with_state(AppState);
    for route in [
        "/none",
        "/path/{id}",
        "/headers",
        "/user",
        "/text",
        "/json",
        "/whole",
        "/extensions",
        "/parts",
        "/returned",
        "/maybe",
    ] {
        Recorded::during_async(async |recorded| {
            // The body arrives over several polls.
            let body = stream::iter(["1", "2"]).then(async |part| {
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(part)
            });
            let request = Request::post(route.replace("{id}", "7"))
                .header("content-type", "application/json")
                .body(Body::from_stream(body))
                .expect("a request");
            let Ok(response) = app.clone().oneshot(request).await;
            assert_eq!(response.status(), StatusCode::OK, "{route}");
            assert_eq!(
                counted(recorded),
                [format!(
                    "method=POST endpoint={route} kind=handler outcome=ok http_status=200 1"
                )]
            );
        });
    }
}

#[test]
fn a_request_of_its_own_making_is_not_the_request() {
    #[instrumented(labels(kind = "send"))]
    async fn send(request: Request) -> Result<Response, StatusCode> {
        drop(request);
        Ok(Response::default())
    }
    async fn sends() -> Result<Response, StatusCode> {
        send(Request::default()).await
    }
    ask(
        app("/sends", get(sends)).layer(on_axum::layer()),
        "GET",
        "/sends",
        &[
            "endpoint=attribution::send kind=send outcome=ok http_status=200 1",
            "method=GET endpoint=/sends outcome=ok http_status=200 1",
        ],
    );
    Recorded::during_async(async |recorded| {
        let app = on_tower::layer().layer(service_fn(async |_: Request| {
            Ok::<_, Infallible>(send(Request::default()).await.into_response())
        }));
        let Ok(_) = app.oneshot(request("GET", "/")).await;
        assert_eq!(
            counted(recorded),
            [
                "endpoint=attribution::send kind=send outcome=ok http_status=200 1",
                "method=GET endpoint=unmatched outcome=ok http_status=200 1",
            ]
        );
    });
}

#[test]
fn on_tower_the_handler_is_the_one_that_takes_the_request() {
    #[instrumented(labels(kind = "load"))]
    async fn load(id: u32) -> Result<http::Response<()>, StatusCode> {
        match id {
            7 => Ok(http::Response::default()),
            _ => Err(StatusCode::NOT_FOUND),
        }
    }
    #[instrumented(labels(kind = "route"))]
    async fn route(request: http::Request<()>) -> Result<http::Response<()>, StatusCode> {
        on_tower::set_matched_route("/users/{id}");
        let id = request.uri().path().len();
        load(id as u32).await
    }
    Recorded::during_async(async |recorded| {
        let app = on_tower::layer().layer(service_fn(route));
        let request = http::Request::get("/users/7").body(()).expect("a request");
        assert!(app.oneshot(request).await.is_err());
        assert_eq!(
            counted(recorded),
            [
                "endpoint=attribution::load kind=load outcome=client_error http_status=404 1",
                "method=GET endpoint=/users/{id} kind=route outcome=error 1",
            ]
        );
    });
}

#[test]
fn names_are_the_requests_if_its_path_is_where_no_route_is_known() {
    #[instrumented(endpoint = "/users/{id}", method = "GET", labels(kind = "user"))]
    async fn user() -> http::Response<()> {
        http::Response::default()
    }
    for (path, expected) in [
        (
            "/users/7",
            &["method=GET endpoint=/users/{id} kind=user outcome=ok http_status=200 1"][..],
        ),
        (
            "/groups/7",
            &[
                "method=GET endpoint=/users/{id} kind=user outcome=ok http_status=200 1",
                "method=GET endpoint=unmatched outcome=ok http_status=200 1",
            ],
        ),
    ] {
        Recorded::during_async(async |recorded| {
            let app = on_tower::layer().layer(service_fn(async |_request: Request| {
                Ok::<_, Infallible>(user().await)
            }));
            let Ok(_) = app.oneshot(request("GET", path)).await;
            assert_eq!(counted(recorded), expected, "{path}");
        });
    }
}

#[test]
fn names_are_the_requests_where_its_route_ends_with_them() {
    #[instrumented(endpoint = "/items/{id}", method = "GET", labels(kind = "item"))]
    async fn item() -> &'static str {
        "item"
    }
    #[instrumented(endpoint = "/tems/{id}", method = "GET", labels(kind = "tem"))]
    async fn tem() -> &'static str {
        "tem"
    }
    let nested = |handler| {
        let inner = Router::new().route("/items/{id}", handler);
        Router::new().nest("/api", inner).layer(on_axum::layer())
    };
    for method in ["GET", "HEAD"] {
        ask(
            nested(get(item)),
            method,
            "/api/items/7",
            &[&format!(
                "method={method} endpoint=/items/{{id}} kind=item outcome=ok http_status=200 1"
            )],
        );
    }
    ask(
        nested(get(tem)),
        "GET",
        "/api/items/7",
        &[
            "method=GET endpoint=/api/items/{id} outcome=ok http_status=200 1",
            "method=GET endpoint=/tems/{id} kind=tem outcome=ok http_status=200 1",
        ],
    );
}

#[instrumented(handler, labels(kind = "said"))]
async fn said(attempt: u8) -> Result<String, StatusCode> {
    match attempt {
        1 => Err(StatusCode::BAD_GATEWAY),
        _ => Ok(attempt.to_string()),
    }
}

#[test]
fn a_function_that_says_so_is_the_handler() {
    async fn asks() -> Result<String, StatusCode> {
        tokio::task::yield_now().await;
        said(2).await
    }
    ask(
        app("/said", get(asks)).layer(on_axum::layer()),
        "GET",
        "/said",
        &["method=GET endpoint=/said kind=said outcome=ok http_status=200 1"],
    );
}

#[test]
fn a_function_that_says_so_is_not_the_handler() {
    #[instrumented(
        handler = false,
        endpoint = "/denies",
        method = "GET",
        labels(kind = "no")
    )]
    async fn denies() -> &'static str {
        "no"
    }
    #[instrumented(handler = true, labels(kind = "inner"))]
    async fn inner() -> &'static str {
        denies().await
    }
    ask(
        app("/denies", get(denies)).layer(on_axum::layer()),
        "GET",
        "/denies",
        &[
            "method=GET endpoint=/denies kind=no outcome=ok http_status=200 1",
            "method=GET endpoint=/denies outcome=ok http_status=200 1",
        ],
    );
    ask(
        app("/denies", get(inner)).layer(on_axum::layer()),
        "GET",
        "/denies",
        &[
            "method=GET endpoint=/denies kind=inner outcome=ok http_status=200 1",
            "method=GET endpoint=/denies kind=no outcome=ok http_status=200 1",
        ],
    );
}

/// The request is attributed to the last attempt.
#[test]
fn attempts_are_counted_each() {
    async fn tries(request: Request, next: Next) -> Response {
        let _ = said(1).await;
        next.run(request).await
    }
    async fn asks() -> Result<String, StatusCode> {
        said(2).await
    }
    ask(
        app("/said", get(asks))
            .layer(from_fn(tries))
            .layer(on_axum::layer()),
        "GET",
        "/said",
        &[
            "endpoint=attribution::said kind=said outcome=error http_status=502 1",
            "method=GET endpoint=/said kind=said outcome=ok http_status=200 1",
        ],
    );
}

#[test]
fn attempts_of_a_handler_without_a_word_are_counted_each() {
    #[instrumented(labels(attempt = attempt))]
    async fn flaky(Extension(attempt): Extension<u8>) -> Result<&'static str, StatusCode> {
        match attempt {
            2 => Ok("at last"),
            _ => Err(StatusCode::BAD_GATEWAY),
        }
    }
    async fn tries(request: Request, next: Next) -> Response {
        let (mut parts, _body) = request.into_parts();
        parts.extensions.insert(1_u8);
        let first = Request::from_parts(parts.clone(), Body::empty());
        let first = next.clone().run(first).await;
        assert_eq!(first.status(), StatusCode::BAD_GATEWAY);
        parts.extensions.insert(2_u8);
        next.run(Request::from_parts(parts, Body::empty())).await
    }
    ask(
        app("/flaky", get(flaky))
            .layer(from_fn(tries))
            .layer(on_axum::layer()),
        "GET",
        "/flaky",
        &[
            "endpoint=attribution::flaky attempt=1 outcome=error http_status=502 1",
            "method=GET endpoint=/flaky attempt=2 outcome=ok http_status=200 1",
        ],
    );
}

async fn spawns(request: Request, next: Next) -> Response {
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[test]
fn a_second_layer_finds_a_request_on_another_task() {
    let spawned = |path, handler| {
        app(path, handler)
            .layer(on_axum::layer())
            .layer(from_fn(spawns))
            .layer(on_axum::layer())
    };
    ask(
        spawned("/own/{tenant}", get(own)),
        "GET",
        "/own/acme",
        &["method=GET endpoint=/own/{tenant} tenant=acme outcome=ok http_status=200 1"],
    );
    ask(
        spawned("/quiet", get(quiet)),
        "GET",
        "/quiet",
        &["method=GET endpoint=/quiet outcome=ok http_status=200 1"],
    );
    // The inner layer sees the panic, whether or not the handler is annotated.
    async fn panics() {
        panic!("on purpose")
    }
    ask(
        spawned("/panics", get(panics)),
        "GET",
        "/panics",
        &["method=GET endpoint=/panics outcome=panicked http_status=500 1"],
    );
    // Without an inner layer, the request and the function are still counted once each.
    ask(
        app("/own/{tenant}", get(own))
            .layer(from_fn(spawns))
            .layer(on_axum::layer()),
        "GET",
        "/own/acme",
        &[
            "endpoint=attribution::own tenant=acme outcome=ok 1",
            "method=GET endpoint=/own/{tenant} outcome=ok http_status=200 1",
        ],
    );
}

#[test]
fn a_handler_that_outlives_its_client_on_another_task_is_counted_by_itself() {
    Recorded::during_async(async |recorded| {
        let app = app("/work", get(work))
            .layer(on_axum::layer())
            .layer(from_fn(spawns))
            .layer(on_axum::layer());
        let asked = app.oneshot(request("GET", "/work"));
        let gone = tokio::time::timeout(Duration::from_millis(10), asked).await;
        assert!(gone.is_err());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(
            counted(recorded),
            [
                "endpoint=attribution::work kind=work outcome=ok 1",
                "method=GET endpoint=/work outcome=cancelled http_status=499 1",
            ]
        );
    });
}

/// A service that panics in `call`. A service may do so if it checks its input before it
/// returns a future.
struct PanicsAtOnce;

impl Service<Request> for PanicsAtOnce {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request) -> Self::Future {
        panic!("on purpose")
    }
}

#[test]
fn a_panic_in_the_services_call_is_counted() {
    Recorded::during(|recorded| {
        let mut app = on_tower::layer().layer(PanicsAtOnce);
        let called = std::panic::catch_unwind(AssertUnwindSafe(|| app.call(request("GET", "/"))));
        assert!(called.is_err());
        assert_eq!(
            counted(recorded),
            ["method=GET endpoint=unmatched outcome=panicked http_status=500 1"]
        );
    });
}

/// A response future that is never polled has not started.
#[test]
fn a_response_that_nobody_polls_leaves_no_trace() {
    Recorded::during(|recorded| {
        let app = app("/quiet", get(quiet)).layer(on_axum::layer());
        drop(app.oneshot(request("GET", "/quiet")));
        assert_eq!(recorded.lines(), [""; 0]);
    });
}

/// A label whose `Display` panics.
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("on purpose")
    }
}

fn broken() -> u8 {
    panic!("on purpose")
}

#[test]
fn a_panic_in_a_label_is_one_of_its_call() {
    #[instrumented(labels(plan = "free", broken = broken()))]
    async fn expression() {}
    #[instrumented(labels(plan = "free", broken = Broken))]
    async fn display() {}
    #[instrumented(labels(plan = "free", broken = Broken))]
    fn returned() -> impl Future<Output = ()> {
        std::future::ready(())
    }
    for (name, call) in [
        (
            "expression",
            Box::pin(async { expression().await }) as BoxFuture<'_, ()>,
        ),
        ("display", Box::pin(async { display().await })),
        ("returned", Box::pin(async { returned().await })),
    ] {
        Recorded::during_async(async |recorded| {
            assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
            assert_eq!(
                counted(recorded),
                [format!(
                    "endpoint=attribution::{name} plan=free outcome=panicked 1"
                )]
            );
        });
    }
}

#[test]
fn a_panic_in_a_handlers_label_is_one_of_its_request() {
    #[instrumented(handler, labels(plan = "free", broken = Broken))]
    async fn handler() {}
    async fn catches(request: Request, next: Next) -> Response {
        let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
    ask(
        app("/label", get(handler))
            .layer(from_fn(catches))
            .layer(on_axum::layer()),
        "GET",
        "/label",
        &["method=GET endpoint=/label plan=free outcome=panicked http_status=500 1"],
    );
}

#[test]
fn a_panic_in_a_handlers_awaited_label_is_one_of_its_request() {
    async fn panics(_later: u8) -> u8 {
        tokio::task::yield_now().await;
        broken()
    }
    #[instrumented(handler, labels(plan = "free", broken = panics(1).await))]
    async fn handler() {}
    // The types of its arguments and of its return value say that it is the handler.
    #[instrumented(labels(plan = "free", ready = std::future::ready(1).await, broken = broken()))]
    async fn inferred(_uri: Uri) -> &'static str {
        "inferred"
    }
    async fn catches(request: Request, next: Next) -> Response {
        let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
    for route in [get(handler), get(inferred)] {
        ask(
            app("/label", route)
                .layer(from_fn(catches))
                .layer(on_axum::layer()),
            "GET",
            "/label",
            &["method=GET endpoint=/label plan=free outcome=panicked http_status=500 1"],
        );
    }
}

/// The client leaves while a label of the handler awaits.
#[test]
fn a_request_dropped_in_a_label_is_cancelled_without_its_handler() {
    #[instrumented(handler, labels(plan = "free", never = pending::<u8>().await))]
    async fn handler() {}
    Recorded::during(|recorded| {
        let app = app("/label", get(handler)).layer(on_axum::layer());
        let mut response = Box::pin(app.oneshot(request("GET", "/label")));
        assert!(response.as_mut().now_or_never().is_none());
        drop(response);
        assert_eq!(
            counted(recorded),
            ["method=GET endpoint=/label outcome=cancelled http_status=499 1"]
        );
    });
}

#[test]
fn what_an_unannotated_handler_calls_next_takes_nothing() {
    #[instrumented(labels(kind = "next"))]
    async fn next() -> String {
        "next".to_owned()
    }
    async fn two() -> String {
        render(Vec::new()).await + &next().await
    }
    ask(
        app("/two", get(two)).layer(on_axum::layer()),
        "GET",
        "/two",
        &[
            "endpoint=attribution::next kind=next outcome=ok 1",
            "endpoint=attribution::render kind=render outcome=ok 1",
            "method=GET endpoint=/two outcome=ok http_status=200 1",
        ],
    );
}

/// One request is polled by layers on two threads.
#[test]
fn a_second_layer_finds_requests_on_other_threads() {
    const REQUESTS: usize = 1_000;
    #[instrumented(labels(kind = "handler"))]
    async fn elsewhere() -> &'static str {
        "elsewhere"
    }
    alone(
        "attribution::a_second_layer_finds_requests_on_other_threads",
        || {
            let exporter = install();
            let app = app("/elsewhere", get(elsewhere))
                .layer(on_axum::layer())
                .layer(from_fn(spawns))
                .layer(on_axum::layer());
            runtime().block_on(async {
                let tasks = (0..REQUESTS).map(|_| {
                    let app = app.clone();
                    tokio::spawn(async move {
                        let Ok(response) = app.oneshot(request("GET", "/elsewhere")).await;
                        assert_eq!(response.status(), StatusCode::OK);
                    })
                });
                for task in tasks.collect::<Vec<_>>() {
                    task.await.expect("no panic");
                }
            });
            let line = "GET /elsewhere 200 ok kind=handler";
            let mut expected = Counted::default();
            expected.add(&[line; REQUESTS]);
            let difference = Counted::of(&exporter.render()).difference(&expected);
            assert!(difference.is_empty(), "{difference:#?}");
        },
    );
}

/// By its types and the time of its call, this function would be a handler if it were async.
#[instrumented(labels(kind = "plain"))]
fn page(Path(id): Path<String>) -> Html<String> {
    Html(id)
}

#[instrumented(labels(kind = "plain"))]
fn forward(request: Request) -> Response {
    drop(request);
    StatusCode::NOT_FOUND.into_response()
}

#[instrumented(endpoint = "/named/{id}", method = "GET", labels(kind = "plain"))]
fn named(Path(id): Path<String>) -> Result<String, StatusCode> {
    if id == "7" {
        Err(StatusCode::NOT_FOUND)
    } else {
        Ok(id)
    }
}

#[instrumented(handler, labels(kind = "plain"))]
fn declared(id: &str) -> String {
    assert_ne!(id, "7", "on purpose");
    id.to_owned()
}

/// No framework calls a plain function, so only its attribute can make it the handler.
#[test]
fn a_plain_function_takes_a_request_by_its_names_only() {
    ask(
        app("/page/{id}", get(async |id: Path<String>| page(id))).layer(on_axum::layer()),
        "GET",
        "/page/7",
        &[
            "endpoint=attribution::page kind=plain outcome=ok http_status=200 1",
            "method=GET endpoint=/page/{id} outcome=ok http_status=200 1",
        ],
    );
    ask(
        app("/forward", get(async |request: Request| forward(request))).layer(on_axum::layer()),
        "GET",
        "/forward",
        &[
            "endpoint=attribution::forward kind=plain outcome=client_error http_status=404 1",
            "method=GET endpoint=/forward outcome=client_error http_status=404 1",
        ],
    );
    ask(
        app("/named/{id}", get(async |id: Path<String>| named(id))).layer(on_axum::layer()),
        "GET",
        "/named/7",
        &["method=GET endpoint=/named/{id} kind=plain outcome=client_error http_status=404 1"],
    );
    ask(
        app(
            "/declared/{id}",
            get(async |Path(id): Path<String>| declared(&id)),
        )
        .layer(on_axum::layer()),
        "GET",
        "/declared/8",
        &["method=GET endpoint=/declared/{id} kind=plain outcome=ok http_status=200 1"],
    );
}

/// A plain function that the handler calls is counted by itself, as often as it is called.
#[test]
fn a_plain_function_in_a_handler_is_counted_by_itself() {
    #[instrumented(labels(kind = "helper"))]
    fn helper(text: &str) -> usize {
        text.len()
    }
    #[instrumented(labels(tenant = tenant))]
    async fn calls(Path(tenant): Path<String>) -> String {
        let length = helper(&tenant);
        tokio::task::yield_now().await;
        format!("{}", length + helper(&tenant))
    }
    ask(
        app("/calls/{tenant}", get(calls)).layer(on_axum::layer()),
        "GET",
        "/calls/7",
        &[
            "endpoint=attribution::helper kind=helper outcome=ok 2",
            "method=GET endpoint=/calls/{tenant} tenant=7 outcome=ok http_status=200 1",
        ],
    );
}

/// The panic of a plain handler is the panic of its request.
#[test]
fn a_plain_handler_that_panics_has_its_request_panicked() {
    async fn catches(Path(id): Path<String>) -> Response {
        let unwound = std::panic::catch_unwind(|| declared(&id));
        unwound.map_or_else(
            |_| StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            IntoResponse::into_response,
        )
    }
    ask(
        app("/declared/{id}", get(catches)).layer(on_axum::layer()),
        "GET",
        "/declared/7",
        &["method=GET endpoint=/declared/{id} kind=plain outcome=panicked http_status=500 1"],
    );
}
