//! The random application on actix-web.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::middleware::{Next, from_fn};
use actix_web::{App as ActixApp, Error, HttpRequest, test, web};
use instrument_runtime::actix_web::middleware;
use instrument_runtime::instrumented;

use crate::App;
use crate::functions::{Problem, QUIET, around, handle};
use crate::truth::{About, Handler, Protocol};

const HANDLER: About = About {
    alone: "",
    ok: "outcome=ok",
    protocol: Protocol::Http,
    handler: Handler::Inferred,
    endpoint: None,
    labels: "",
};

/// A handler without arguments: nothing shows that it is a handler.
static NOTHING: About = About {
    alone: "endpoint=actix_app::nothing kind=nothing",
    handler: Handler::Never,
    ..HANDLER
};

#[instrumented(labels(kind = "nothing"))]
async fn nothing() -> Result<String, Problem> {
    handle(&NOTHING).await
}

static PATH: About = About {
    alone: "endpoint=actix_app::path kind=path id=7",
    labels: "kind=path id=7",
    ..HANDLER
};

#[instrumented(labels(kind = "path", id = id))]
async fn path(id: web::Path<u32>) -> Result<String, Problem> {
    assert_eq!(id.into_inner(), 7);
    handle(&PATH).await
}

/// A handler that takes the whole request. A helper may take it too, so this proves
/// nothing.
static WHOLE: About = About {
    alone: "endpoint=actix_app::whole kind=whole",
    handler: Handler::Never,
    ..HANDLER
};

#[instrumented(labels(kind = "whole"))]
async fn whole(_request: HttpRequest) -> Result<String, Problem> {
    handle(&WHOLE).await
}

static NAMED: About = About {
    alone: "method=GET endpoint=/named/{id} kind=named",
    ok: "outcome=ok http_status=200",
    handler: Handler::Certain,
    endpoint: Some("/named/{id}"),
    labels: "kind=named",
    ..HANDLER
};

#[instrumented(endpoint = "/named/{id}", method = "GET", labels(kind = "named"))]
async fn named() -> Result<String, Problem> {
    handle(&NAMED).await
}

static SAID: About = About {
    alone: "endpoint=actix_app::said kind=said",
    handler: Handler::Certain,
    labels: "kind=said",
    ..HANDLER
};

#[instrumented(handler, labels(kind = "said"))]
async fn said() -> Result<String, Problem> {
    handle(&SAID).await
}

static DENIED: About = About {
    alone: "endpoint=actix_app::denied kind=denied",
    handler: Handler::Never,
    ..HANDLER
};

#[instrumented(handler = false, labels(kind = "denied"))]
async fn denied(_id: web::Path<u32>) -> Result<String, Problem> {
    handle(&DENIED).await
}

async fn quiet() -> Result<String, Problem> {
    handle(&QUIET).await
}

async fn middle(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let answer = |status| {
        let status = StatusCode::from_u16(status).expect("a status");
        Err(InternalError::new("in its place", status).into())
    };
    around(next.call(request), answer).await
}

async fn send(uri: &'static str) -> u16 {
    let app = ActixApp::new()
        .service(web::resource("/nothing").get(nothing))
        .service(web::resource("/path/{id}").get(path))
        .service(web::resource("/whole").get(whole))
        .service(web::resource("/named/{id}").get(named))
        .service(web::scope("/api").service(web::resource("/named/{id}").get(named)))
        .service(web::resource("/said").get(said))
        .service(web::resource("/denied/{id}").get(denied))
        .service(web::resource("/quiet").get(quiet))
        .wrap(from_fn(middle))
        .wrap(middleware());
    let app = test::init_service(app).await;
    let request = test::TestRequest::get().uri(uri).to_request();
    match test::try_call_service(&app, request).await {
        Ok(response) => response.status().as_u16(),
        Err(error) => error.as_response_error().error_response().status().as_u16(),
    }
}

pub(crate) static APP: App = App {
    method: "GET",
    protocol: Protocol::Http,
    is_routed_first: true,
    has_inner_layer: false,
    handlers: &[
        ("/quiet", "/quiet", &QUIET),
        ("/nothing", "/nothing", &NOTHING),
        ("/path/7", "/path/{id}", &PATH),
        ("/whole", "/whole", &WHOLE),
        ("/named/7", "/named/{id}", &NAMED),
        ("/api/named/7", "/api/named/{id}", &NAMED),
        ("/said", "/said", &SAID),
        ("/denied/7", "/denied/{id}", &DENIED),
    ],
    send: |uri| Box::pin(send(uri)),
};
