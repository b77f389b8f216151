//! How actix-web turns errors into responses, and when it notices that a client has
//! hung up.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, Error, HttpResponse, HttpServer, ResponseError, get, web};
use instrument_runtime::actix_web::middleware;
use instrument_runtime::{Exporter, instrumented};
use instrument_tests::{alone, wait_for, wait_until};
use tokio::sync::Semaphore;

use crate::client::Client;
use crate::counted::Counted;

/// An error that implements only `error_response`, not `status_code`, as in actix-web's
/// own example of error handling.
#[derive(Debug)]
struct ByResponse(u16);

/// How often `error_response` was called.
static ASKED: AtomicUsize = AtomicUsize::new(0);

impl std::fmt::Display for ByResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "custom error {}", self.0)
    }
}

impl ResponseError for ByResponse {
    fn error_response(&self) -> HttpResponse {
        ASKED.fetch_add(1, Ordering::Relaxed);
        HttpResponse::build(code(self.0)).body("of its own")
    }
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a status")
}

#[instrumented]
#[get("/of/its/own/{status}")]
async fn of_its_own(status: web::Path<u16>) -> Result<HttpResponse, ByResponse> {
    Err(ByResponse(*status))
}

#[instrumented]
#[get("/converted/{status}")]
async fn converted(status: web::Path<u16>) -> Result<HttpResponse, Error> {
    Err(ByResponse(*status))?
}

async fn quiet(status: web::Path<u16>) -> Result<HttpResponse, Error> {
    Err(ByResponse(*status))?
}

#[instrumented]
#[get("/prepared/{status}")]
async fn prepared(status: web::Path<u16>) -> Result<HttpResponse, Error> {
    Err(with_response(*status))
}

/// An error whose response can be taken only once: the first call of `error_response`
/// takes it.
fn with_response(status: u16) -> Error {
    let response = HttpResponse::build(code(status)).body("prepared");
    InternalError::from_response("", response).into()
}

async fn ok() -> &'static str {
    "ok"
}

/// Middleware inside the layer that fails.
async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if let Some((_, status)) = request.path().split_once("/guarded/") {
        return Err(ByResponse(status.parse().expect("a status")).into());
    }
    if let Some((_, status)) = request.path().split_once("/refused/") {
        return Err(with_response(status.parse().expect("a status")));
    }
    next.call(request).await
}

/// Middleware outside the layer that turns errors into responses.
async fn outside(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    // Keeps a clone only for these requests, because routing needs a request that is not
    // shared.
    let caught = request.path().starts_with("/caught");
    let http_request = caught.then(|| request.request().clone());
    match (next.call(request).await, http_request) {
        (Err(error), Some(http_request)) => {
            // The inner middleware has created this error.
            assert!(error.as_error::<ByResponse>().is_some());
            let response = ServiceResponse::from_err(error, http_request);
            Ok(response.map_into_right_body())
        }
        (response, _) => response.map(ServiceResponse::map_into_left_body),
    }
}

static REACHED: AtomicUsize = AtomicUsize::new(0);
static RELEASED: Semaphore = Semaphore::const_new(0);

#[instrumented]
#[get("/slow")]
async fn slow() -> &'static str {
    REACHED.fetch_add(1, Ordering::Relaxed);
    RELEASED.acquire().await.expect("never closed").forget();
    "slow"
}

fn serve(allow_half_closed: Option<bool>) -> SocketAddr {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async {
            let mut server = HttpServer::new(|| {
                App::new()
                    .service(of_its_own)
                    .service(converted)
                    .service(prepared)
                    .service(slow)
                    .route("/quiet/{status}", web::get().to(quiet))
                    .route("/guarded/{status}", web::get().to(ok))
                    .route("/refused/{status}", web::get().to(ok))
                    .route("/caught/guarded/{status}", web::get().to(ok))
                    .wrap(from_fn(guard))
                    .wrap(middleware())
                    .wrap(from_fn(outside))
            })
            .workers(1)
            .disable_signals();
            if let Some(allow) = allow_half_closed {
                server = server.h1_allow_half_closed(allow);
            }
            let server = server.bind("127.0.0.1:0").expect("binds");
            tell.send(server.addrs()[0]).expect("somebody asks");
            server.run().await.expect("serves");
        });
    });
    told.recv().expect("serves")
}

