//! Which function a request is attributed to on actix-web. No event marks the moment when
//! the request is passed to the handler, so the handler is recognized by its method and
//! endpoint or by its arguments.

use std::future::{Future, pending};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::{ErrorInternalServerError, ErrorUnauthorized};
use actix_web::middleware::{Next, from_fn};
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::web::{self, Bytes, Data, Json, Path, Query, ServiceConfig};
use actix_web::{App, Error, HttpRequest, HttpResponse, Scope, get};
use futures::FutureExt;
use instrument_runtime::actix_web::middleware;
use instrument_runtime::instrumented;
use instrument_tests::recorded::Recorded;

use crate::within::counted;

/// Sends one request to the application made by `configure`, inside `around` and the
/// middleware, and checks what was counted.
macro_rules! ask {
    ($configure:expr, around $around:expr, $method:ident $path:expr => $($expected:expr),+ $(,)?) => {
        Recorded::during_async(async |recorded| {
            let configure: fn(&mut ServiceConfig) = $configure;
            let app = App::new().configure(configure).wrap(from_fn($around)).wrap(middleware());
            let app = init_service(app).await;
            let request = TestRequest::$method().uri($path).to_request();
            drop(try_call_service(&app, request).await);
            assert_eq!(counted(recorded), [$($expected),+]);
        });
    };
    ($configure:expr, $method:ident $path:expr => $($expected:expr),+ $(,)?) => {
        ask!($configure, around passes, $method $path => $($expected),+)
    };
}

type Answer = Result<ServiceResponse<actix_web::body::BoxBody>, Error>;

async fn passes(request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Answer {
    Ok(next.call(request).await?.map_into_boxed_body())
}

#[instrumented(labels(tenant = tenant))]
async fn own(tenant: Path<String>) -> String {
    tenant.into_inner()
}

async fn quiet() -> &'static str {
    "quiet"
}

fn routes(config: &mut ServiceConfig) {
    config
        .route("/own/{tenant}", web::get().to(own))
        .route("/quiet", web::get().to(quiet));
}

#[instrumented(labels(kind = "audit"))]
async fn audit(text: String) -> Result<String, Error> {
    Ok(text)
}

#[instrumented(labels(kind = "check"))]
async fn check(request: HttpRequest) -> Result<HttpResponse, Error> {
    match request.path() {
        "/own/acme" => Err(ErrorUnauthorized("no")),
        _ => Ok(HttpResponse::Ok().finish()),
    }
}

const AUDIT: &str = "endpoint=attribution_actix::audit kind=audit outcome=ok 1";
const OWN: &str = "method=GET endpoint=/own/{tenant} tenant=acme outcome=ok http_status=200 1";

