//! The table of requests, each with the counts it must produce.

use crate::Server;
use crate::client::Client;
use crate::handlers::LARGE;

/// One kind of request.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Sends the request and checks the response.
    pub(crate) send: fn(&Server),
    /// What the request adds to `requests_total`, one line per count: method, endpoint,
    /// status and outcome (`-` for an absent label), then the other labels.
    pub(crate) counted: &'static [&'static str],
}

/// Defines a request that is answered.
macro_rules! answered {
    ($name:literal, $line:literal => $status:literal, $($counted:literal),+) => {
        Kind {
            name: $name,
            send: |server| server.answers($line, $status),
            counted: &[$($counted),+],
        }
    };
    ($name:literal, $line:literal $body:literal => $status:literal, $($counted:literal),+) => {
        Kind {
            name: $name,
            send: |server| server.answers_to_body($line, $body, $status),
            counted: &[$($counted),+],
        }
    };
}

/// Defines a request whose client hangs up once the request has reached a given point.
macro_rules! gone {
    ($name:literal, $line:literal, $($counted:literal),+) => {
        Kind {
            name: $name,
            send: |server| server.hangs_up($line),
            counted: &[$($counted),+],
        }
    };
}

macro_rules! special {
    ($name:literal, $send:expr, $($counted:literal),*) => {
        Kind {
            name: $name,
            send: $send,
            counted: &[$($counted),*],
        }
    };
}

