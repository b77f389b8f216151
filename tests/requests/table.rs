//! The table of requests, each with the counts it must produce.

use crate::exchange::Exchange;
use crate::handlers::LARGE;

/// One kind of request.
///
/// A count is a line: method, endpoint, status and outcome (`-` for an absent label), then
/// the other labels. `{app}` stands for the module of the application.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Sends the request and checks the response.
    pub(crate) send: fn(&mut Exchange<'_>),
    /// What the request adds to `requests_total`. The lines without a method are functions
    /// that are counted by themselves.
    pub(crate) counted: &'static [&'static str],
    /// The same with the setting `until_body_end`, if that is something else.
    pub(crate) until_body_end: Option<&'static [&'static str]>,
    /// What a request that the layer skips adds: the annotated functions by themselves.
    pub(crate) skipped: &'static [&'static str],
    /// Whether middleware inside the layer answers instead of the handler.
    pub(crate) is_answered_by_middleware: bool,
}

impl Kind {
    const fn new(
        name: &'static str,
        send: fn(&mut Exchange<'_>),
        counted: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            send,
            counted,
            until_body_end: None,
            skipped: &[],
            is_answered_by_middleware: false,
        }
    }

    const fn until_body_end(mut self, counted: &'static [&'static str]) -> Self {
        self.until_body_end = Some(counted);
        self
    }

    const fn skipped(mut self, counted: &'static [&'static str]) -> Self {
        self.skipped = counted;
        self
    }

    const fn answered_by_middleware(mut self) -> Self {
        self.is_answered_by_middleware = true;
        self
    }
}

/// Defines a request that is answered.
macro_rules! answered {
    ($name:literal, $line:literal => $status:literal, $($counted:literal),+) => {
        Kind::new($name, |to| to.answers($line, None, $status), &[$($counted),+])
    };
    ($name:literal, $line:literal $body:literal => $status:literal, $($counted:literal),+) => {
        Kind::new($name, |to| to.answers($line, Some($body), $status), &[$($counted),+])
    };
}

/// Defines a request whose client hangs up once the request has reached a given point.
macro_rules! gone {
    ($name:literal, $line:literal, $($counted:literal),+) => {
        Kind::new($name, |to| to.hangs_up($line), &[$($counted),+])
    };
}

macro_rules! special {
    ($name:literal, $send:expr, $($counted:literal),*) => {
        Kind::new($name, $send, &[$($counted),*])
    };
}