#[test]
fn a_helper_after_the_handler_takes_nothing() {
    async fn audited(request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Answer {
        let response = next.call(request).await?;
        let _ = audit("seen".to_owned()).await;
        Ok(response.map_into_boxed_body())
    }
    ask!(routes, around audited, get "/own/acme" => AUDIT, OWN);
    ask!(
        routes, around audited, get "/quiet" =>
        AUDIT, "method=GET endpoint=/quiet outcome=ok http_status=200 1"
    );
}

#[test]
fn a_check_that_refuses_takes_nothing() {
    async fn guarded(request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Answer {
        check(request.request().clone()).await?;
        passes(request, next).await
    }
    ask!(
        routes, around guarded, get "/own/acme" =>
        "endpoint=attribution_actix::check kind=check outcome=client_error http_status=401 1",
        "method=GET endpoint=/own/{tenant} outcome=client_error http_status=401 1"
    );
    ask!(
        routes, around guarded, get "/quiet" =>
        "endpoint=attribution_actix::check kind=check outcome=ok http_status=200 1",
        "method=GET endpoint=/quiet outcome=ok http_status=200 1"
    );
}

#[test]
fn a_check_that_the_client_does_not_wait_for_takes_nothing() {
    #[instrumented(labels(kind = "patient"))]
    async fn patient(_data: Option<Data<u8>>) -> Result<String, Error> {
        pending().await
    }
    async fn waits(request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Answer {
        patient(None).await?;
        passes(request, next).await
    }
    Recorded::during_async(async |recorded| {
        let app = App::new()
            .configure(routes)
            .wrap(from_fn(waits))
            .wrap(middleware());
        let app = init_service(app).await;
        {
            let request = TestRequest::get().uri("/own/acme").to_request();
            let mut asked = pin!(try_call_service(&app, request));
            let polled = asked.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
        }
        assert_eq!(
            counted(recorded),
            [
                "endpoint=attribution_actix::patient kind=patient outcome=cancelled http_status=499 1",
                "method=GET endpoint=/own/{tenant} outcome=cancelled http_status=499 1",
            ]
        );
    });
}

#[test]
fn calls_to_other_services_take_nothing() {
    #[instrumented(endpoint = "/oauth/introspect", method = "POST")]
    async fn introspect(_token: Query<()>) -> Result<HttpResponse, Error> {
        Ok(HttpResponse::Ok().finish())
    }
    #[instrumented(endpoint = "/oauth/keys", method = "GET")]
    async fn keys() -> HttpResponse {
        HttpResponse::Ok().finish()
    }
    async fn users() -> &'static str {
        let _ = introspect(Query(())).await;
        keys().await;
        "users"
    }
    ask!(
        |config| { config.route("/users", web::get().to(users)); }, get "/users" =>
        "method=GET endpoint=/oauth/keys outcome=ok http_status=200 1",
        "method=GET endpoint=/users outcome=ok http_status=200 1",
        "method=POST endpoint=/oauth/introspect outcome=ok http_status=200 1"
    );
}

#[test]
fn helpers_of_an_unannotated_handler_take_nothing() {
    #[instrumented(labels(kind = "render"))]
    async fn render(lines: Vec<String>) -> String {
        lines.join("\n")
    }
    #[instrumented(labels(kind = "load"))]
    async fn load(_data: Data<u8>, _body: Bytes) -> HttpResponse {
        HttpResponse::Ok().finish()
    }
    #[instrumented(labels(kind = "now"))]
    async fn now() -> String {
        "now".to_owned()
    }
    async fn page() -> String {
        load(Data::new(1), Bytes::new()).await;
        now().await;
        render(vec![String::new()]).await
    }
    ask!(
        |config| { config.route("/page", web::get().to(page)); }, get "/page" =>
        "endpoint=attribution_actix::load kind=load outcome=ok http_status=200 1",
        "endpoint=attribution_actix::now kind=now outcome=ok 1",
        "endpoint=attribution_actix::render kind=render outcome=ok 1",
        "method=GET endpoint=/page outcome=ok http_status=200 1"
    );
}

#[test]
fn work_that_outlives_its_request_is_counted_by_itself() {
    #[instrumented(labels(kind = "work"))]
    async fn work(number: Path<u8>) -> String {
        actix_web::rt::time::sleep(Duration::from_secs(1)).await;
        number.to_string()
    }
    async fn accepts(number: Path<u8>) -> HttpResponse {
        let mut work = Box::pin(work(number));
        match actix_web::rt::time::timeout(Duration::from_millis(10), &mut work).await {
            Ok(_) => HttpResponse::Ok().finish(),
            Err(_) => {
                actix_web::rt::spawn(work);
                HttpResponse::Accepted().finish()
            }
        }
    }
    Recorded::during_async(async |recorded| {
        let app = App::new()
            .route("/jobs/{number}", web::get().to(accepts))
            .wrap(middleware());
        tokio::task::LocalSet::new()
            .run_until(async {
                let app = init_service(app).await;
                let request = TestRequest::get().uri("/jobs/7").to_request();
                drop(try_call_service(&app, request).await);
                tokio::time::sleep(Duration::from_secs(60)).await;
            })
            .await;
        assert_eq!(
            counted(recorded),
            [
                "endpoint=attribution_actix::work kind=work outcome=ok 1",
                "method=GET endpoint=/jobs/{number} outcome=ok http_status=202 1",
            ]
        );
    });
}

#[test]
fn a_panic_that_is_caught_is_not_forgotten_for_a_helper() {
    #[instrumented(labels(kind = "panics"))]
    async fn panics(_id: Path<u8>) -> String {
        panic!("on purpose")
    }
    async fn catches(request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Answer {
        let answer = AssertUnwindSafe(passes(request, next)).catch_unwind().await;
        let _ = audit("caught".to_owned()).await;
        answer.unwrap_or_else(|_| Err(ErrorInternalServerError("caught")))
    }
    ask!(
        |config| { config.route("/panics/{id}", web::get().to(panics)); },
        around catches, get "/panics/7" =>
        AUDIT,
        "method=GET endpoint=/panics/{id} kind=panics outcome=panicked http_status=500 1"
    );
}

#[test]
fn handlers_are_known_by_their_names_or_their_arguments() {
    #[instrumented(labels(kind = "handler"))]
    #[get("/items/{id}")]
    async fn item() -> &'static str {
        "item"
    }
    #[instrumented(labels(kind = "handler"))]
    async fn query(_data: Option<Data<u8>>, _query: Query<()>, _request: HttpRequest) -> String {
        tokio::task::yield_now().await;
        String::new()
    }
    #[instrumented(labels(kind = "handler"))]
    async fn json(value: Result<Json<u8>, Error>, _path: Path<u8>) -> HttpResponse {
        drop(value);
        HttpResponse::Ok().finish()
    }
    #[instrumented(handler, labels(kind = "handler"))]
    async fn said() -> &'static str {
        "said"
    }
    fn config(config: &mut ServiceConfig) {
        config
            .service(Scope::new("/api").service(item))
            .route("/query", web::get().to(query))
            .route("/json/{id}", web::get().to(json))
            .route("/said", web::get().to(said));
    }
    let line = |endpoint| {
        format!("method=GET endpoint={endpoint} kind=handler outcome=ok http_status=200 1")
    };
    ask!(config, get "/api/items/7" => line("/items/{id}"));
    ask!(config, get "/query" => line("/query"));
    ask!(config, get "/json/7" => line("/json/{id}"));
    ask!(config, get "/said" => line("/said"));
}

/// Nothing distinguishes such a handler from a helper function. The documentation of
/// `actix_web` says so.
#[test]
fn what_any_function_may_take_leaves_it_in_doubt() {
    #[instrumented(labels(kind = "plain"))]
    async fn plain(_data: Option<Data<u8>>, request: HttpRequest) -> String {
        // `plain` may be the handler, so its call of `inner` proves nothing.
        inner(Path::from(7)).await;
        request.path().to_owned()
    }
    #[instrumented(labels(kind = "inner"))]
    async fn inner(_id: Path<u8>) -> String {
        String::new()
    }
    ask!(
        |config| { config.route("/plain", web::get().to(plain)); }, get "/plain" =>
        "endpoint=attribution_actix::inner kind=inner outcome=ok 1",
        "endpoint=attribution_actix::plain kind=plain outcome=ok 1",
        "method=GET endpoint=/plain outcome=ok http_status=200 1"
    );
}

/// The arguments and the return type of this function would make it a handler if it were
/// async.
#[instrumented(labels(kind = "plain"))]
fn plain(id: Path<u8>, _query: Query<()>) -> HttpResponse {
    if *id == 7 {
        HttpResponse::Gone().finish()
    } else {
        HttpResponse::Ok().finish()
    }
}

#[instrumented(endpoint = "/named/{id}", method = "GET", labels(kind = "plain"))]
fn named(id: Path<u8>) -> Result<String, Error> {
    if *id == 7 {
        return Err(ErrorUnauthorized("on purpose"));
    }
    Ok(String::new())
}

#[test]
fn a_plain_function_takes_a_request_by_its_names_only() {
    async fn calls(id: Path<u8>, query: Query<()>) -> HttpResponse {
        plain(id, query)
    }
    async fn calls_named(id: Path<u8>) -> Result<String, Error> {
        named(id)
    }
    fn config(config: &mut ServiceConfig) {
        config
            .route("/plain/{id}", web::get().to(calls))
            .route("/named/{id}", web::get().to(calls_named));
    }
    ask!(config, get "/plain/7" =>
        "endpoint=attribution_actix::plain kind=plain outcome=client_error http_status=410 1",
        "method=GET endpoint=/plain/{id} outcome=client_error http_status=410 1");
    ask!(config, get "/named/7" =>
        "method=GET endpoint=/named/{id} kind=plain outcome=client_error http_status=401 1");
}