pub(crate) static KINDS: &[Kind] = &[
    // Which function the request is attributed to.
    answered!("an annotated handler without arguments", "GET /plain" => 200, "GET /plain 200 ok"),
    answered!("a handler with its own endpoint", "GET /named" => 200, "GET /a/name 200 ok"),
    answered!("no annotated handler", "GET /quiet" => 200, "GET /quiet 200 ok"),
    answered!("a path parameter", "GET /users/7" => 200, "GET /users/{id} 200 ok"),
    answered!(
        "a path parameter without an annotated handler",
        "GET /quiet/7" => 200,
        "GET /quiet/{id} 200 ok"
    ),
    answered!("a query", "GET /plain?q=/users/1" => 200, "GET /plain 200 ok"),
    answered!(
        "own labels",
        "GET /own/acme" => 200,
        "GET /own/{tenant} 200 ok tenant=acme plan=free"
    ),
    answered!(
        "own labels and an error",
        "GET /own/nobody" => 403,
        "GET /own/{tenant} 403 client_error tenant=nobody plan=free"
    ),
    answered!("a nested route", "GET /api/items/7" => 200, "GET /api/items/{id} 200 ok"),
    // The handler's answers.
    answered!("an error with a status", "GET /missing" => 404, "GET /missing 404 client_error"),
    answered!("an error without a status", "GET /broken" => 500, "GET /broken 500 error"),
    answered!("an error mapped to another", "GET /mapped" => 502, "GET /mapped 502 error"),
    answered!(
        "an error mapped to the client's",
        "GET /mapped/away" => 404,
        "GET /mapped/away 404 client_error"
    ),
    answered!("an early return", "GET /early" => 422, "GET /early 422 client_error"),
    answered!("a redirect", "GET /redirect" => 303, "GET /redirect 303 ok"),
    answered!("no content", "GET /nothing-to-say" => 204, "GET /nothing-to-say 204 ok"),
    answered!(
        "a response 200 that `outcome` calls an error",
        "GET /judged" => 200,
        "GET /judged 200 error"
    ),
    answered!(
        "a response 404 that `outcome` calls a success",
        "GET /judged/missing" => 404,
        "GET /judged/missing 404 client_error"
    ),
    // The method.
    answered!("HEAD for a route with GET", "HEAD /plain" => 200, "HEAD /plain 200 ok"),
    answered!(
        "HEAD for a handler with method = GET",
        "HEAD /named" => 200,
        "HEAD /a/name 200 ok"
    ),
    answered!("a body", "POST /create" "{\"a\": 1}" => 201, "POST /create 201 ok"),
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
    ),
    answered!("a bad parameter", "GET /users/x" => 400, "GET /users/{id} 400 client_error"),
    answered!("a bad body", "POST /create" "{" => 400, "POST /create 400 client_error"),
    answered!("refused before the handler", "GET /guarded" => 401, "GET /guarded 401 client_error"),
    // Middleware answers instead of the handler.
    answered!("a time-out", "GET /slow" => 408, "GET /slow 408 client_error"),
    answered!(
        "a time-out of a handler with labels",
        "GET /slow/named" => 408,
        "GET /slow/by/name 408 client_error plan=free"
    ),
    answered!(
        "a time-out without an annotated handler",
        "GET /slow/quiet" => 408,
        "GET /slow/quiet 408 client_error"
    ),
    // Annotated functions that are called during the request.
    answered!(
        "an annotated function before the handler",
        "GET /checked" => 200,
        "- handlers::check - ok kind=token",
        "GET /checked 200 ok"
    ),
    answered!(
        "an annotated function before a handler with a method",
        "GET /checked/named" => 200,
        "- handlers::check - ok kind=token",
        "GET /checked/by/name 200 ok"
    ),
    answered!(
        "two annotated functions in the handler",
        "GET /helped" => 200,
        "- handlers::price - ok",
        "- handlers::stock - ok",
        "GET /helped 200 ok"
    ),
    answered!(
        "an annotated function that borrows, in a handler that is not annotated",
        "GET /helped/quiet" => 200,
        "- handlers::price - ok",
        "GET /helped/quiet 200 ok"
    ),
    answered!(
        "an annotated function in the handler, and another after it",
        "GET /audited" => 200,
        "- handlers::price - ok",
        "- handlers::audit - ok",
        "GET /audited 200 ok"
    ),
    // A layer inside the layer.
    answered!("two layers", "GET /twice/bare" => 200, "GET /twice/bare 200 ok"),
    answered!(
        "two layers without an annotated handler",
        "GET /twice/quiet" => 200,
        "GET /twice/quiet 200 ok"
    ),
    // Panics.
    answered!("a panic that is caught", "GET /caught" => 500, "GET /caught 500 panicked"),
    answered!(
        // The panic is caught before it reaches the layer or an annotated function.
        "a panic that is caught, without an annotated handler",
        "GET /caught/quiet" => 500,
        "GET /caught/quiet 500 error"
    ),
    special!(
        "a panic of a function that the handler calls",
        |server| server.gives_no_answer("GET /panics/within"),
        "- handlers::price - panicked",
        "GET /panics/within 500 panicked"
    ),
    special!(
        "a panic",
        |server| server.gives_no_answer("GET /panics"),
        "GET /panics 500 panicked"
    ),
    special!(
        "a panic without an annotated handler",
        |server| server.gives_no_answer("GET /panics/quiet"),
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
    ),
    gone!(
        "a client that hangs up during a function that the handler calls",
        "GET /gone/within",
        "- handlers::price - cancelled",
        "GET /gone/within 499 cancelled kind=patient"
    ),
    gone!(
        "a client that hangs up during a handler that is not annotated",
        "GET /gone/in/quiet",
        "GET /gone/in/quiet 499 cancelled"
    ),
    gone!(
        "a client that hangs up after the handler",
        "GET /gone/after",
        "GET /gone/after 499 cancelled"
    ),
    // Bodies and connections.
    special!(
        "a streamed response, counted when its head is sent",
        |server| {
            let mut client = server.connect();
            client.request("GET /stream", None);
            assert_eq!(client.head().expect("a head").status, 200);
            client.read_to("first");
            // The body is still being sent.
            server.wait_until_counted();
        },
        "GET /stream 200 ok"
    ),
    special!(
        "an upgrade, counted when its head is sent",
        |server| {
            let mut client = server.connect();
            client.send(
                "GET /upgrade HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
                 upgrade: websocket\r\n\r\n",
            );
            let head = client.head().expect("a head");
            assert_eq!(
                (head.status, head.header("upgrade")),
                (101, Some("websocket"))
            );
            server.wait_until_counted();
        },
        "GET /upgrade 101 ok"
    ),
    special!(
        "a large response body",
        |server| {
            let mut client = server.connect();
            client.request("GET /large", None);
            let head = client.head().expect("a head");
            assert_eq!(client.body(&head).len(), LARGE);
        },
        "GET /large 200 ok"
    ),
    special!(
        "a large request body",
        |server| {
            let mut client = server.connect();
            client.request("POST /upload", Some(&"x".repeat(LARGE)));
            let head = client.head().expect("a head");
            assert_eq!(client.body(&head), LARGE.to_string());
        },
        "POST /upload 200 ok"
    ),
    special!(
        "a body that is waited for",
        |server| {
            let mut client = server.connect();
            client.send(
                "POST /create HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                 content-length: 2\r\nexpect: 100-continue\r\n\r\n",
            );
            assert_eq!(client.head().expect("a go-ahead").status, 100);
            client.send("{}");
            assert_eq!(client.head().expect("a head").status, 201);
        },
        "POST /create 201 ok"
    ),
    special!(
        "several requests on one connection",
        |server| {
            let mut client = server.connect();
            for (line, status) in [
                ("GET /plain", 200),
                ("GET /users/x", 400),
                ("GET /users/1", 200),
            ] {
                client.request(line, None);
                let head = client.head().expect("a head");
                assert_eq!(head.status, status, "{line}");
                client.body(&head);
            }
        },
        "GET /plain 200 ok",
        "GET /users/{id} 400 client_error",
        "GET /users/{id} 200 ok"
    ),
    special!(
        "several requests in one packet",
        |server| {
            let mut client = server.connect();
            client.send(
                &["/plain", "/quiet", "/missing"]
                    .map(|path| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"))
                    .concat(),
            );
            for status in [200, 200, 404] {
                let head = client.head().expect("a head");
                assert_eq!(head.status, status);
                client.body(&head);
            }
        },
        "GET /plain 200 ok",
        "GET /quiet 200 ok",
        "GET /missing 404 client_error"
    ),
    special!("bytes that are not HTTP, which no layer sees", |server| {
        let mut client = server.connect();
        client.send("what is this\r\n\r\n");
        assert_eq!(client.head().map(|head| head.status), Some(400));
    },),
    special!("a connection without a request", |server| drop(
        server.connect()
    ),),
    special!("an incomplete request head", |server| server
        .connect()
        .send("GET /plain HTT"),),
];

impl Server {
    fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    fn answers(&self, line: &str, status: u16) {
        let mut client = self.connect();
        client.request(line, None);
        assert_eq!(
            client.head().map(|head| head.status),
            Some(status),
            "{line}"
        );
    }

    fn answers_to_body(&self, line: &str, body: &str, status: u16) {
        let mut client = self.connect();
        client.request(line, Some(body));
        assert_eq!(
            client.head().map(|head| head.status),
            Some(status),
            "{line}"
        );
    }

    fn gives_no_answer(&self, line: &str) {
        let mut client = self.connect();
        client.request(line, None);
        assert!(client.head().is_none(), "{line} is answered");
    }

    fn hangs_up(&self, line: &str) {
        let before = self.reached();
        let mut client = self.connect();
        client.request(line, None);
        self.wait_for_reached(before + 1);
        drop(client);
    }
}
