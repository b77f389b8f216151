//! Each row of the tables under "With and without a layer", on an axum application without a layer,
//! with the layer, and with the layer and `until_body_end`.

use std::convert::Infallible;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use futures::{FutureExt, StreamExt, stream};
use http_body_util::BodyExt;
use instrument_runtime::axum::{MetricsLayer, layer};
use instrument_runtime::instrumented;
use instrument_tests::recorded::Recorded;
use tower::{Service, ServiceExt};

use crate::chapters::{chapter, read, rows, section};

/// A row of a table: an application, and a client that sends it one request.
struct Situation {
    name: &'static str,
    handler: MethodRouter,
    layer: MetricsLayer,
    /// Adds middleware inside the layer.
    inside: fn(Router, Column) -> Router,
    /// Adds middleware outside the layer.
    outside: fn(Router) -> Router,
    method: &'static str,
    path: &'static str,
    client: Client,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    NoLayer,
    Layer,
    UntilBodyEnd,
}

#[derive(Clone, Copy)]
enum Client {
    Reads,
    LeavesBeforeTheHead,
    LeavesInMidBody,
    /// Drops the future of the response without polling it.
    PollsNothing,
}

fn when(name: &'static str, handler: MethodRouter) -> Situation {
    Situation {
        name,
        handler,
        layer: layer(),
        inside: |app, _| app,
        outside: |app| app,
        method: "GET",
        path: "/x/7",
        client: Client::Reads,
    }
}

impl Situation {
    /// Sends the request to the application of each column. Returns what each one counted.
    fn columns(&self) -> [Vec<String>; 3] {
        [Column::NoLayer, Column::Layer, Column::UntilBodyEnd].map(|column| {
            let router = Router::new().route("/x/{id}", self.handler.clone());
            let inside = (self.inside)(router, column);
            let layer = self.layer.clone();
            let app = match column {
                Column::NoLayer => inside,
                Column::Layer => inside.layer(layer),
                Column::UntilBodyEnd => inside.layer(layer.until_body_end()),
            };
            Recorded::during_async(async |recorded| {
                self.send((self.outside)(app)).await;
                counted(recorded)
            })
        })
    }

