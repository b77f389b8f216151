//! The random application on plain tower, with a router of a few lines.

use std::convert::Infallible;

use http::{Request, Response, StatusCode};
use instrument_runtime::instrumented;
use instrument_runtime::tower::{layer, set_matched_route};
use tower::{Layer, ServiceExt, service_fn};

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

/// A handler that nothing connects with the request.
static ROUTED: About = About {
    alone: "endpoint=tower_app::routed kind=routed",
    handler: Handler::Never,
    ..HANDLER
};

#[instrumented(labels(kind = "routed"))]
async fn routed() -> Result<String, Problem> {
    handle(&ROUTED).await
}

static WHOLE: About = About {
    alone: "endpoint=tower_app::whole kind=whole",
    labels: "kind=whole",
    ..HANDLER
};

#[instrumented(labels(kind = "whole"))]
async fn whole(_request: Request<()>) -> Result<String, Problem> {
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
    alone: "endpoint=tower_app::said kind=said",
    handler: Handler::Certain,
    labels: "kind=said",
    ..HANDLER
};

#[instrumented(handler, labels(kind = "said"))]
async fn said() -> Result<String, Problem> {
    handle(&SAID).await
}

static DENIED: About = About {
    alone: "endpoint=tower_app::denied kind=denied",
    handler: Handler::Never,
    ..HANDLER
};

#[instrumented(handler = false, labels(kind = "denied"))]
async fn denied() -> Result<String, Problem> {
    handle(&DENIED).await
}

fn response(answer: Result<String, Problem>) -> Response<()> {
    status(answer.map_or_else(|problem| problem.0, |_| 200))
}

fn status(status: u16) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

async fn route(request: Request<()>) -> Result<Response<()>, Infallible> {
    let path = request.uri().path().to_owned();
    Ok(response(match &*path {
        "/whole" => {
            set_matched_route("/whole");
            whole(request).await
        }
        "/routed" => {
            set_matched_route("/routed");
            routed().await
        }
        "/named/7" => {
            set_matched_route("/named/{id}");
            named().await
        }
        "/said" => {
            set_matched_route("/said");
            said().await
        }
        "/denied" => {
            set_matched_route("/denied");
            denied().await
        }
        _ => {
            set_matched_route("/quiet");
            handle(&QUIET).await
        }
    }))
}

async fn middle(request: Request<()>) -> Result<Response<()>, Infallible> {
    // The inner layer is for requests that are moved to another task.
    let router = layer().layer(service_fn(route));
    let plan = plan::Request::current().plan;
    let handler = async move {
        let once = async || {
            let call = router.clone().oneshot(request.clone());
            let Ok(response) = if plan.is_moved {
                functions::in_a_task(call).await
            } else {
                call.await
            };
            response
        };
        let response = once().await;
        if plan.is_retried && !response.status().is_success() {
            once().await
        } else {
            response
        }
    };
    Ok(around(handler, status).await)
}

async fn send(uri: &'static str) -> u16 {
    let request = Request::get(uri).body(()).expect("a request");
    let Ok(response) = layer().layer(service_fn(middle)).oneshot(request).await;
    response.status().as_u16()
}

pub(crate) static APP: App = App {
    method: "GET",
    protocol: Protocol::Http,
    is_routed_first: false,
    has_inner_layer: true,
    handlers: &[
        ("/quiet", "/quiet", &QUIET),
        ("/routed", "/routed", &ROUTED),
        ("/whole", "/whole", &WHOLE),
        ("/named/7", "/named/{id}", &NAMED),
        ("/said", "/said", &SAID),
        ("/denied", "/denied", &DENIED),
    ],
    send: |uri| Box::pin(send(uri)),
};