pub(crate) static KINDS: &[Kind] = &[
    // Which function the request is attributed to.
    answered!("an annotated handler without arguments", "GET /plain" => 200, "GET /plain 200 ok")
        .skipped(&["- handlers::plain - ok"]),
    answered!("a handler with its own endpoint", "GET /named" => 200, "GET /a/name 200 ok")
        .skipped(&["GET /a/name 200 ok"]),
    answered!("no annotated handler", "GET /quiet" => 200, "GET /quiet 200 ok"),
    answered!("a path parameter", "GET /users/7" => 200, "GET /users/{id} 200 ok")
        .skipped(&["- {app}::user 200 ok"]),
    answered!(
        "a path parameter without an annotated handler",
        "GET /quiet/7" => 200,
        "GET /quiet/{id} 200 ok"
    ),
    answered!("a query", "GET /plain?q=/users/1" => 200, "GET /plain 200 ok")
        .skipped(&["- handlers::plain - ok"]),
    answered!(
        "own labels",
        "GET /own/acme" => 200,
        "GET /own/{tenant} 200 ok tenant=acme plan=free"
    )
    .skipped(&["- {app}::own - ok tenant=acme plan=free"]),
    answered!(
        "own labels and an error",
        "GET /own/nobody" => 403,
        "GET /own/{tenant} 403 client_error tenant=nobody plan=free"
    )
    .skipped(&["- {app}::own 403 client_error tenant=nobody plan=free"]),
    answered!("a nested route", "GET /api/items/7" => 200, "GET /api/items/{id} 200 ok")
        .skipped(&["- {app}::user 200 ok"]),
    // The handler's answers.
    answered!("an error with a status", "GET /missing" => 404, "GET /missing 404 client_error")
        .skipped(&["- handlers::missing 404 client_error"]),
    answered!("an error without a status", "GET /broken" => 500, "GET /broken 500 error")
        .skipped(&["- handlers::broken 500 error"]),
    answered!("an error mapped to another", "GET /mapped" => 502, "GET /mapped 502 error")
        .answered_by_middleware()
        .skipped(&["- handlers::mapped 500 error"]),
    answered!(
        "an error mapped to the client's",
        "GET /mapped/away" => 404,
        "GET /mapped/away 404 client_error"
    )
    .answered_by_middleware()
    .skipped(&["- handlers::mapped_away 500 error"]),
    answered!("an early return", "GET /early" => 422, "GET /early 422 client_error")
        .skipped(&["- handlers::early 422 client_error"]),
    answered!("a redirect", "GET /redirect" => 303, "GET /redirect 303 ok")
        .skipped(&["- handlers::redirect 303 ok"]),
    answered!("no content", "GET /nothing-to-say" => 204, "GET /nothing-to-say 204 ok")
        .skipped(&["- handlers::nothing_to_say 204 ok"]),
    answered!(
        "a response 200 that `outcome` calls an error",
        "GET /judged" => 200,
        "GET /judged 200 error"
    )
    .skipped(&["- handlers::judged - error"]),
    answered!(
        "a response 404 that `outcome` calls a success",
        "GET /judged/missing" => 404,
        "GET /judged/missing 404 client_error"
    )
    .skipped(&["- handlers::judged_missing - ok"]),
    // The method.
    answered!("HEAD for a route with GET", "HEAD /plain" => 200, "HEAD /plain 200 ok")
        .skipped(&["- handlers::plain - ok"]),
    answered!(
        "HEAD for a handler with method = GET",
        "HEAD /named" => 200,
        "HEAD /a/name 200 ok"
    )
    .skipped(&["GET /a/name 200 ok"]),
    answered!("a body", "POST /create" "{\"a\": 1}" => 201, "POST /create 201 ok")
        .skipped(&["POST /create 201 ok"]),
    answered!("another method", "DELETE /plain" => 405, "DELETE /plain 405 client_error"),
    answered!("OPTIONS", "OPTIONS /users/7" => 405, "OPTIONS /users/{id} 405 client_error"),
    answered!(
        "a method that is not standard",
        "PROPFIND /plain" => 405,
        "_OTHER /plain 405 client_error"
    ),
    answered!(
        "a method that is not standard, without a route",
        "BREW /tea" => 404,
        "_OTHER unmatched 404 client_error"
    ),
    answered!("a method in lower case", "get /tea" => 404, "_OTHER unmatched 404 client_error"),
    answered!(
        "OPTIONS of the server",
        "OPTIONS *" => 404,
        "OPTIONS unmatched 404 client_error"
    ),
    // No handler takes the request.
    answered!(
        "one slash too many",
        "GET /plain/" => 404,
        "GET unmatched 404 client_error"
    ),
    answered!(
        "two slashes too many",
        "GET //plain" => 404,
        "GET unmatched 404 client_error"
    ),
    answered!("no route", "GET /wp-login.php" => 404, "GET unmatched 404 client_error"),
    answered!(
        "an annotated fallback",
        "GET /api/nothing" => 404,
        "GET handlers::fallback 404 client_error"
    )
    .skipped(&["- handlers::fallback 404 client_error"]),
    answered!("a bad parameter", "GET /users/x" => 400, "GET /users/{id} 400 client_error"),
    answered!("a bad body", "POST /create" "{" => 400, "POST /create 400 client_error"),
    answered!("refused before the handler", "GET /guarded" => 401, "GET /guarded 401 client_error")
        .answered_by_middleware(),
    // Middleware answers instead of the handler.
    answered!("a time-out", "GET /slow" => 408, "GET /slow 408 client_error")
        .answered_by_middleware()
        .skipped(&["- handlers::slow 499 cancelled"]),
    answered!(
        "a time-out of a handler with labels",
        "GET /slow/named" => 408,
        "GET /slow/by/name 408 client_error plan=free"
    )
    .answered_by_middleware()
    .skipped(&["GET /slow/by/name 499 cancelled plan=free"]),
    answered!(
        "a time-out without an annotated handler",
        "GET /slow/quiet" => 408,
        "GET /slow/quiet 408 client_error"
    )
    .answered_by_middleware(),
    // Annotated functions that are called during the request.
    answered!(
        "an annotated function before the handler",
        "GET /checked" => 200,
        "- handlers::check - ok kind=token",
        "GET /checked 200 ok"
    )
    .skipped(&[
        "- handlers::check - ok kind=token",
        "- handlers::checked - ok",
    ]),
    answered!(
        "an annotated function before a handler with a method",
        "GET /checked/named" => 200,
        "- handlers::check - ok kind=token",
        "GET /checked/by/name 200 ok"
    )
    .skipped(&[
        "- handlers::check - ok kind=token",
        "GET /checked/by/name 200 ok",
    ]),
    answered!(
        "two annotated functions in the handler",
        "GET /helped" => 200,
        "- handlers::price - ok",
        "- handlers::stock - ok",
        "GET /helped 200 ok"
    )
    .skipped(&[
        "- handlers::price - ok",
        "- handlers::stock - ok",
        "- handlers::helped 200 ok",
    ]),
    answered!(
        "an annotated function that borrows, in a handler that is not annotated",
        "GET /helped/quiet" => 200,
        "- handlers::price - ok",
        "GET /helped/quiet 200 ok"
    )
    .skipped(&["- handlers::price - ok"]),
    answered!(
        "an annotated function in the handler, and another after it",
        "GET /audited" => 200,
        "- handlers::price - ok",
        "- handlers::audit - ok",
        "GET /audited 200 ok"
    )
    .skipped(&[
        "- handlers::price - ok",
        "- handlers::audit - ok",
        "- handlers::audited 200 ok",
    ]),
    // A layer inside the layer.
    answered!("two layers", "GET /twice/bare" => 200, "GET /twice/bare 200 ok")
        .skipped(&["- handlers::twice 200 ok"]),
    answered!(
        "two layers without an annotated handler",
        "GET /twice/quiet" => 200,
        "GET /twice/quiet 200 ok"
    ),
    // Panics.
    answered!("a panic that is caught", "GET /caught" => 500, "GET /caught 500 panicked")
        .answered_by_middleware()
        .skipped(&["- handlers::caught 500 panicked"]),
    answered!(
        // The panic is caught before it reaches the layer or an annotated function.
        "a panic that is caught, without an annotated handler",
        "GET /caught/quiet" => 500,
        "GET /caught/quiet 500 error"
    )
    .answered_by_middleware(),
    special!(
        "a panic of a function that the handler calls",
        |to| to.gives_no_answer("GET /panics/within"),
        "- handlers::price - panicked",
        "GET /panics/within 500 panicked"
    )
    .skipped(&[
        "- handlers::price - panicked",
        "- handlers::panics_within 500 panicked",
    ]),
    special!(
        "a panic",
        |to| to.gives_no_answer("GET /panics"),
        "GET /panics 500 panicked"
    )
    .skipped(&["- handlers::panics 500 panicked"]),
    special!(
        "a panic without an annotated handler",
        |to| to.gives_no_answer("GET /panics/quiet"),
        "GET /panics/quiet 500 panicked"
    ),
    // Clients that hang up.
    gone!(
        "a client that hangs up before the handler",
        "GET /gone/before",
        "GET /gone/before 499 cancelled"
    ),
    gone!(
        "a client that hangs up during the handler",
        "GET /gone/in",
        "GET /gone/in 499 cancelled"
    )
    .skipped(&["- handlers::gone_in 499 cancelled"]),
    gone!(
        "a client that hangs up during a function that the handler calls",
        "GET /gone/within",
        "- handlers::price - cancelled",
        "GET /gone/within 499 cancelled kind=patient"
    )
    .skipped(&[
        "- handlers::price - cancelled",
        "- handlers::gone_within 499 cancelled kind=patient",
    ]),
    gone!(
        "a client that hangs up during a handler that is not annotated",
        "GET /gone/in/quiet",
        "GET /gone/in/quiet 499 cancelled"
    ),
    gone!(
        "a client that hangs up after the handler",
        "GET /gone/after",
        "GET /gone/after 499 cancelled"
    )
    .skipped(&["- handlers::gone_after 200 ok"]),
    // Bodies and connections.
    special!(
        "a streamed response whose client leaves",
        |to| to.begins("GET /stream"),
        "GET /stream 200 ok"
    )
    .until_body_end(&["GET /stream 200 cancelled"])
    .skipped(&["- handlers::stream 200 ok"]),
    special!(
        "a streamed response",
        |to| {
            to.begins("GET /stream/whole");
            assert_eq!(to.goes_on().as_deref(), Some("second"));
        },
        "GET /stream/whole 200 ok"
    )
    .skipped(&["- handlers::stream_whole 200 ok"]),
    special!(
        "a streamed response that fails",
        |to| {
            to.begins("GET /stream/fails");
            assert_eq!(to.goes_on(), None);
        },
        "GET /stream/fails 200 ok"
    )
    .until_body_end(&["GET /stream/fails 200 error"])
    .skipped(&["- handlers::stream_fails 200 ok"]),
    special!(
        "a streamed response that panics",
        |to| {
            to.begins("GET /stream/panics");
            assert_eq!(to.goes_on(), None);
        },
        "GET /stream/panics 200 ok"
    )
    .until_body_end(&["GET /stream/panics 200 panicked"])
    .skipped(&["- handlers::stream_panics 200 ok"]),
    special!(
        "an upgrade, counted when its head is sent",
        |to| {
            let headers = [("connection", "upgrade"), ("upgrade", "websocket")];
            to.client
                .send(&to.client.request_head("GET /upgrade", &headers));
            let head = to.client.head().expect("a head");
            assert_eq!(
                (head.status, head.header("upgrade")),
                (101, Some("websocket"))
            );
            to.check_while_open();
        },
        "GET /upgrade 101 ok"
    )
    .skipped(&["- handlers::upgrade 101 ok"]),
    special!(
        "a large response body",
        |to| {
            to.client.request("GET /large", None);
            assert_eq!(to.answered(200, "GET /large").len(), LARGE);
        },
        "GET /large 200 ok"
    )
    .skipped(&["- handlers::large 200 ok"]),
    special!(
        "a large request body",
        |to| {
            to.client.request("POST /upload", Some(&"x".repeat(LARGE)));
            assert_eq!(to.answered(200, "POST /upload"), LARGE.to_string());
        },
        "POST /upload 200 ok"
    )
    .skipped(&["- {app}::upload - ok"]),
    special!(
        "a body that is waited for",
        |to| {
            let headers = [
                ("content-type", "application/json"),
                ("content-length", "2"),
                ("expect", "100-continue"),
            ];
            to.client
                .send(&to.client.request_head("POST /create", &headers));
            assert_eq!(to.client.head().expect("a go-ahead").status, 100);
            to.client.send("{}");
            to.answered(201, "POST /create");
        },
        "POST /create 201 ok"
    )
    .skipped(&["POST /create 201 ok"]),
    special!(
        "several requests on one connection",
        |to| {
            for (line, status) in [
                ("GET /plain", 200),
                ("GET /users/x", 400),
                ("GET /users/1", 200),
            ] {
                to.answers(line, None, status);
            }
        },
        "GET /plain 200 ok",
        "GET /users/{id} 400 client_error",
        "GET /users/{id} 200 ok"
    )
    .skipped(&["- handlers::plain - ok", "- {app}::user 200 ok"]),
    special!(
        "several requests in one packet",
        |to| {
            let lines = ["GET /plain", "GET /quiet", "GET /missing"];
            let requests = lines.map(|line| to.client.request_head(line, &[]));
            to.client.send(&requests.concat());
            for (line, status) in lines.into_iter().zip([200, 200, 404]) {
                to.answered(status, line);
            }
        },
        "GET /plain 200 ok",
        "GET /quiet 200 ok",
        "GET /missing 404 client_error"
    )
    .skipped(&[
        "- handlers::plain - ok",
        "- handlers::missing 404 client_error",
    ]),
    special!("bytes that are not HTTP, which no layer sees", |to| {
        to.client.send("what is this\r\n\r\n");
        to.answered(400, "what is this");
    },),
    special!("a connection without a request", |_| {},),
    special!("an incomplete request head", |to| to
        .client
        .send("GET /plain HTT"),),
];
