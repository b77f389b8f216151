//! The random application on axum.

use axum::Router;
use axum::body::Body;
use axum::extract::{Json, Path, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use instrument_runtime::axum::layer;
use instrument_runtime::instrumented;
use tower::ServiceExt;

use crate::App;
use crate::functions::{self, Problem, QUIET, around, handle};
use crate::plan;
use crate::truth::{About, Handler, Protocol};

const HANDLER: About = About {
    alone: "",
    ok: "outcome=ok",
    protocol: Protocol::Http,
    handler: Handler::Inferred,
    endpoint: None,
    labels: "",
};

static NOTHING: About = About {
    alone: "endpoint=axum_app::nothing kind=nothing",
    labels: "kind=nothing",
    ..HANDLER
};

#[instrumented(labels(kind = "nothing"))]
async fn nothing() -> Result<String, Problem> {
    handle(&NOTHING).await
}

static PATH: About = About {
    alone: "endpoint=axum_app::path kind=path id=7",
    labels: "kind=path id=7",
    ..HANDLER
};

#[instrumented(labels(kind = "path", id = id))]
async fn path(Path(id): Path<u32>) -> Result<String, Problem> {
    assert_eq!(id, 7);
    handle(&PATH).await
}

static BODY: About = About {
    alone: "endpoint=axum_app::body kind=body",
    labels: "kind=body",
    ..HANDLER
};

#[instrumented(labels(kind = "body"))]
async fn body(Json(_numbers): Json<Vec<u8>>) -> Result<String, Problem> {
    handle(&BODY).await
}

/// A handler whose arguments any function could have: nothing shows that it is one.
static TEXT: About = About {
    alone: "endpoint=axum_app::text kind=text",
    handler: Handler::Never,
    ..HANDLER
};

#[instrumented(labels(kind = "text"))]
async fn text(_method: http::Method, _text: String) -> Result<String, Problem> {
    handle(&TEXT).await
}

static WHOLE: About = About {
    alone: "endpoint=axum_app::whole kind=whole",
    labels: "kind=whole",
    ..HANDLER
};

#[instrumented(labels(kind = "whole"))]
async fn whole(_request: Request) -> Result<String, Problem> {
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
    alone: "endpoint=axum_app::said kind=said",
    handler: Handler::Certain,
    labels: "kind=said",
    ..HANDLER
};

#[instrumented(handler, labels(kind = "said"))]
async fn said() -> Result<String, Problem> {
    handle(&SAID).await
}

static DENIED: About = About {
    alone: "endpoint=axum_app::denied kind=denied",
    handler: Handler::Never,
    ..HANDLER
};

#[instrumented(handler = false, labels(kind = "denied"))]
async fn denied() -> Result<String, Problem> {
    handle(&DENIED).await
}

static ELSEWHERE: About = About {
    alone: "method=GET endpoint=/elsewhere kind=elsewhere",
    ok: "outcome=ok http_status=200",
    handler: Handler::Never,
    ..HANDLER
};

#[instrumented(endpoint = "/elsewhere", method = "GET", labels(kind = "elsewhere"))]
async fn elsewhere() -> Result<String, Problem> {
    handle(&ELSEWHERE).await
}

async fn quiet() -> Result<String, Problem> {
    handle(&QUIET).await
}

async fn middle(request: Request, next: Next) -> Response {
    let is_moved = plan::Request::current().plan.is_moved;
    let handler = async move {
        if is_moved {
            functions::in_a_task(next.run(request)).await
        } else {
            next.run(request).await
        }
    };
    let answer = |status| {
        StatusCode::from_u16(status)
            .expect("a status")
            .into_response()
    };
    around(handler, answer).await
}

fn router() -> Router {
    let nested = Router::new().route("/named/{id}", get(named));
    Router::new()
        .route("/nothing", get(nothing))
        .route("/path/{id}", get(path))
        .route("/body", get(body))
        .route("/text", get(text))
        .route("/whole", get(whole))
        .route("/named/{id}", get(named))
        .nest("/api", nested)
        .route("/said", get(said))
        .route("/denied", get(denied))
        .route("/contradicted", get(elsewhere))
        .route("/quiet", get(quiet))
        // The inner layer is for requests that the middleware moves to another task.
        .layer(layer())
        .layer(from_fn(middle))
        .layer(layer())
}

async fn send(uri: &'static str) -> u16 {
    let request = Request::get(uri)
        .header("content-type", "application/json")
        .body(Body::from("[1, 2]"));
    let Ok(response) = router().oneshot(request.expect("a request")).await;
    response.status().as_u16()
}

pub(crate) static APP: App = App {
    method: "GET",
    protocol: Protocol::Http,
    is_routed_first: true,
    has_inner_layer: true,
    handlers: &[
        ("/quiet", "/quiet", &QUIET),
        ("/nothing", "/nothing", &NOTHING),
        ("/path/7", "/path/{id}", &PATH),
        ("/body", "/body", &BODY),
        ("/text", "/text", &TEXT),
        ("/whole", "/whole", &WHOLE),
        ("/named/7", "/named/{id}", &NAMED),
        ("/api/named/7", "/api/named/{id}", &NAMED),
        ("/said", "/said", &SAID),
        ("/denied", "/denied", &DENIED),
        ("/contradicted", "/contradicted", &ELSEWHERE),
    ],
    send: |uri| Box::pin(send(uri)),
};