    async fn send(&self, app: Router) {
        let request = Request::builder().method(self.method).uri(self.path);
        let request = request.body(Body::empty()).expect("a request");
        let mut service = app.into_service();
        let Ok(ready) = service.ready().await;
        let response = AssertUnwindSafe(ready.call(request)).catch_unwind();
        match self.client {
            Client::PollsNothing => drop(response),
            Client::LeavesBeforeTheHead => {
                let mut response = Box::pin(response);
                let context = &mut Context::from_waker(Waker::noop());
                assert!(response.as_mut().poll(context).is_pending());
            }
            Client::LeavesInMidBody => {
                let Ok(Ok(mut response)) = response.await else {
                    panic!("no response");
                };
                assert!(response.body_mut().frame().await.is_some());
            }
            Client::Reads => {
                // The handler may panic. The body may fail or panic.
                if let Ok(Ok(response)) = response.await {
                    let body = response.into_body().collect();
                    drop(AssertUnwindSafe(body).catch_unwind().await);
                }
            }
        }
        // Until the spawned tasks have ended. The clock is paused.
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

/// Returns what `requests_total` counted, as the tables write it: the outcome and the status,
/// then a method other than `GET`, and `unmatched`.
fn counted(recorded: &Recorded) -> Vec<String> {
    let mut counted = Vec::new();
    let mut latencies = 0;
    for line in recorded.lines() {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let value: usize = value.parse().expect("a count");
        let value_of = |name: &str| {
            let mut labels = series.split(' ').filter_map(|label| label.split_once('='));
            labels.find_map(|(label, value)| (label == name).then_some(value))
        };
        match series.split(' ').next() {
            Some("requests_total") => {
                let words = [
                    value_of("outcome"),
                    value_of("http_status"),
                    value_of("method").filter(|method| *method != "GET"),
                    value_of("endpoint").filter(|endpoint| *endpoint == "unmatched"),
                ];
                let words: Vec<&str> = words.into_iter().flatten().collect();
                counted.extend(std::iter::repeat_n(words.join(" "), value));
            }
            Some("request_latency_seconds") => latencies += value,
            _ => assert_eq!(value, 0, "{line}"),
        }
    }
    assert_eq!(latencies, counted.len(), "the metrics agree");
    counted.sort_unstable();
    counted
}

#[instrumented(endpoint = "/x/{id}", method = "GET")]
async fn returns() -> &'static str {
    "text"
}

#[instrumented(endpoint = "/x/{id}", method = "GET")]
async fn redirects() -> StatusCode {
    StatusCode::SEE_OTHER
}

#[instrumented(endpoint = "/x/{id}", method = "GET")]
async fn not_found() -> Result<(), StatusCode> {
    Err(StatusCode::NOT_FOUND)
}

/// An error without `HttpStatus`.
struct Opaque;

impl IntoResponse for Opaque {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

#[instrumented(endpoint = "/x/{id}", method = "GET")]
async fn fails() -> Result<(), Opaque> {
    Err(Opaque)
}

#[instrumented(endpoint = "/x/{id}", method = "GET")]
async fn panics() {
    panic!("on purpose")
}

#[instrumented(endpoint = "/x/{id}", method = "GET")]
async fn never_ends() {
    pending().await
}

#[instrumented]
async fn never_ends_without_names() {
    pending().await
}

#[instrumented(endpoint = "/x/{id}", method = "GET")]
async fn streams() -> Response {
    let chunks = stream::iter(["a", "b"]).map(Ok::<_, Infallible>);
    Body::from_stream(chunks).into_response()
}

#[instrumented(endpoint = "/x/{id}", method = "GET")]
async fn body_fails() -> Response {
    let error = Err(std::io::Error::other("on purpose"));
    let chunks = stream::iter([Ok(Bytes::from_static(b"a")), error]);
    Body::from_stream(chunks).into_response()
}

#[instrumented(endpoint = "/x/{id}", method = "GET")]
async fn body_panics() -> Response {
    let panics =
        |_: &mut Context<'_>| -> Poll<Option<Result<Bytes, Infallible>>> { panic!("on purpose") };
    Body::from_stream(stream::poll_fn(panics)).into_response()
}

#[instrumented(endpoint = "/x/{id}", method = "GET")]
async fn extracts(Path(id): Path<u32>) -> String {
    id.to_string()
}

#[instrumented(endpoint = "/x/{id}", method = "GET")]
async fn upgrades() -> Response {
    let head = [("connection", "upgrade"), ("upgrade", "websocket")];
    (StatusCode::SWITCHING_PROTOCOLS, head).into_response()
}

async fn unannotated() -> &'static str {
    "text"
}

async fn unannotated_panics() {
    panic!("on purpose")
}

#[instrumented]
async fn function() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[instrumented(endpoint = "/x/{id}", method = "GET")]
async fn calls_a_function() -> &'static str {
    function().await;
    "text"
}

#[instrumented(endpoint = "/x/{id}", method = "GET")]
async fn spawns_a_task() -> StatusCode {
    tokio::spawn(function());
    StatusCode::ACCEPTED
}

#[instrumented(endpoint = "/x/{id}", method = "GET")]
async fn fails_at_first(request: Request) -> StatusCode {
    match request.headers().get("attempt") {
        None => StatusCode::BAD_GATEWAY,
        Some(_) => StatusCode::OK,
    }
}