struct Requests {
    exporter: Exporter,
    expected: Counted,
}

impl Requests {
    fn new() -> Self {
        Self {
            exporter: crate::install(),
            expected: Counted::default(),
        }
    }

    fn counted(&mut self, line: &str) {
        self.expected.add(&[line]);
        let difference = || Counted::of(&self.exporter.render()).difference(&self.expected);
        wait_until("the request to be counted", difference, Vec::is_empty);
    }
}

#[test]
fn an_error_is_counted_with_what_it_is_answered_with() {
    let name = "actix_errors::an_error_is_counted_with_what_it_is_answered_with";
    alone(name, || {
        let mut requests = Requests::new();
        let addr = serve(None);
        for (route, body) in [
            ("/of/its/own", "of its own"),
            ("/converted", "of its own"),
            ("/quiet", "of its own"),
            ("/guarded", "of its own"),
            ("/prepared", "prepared"),
            ("/refused", "prepared"),
        ] {
            for (status, outcome) in [
                (303, "ok"),
                (400, "client_error"),
                (401, "client_error"),
                (403, "client_error"),
                (500, "error"),
                (502, "error"),
            ] {
                let before = ASKED.load(Ordering::Relaxed);
                let mut client = Client::connect(addr);
                client.request(&format!("GET {route}/{status}"), None);
                let head = client.head().expect("a head");
                assert_eq!(head.status, status, "{route}");
                assert_eq!(client.body(&head), body, "{route}/{status}");
                requests.counted(&format!("GET {route}/{{status}} {status} {outcome}"));
                let asked = ASKED.load(Ordering::Relaxed) - before;
                let expected = usize::from(body == "of its own");
                assert_eq!(
                    asked, expected,
                    "{route}/{status}: only actix-web calls `error_response`, and only once"
                );
            }
        }
        // The layer is not the outermost middleware, so it sees only `status_code()`.
        let mut client = Client::connect(addr);
        client.request("GET /caught/guarded/403", None);
        let head = client.head().expect("a head");
        assert_eq!(client.body(&head), "of its own");
        requests.counted("GET /caught/guarded/{status} 500 error");
    });
}

#[test]
fn a_client_that_hangs_up_is_noticed_where_actix_web_is_set_to() {
    let name = "actix_errors::a_client_that_hangs_up_is_noticed_where_actix_web_is_set_to";
    alone(name, || {
        let mut requests = Requests::new();
        for (setting, line) in [
            (None, "GET /slow 200 ok"),
            (Some(true), "GET /slow 200 ok"),
            (Some(false), "GET /slow 499 cancelled"),
        ] {
            let addr = serve(setting);
            let before = REACHED.load(Ordering::Relaxed);
            let mut client = Client::connect(addr);
            client.request("GET /slow", None);
            wait_for("the handler to start", || {
                (REACHED.load(Ordering::Relaxed) > before).then_some(())
            });
            drop(client);
            if setting != Some(false) {
                // Lets the handler answer, although nobody reads the response.
                RELEASED.add_permits(1);
            }
            requests.counted(line);
        }
    });
}

#[test]
fn a_client_that_shuts_its_end_is_answered_where_actix_web_is_set_to() {
    let name = "actix_errors::a_client_that_shuts_its_end_is_answered_where_actix_web_is_set_to";
    alone(name, || {
        let mut requests = Requests::new();
        for (setting, status, line) in [
            (true, Some(200), "GET /slow 200 ok"),
            // The disadvantage of this setting: a client that closes its side of the
            // connection after the request counts as disconnected.
            (false, None, "GET /slow 499 cancelled"),
        ] {
            let addr = serve(Some(setting));
            let before = REACHED.load(Ordering::Relaxed);
            let mut client = Client::connect(addr);
            client.request("GET /slow", None);
            client.shut();
            wait_for("the handler to start", || {
                (REACHED.load(Ordering::Relaxed) > before).then_some(())
            });
            if setting {
                RELEASED.add_permits(1);
            }
            assert_eq!(client.head().map(|head| head.status), status);
            requests.counted(line);
        }
    });
}
