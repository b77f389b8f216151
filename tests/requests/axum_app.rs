//! The test application on axum.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body as AxumBody, Bytes};
use axum::extract::{Json, Path, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use instrument_runtime::axum::layer;
use instrument_runtime::instrumented;

use crate::handlers::{self, Answer, Body, Opaque, Problem, around, chunks, routes};
use crate::settings::{Settings, with_settings};

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let body = match self.body {
            Body::Text(text) => AxumBody::from(text),
            Body::Chunks(first, then) => AxumBody::from_stream(chunks(first, then)),
        };
        let mut response = (code(self.status), body).into_response();
        if let Some((name, value)) = self.header {
            let value = axum::http::HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        code(self.0).into_response()
    }
}

impl IntoResponse for Opaque {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a status")
}

#[instrumented]
async fn user(Path(id): Path<u32>) -> Json<u32> {
    Json(id)
}

async fn quiet_user(Path(id): Path<u32>) -> Json<u32> {
    Json(id)
}

#[instrumented(labels(tenant = tenant, plan = "free"))]
async fn own(Path(tenant): Path<String>) -> Result<String, Problem> {
    if tenant == "nobody" {
        return Err(Problem(403));
    }
    Ok(tenant)
}

#[instrumented(endpoint = "/create", method = "POST")]
async fn create(Json(value): Json<serde_json::Value>) -> (StatusCode, Json<serde_json::Value>) {
    (StatusCode::CREATED, Json(value))
}

#[instrumented(handler)]
async fn upload(body: Bytes) -> String {
    body.len().to_string()
}

macro_rules! router {
    ($($path:literal => $handler:ident;)*) => {
        Router::new()$(.route($path, get(handlers::$handler)))*
    };
}

pub(crate) fn app(settings: Settings) -> Router {
    let nested = Router::new()
        .route("/items/{id}", get(user))
        .fallback(handlers::fallback);
    let twice = Router::new()
        .route("/bare", get(handlers::twice))
        .route("/quiet", get(handlers::twice_quiet));
    let twice = with_settings!(settings, layer(), |layer| twice.layer(layer));
    let app = routes!(router)
        .route("/users/{id}", get(user))
        .route("/quiet/{id}", get(quiet_user))
        .route("/own/{tenant}", get(own))
        .route("/create", post(create))
        .route("/upload", post(upload))
        .nest("/api", nested)
        .nest("/twice", twice)
        .layer(from_fn(middle));
    with_settings!(settings, layer(), |layer| app.layer(layer))
}

async fn middle(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    around(
        &path,
        next.run(request),
        |status| code(status).into_response(),
        |response| response.status().as_u16(),
    )
    .await
}

/// Serves the application until the process ends.
pub(crate) fn serve(settings: Settings, tell: impl FnOnce(SocketAddr)) {
    crate::runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("binds");
        tell(listener.local_addr().expect("an address"));
        axum::serve(listener, app(settings)).await.expect("serves");
    });
}