async fn catches(request: Request, next: Next) -> Response {
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn times_out(request: Request, next: Next) -> Response {
    let response = tokio::time::timeout(Duration::from_secs(1), next.run(request)).await;
    response.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}

async fn rejects(_request: Request, _next: Next) -> StatusCode {
    StatusCode::UNAUTHORIZED
}

async fn retries(request: Request, next: Next) -> Response {
    let (mut parts, _body) = request.into_parts();
    let first = Request::from_parts(parts.clone(), Body::empty());
    let first = next.clone().run(first).await;
    assert_eq!(first.status(), StatusCode::BAD_GATEWAY);
    parts
        .headers
        .insert("attempt", HeaderValue::from_static("2"));
    next.run(Request::from_parts(parts, Body::empty())).await
}

async fn moves(request: Request, next: Next) -> Response {
    let response = tokio::spawn(next.run(request)).await;
    response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

fn situations() -> Vec<Situation> {
    vec![
        when("The handler returns a value.", get(returns)),
        when("The handler returns a redirect.", get(redirects)),
        when(
            "The handler returns an error with the status 404.",
            get(not_found),
        ),
        when(
            "The handler returns an error without a status. The response has 500.",
            get(fails),
        ),
        when("The handler panics.", get(panics)),
        Situation {
            inside: |app, _| app.layer(from_fn(catches)),
            ..when(
                "The handler panics. Middleware inside the layer responds with 500.",
                get(panics),
            )
        },
        Situation {
            method: "HEAD",
            ..when("The method is `HEAD`.", get(returns))
        },
        when("A WebSocket is opened.", get(upgrades)),
        Situation {
            client: Client::PollsNothing,
            ..when("The future is dropped before its first poll.", get(returns))
        },
        Situation {
            client: Client::LeavesBeforeTheHead,
            ..when(
                "The client leaves before the head of the response.",
                get(never_ends),
            )
        },
        Situation {
            client: Client::LeavesInMidBody,
            ..when("The client leaves in the middle of the body.", get(streams))
        },
        when("The body fails.", get(body_fails)),
        when("The body panics.", get(body_panics)),
        Situation {
            inside: |app, _| app.layer(from_fn(times_out)),
            ..when(
                "A timeout inside the layer responds with 408.",
                get(never_ends),
            )
        },
        Situation {
            inside: |app, _| app.layer(from_fn(times_out)),
            ..when(
                "The same, and the attribute is only `#[instrumented]`.",
                get(never_ends_without_names),
            )
        },
        Situation {
            outside: |app| app.layer(from_fn(times_out)),
            ..when(
                "A timeout outside the layer responds with 408.",
                get(never_ends),
            )
        },
        Situation {
            path: "/nowhere",
            ..when("No route matches (404).", get(returns))
        },
        Situation {
            method: "POST",
            ..when(
                "The route does not have the method `POST` (405).",
                get(returns),
            )
        },
        Situation {
            path: "/x/not-a-number",
            ..when("An extractor rejects the request with 400.", get(extracts))
        },
        Situation {
            inside: |app, _| app.layer(from_fn(rejects)),
            ..when(
                "Middleware inside the layer rejects the request with 401.",
                get(returns),
            )
        },
        when("The handler is not annotated.", get(unannotated)),
        Situation {
            inside: |app, _| app.layer(from_fn(catches)),
            ..when(
                "The handler is not annotated and panics. Middleware inside the layer responds \
                 with 500.",
                get(unannotated_panics),
            )
        },
        when(
            "The handler calls another annotated function.",
            get(calls_a_function),
        ),
        when(
            "The handler spawns a task that calls an annotated function, and responds with 202.",
            get(spawns_a_task),
        ),
        Situation {
            inside: |app, _| app.layer(from_fn(retries)),
            ..when(
                "Middleware retries: the handler returns 502, then 200.",
                get(fails_at_first),
            )
        },
        Situation {
            inside: |app, _| app.layer(from_fn(moves)),
            ..when("Middleware runs the handler on another task.", get(returns))
        },
        Situation {
            inside: |app, column| match column {
                Column::NoLayer => app.layer(from_fn(moves)),
                _ => app.layer(layer()).layer(from_fn(moves)),
            },
            ..when(
                "The same, with a second layer inside this middleware.",
                get(returns),
            )
        },
        Situation {
            layer: layer().skip(|head| head.path() == "/x/7"),
            ..when("The layer skips the request (`skip`).", get(returns))
        },
    ]
}

/// Returns the texts between backticks, sorted.
fn codes(cell: &str) -> Vec<&str> {
    let mut codes: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    codes.sort_unstable();
    codes
}

#[test]
fn each_row_is_what_happens() {
    let section = section(&chapter("counted_when"), "With and without a layer");
    let rows = rows(&section);
    let situations = situations();
    let titles: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    let names: Vec<&str> = situations.iter().map(|situation| situation.name).collect();
    assert_eq!(titles, names);
    for (row, situation) in rows.iter().zip(&situations) {
        let written = [row[1], row[2], row[3]].map(codes);
        assert_eq!(written, situation.columns(), "{}", situation.name);
        for cell in &row[1..] {
            assert_eq!(*cell == "nothing", codes(cell).is_empty(), "{cell}");
        }
    }
}

#[test]
fn the_readme_has_rows_of_the_guide() {
    let section = section(&read("README.md"), "What is counted when");
    let guide = chapter("counted_when");
    let guide = rows(&guide);
    let rows = rows(&section);
    assert!(rows.len() > 5, "{rows:?}");
    for row in rows {
        assert!(guide.contains(&row), "{row:?}");
    }
}
