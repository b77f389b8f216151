//! The test application on actix-web.

use std::net::SocketAddr;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::{ErrorBadRequest, InternalError};
use actix_web::http::StatusCode;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{Bytes, Json, Path};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer, Responder, ResponseError, web};
use instrument_runtime::actix_web::middleware;
use instrument_runtime::instrumented;

use crate::handlers::{self, Answer, Body, Opaque, Problem, around, chunks, routes};
use crate::settings::{Settings, with_settings};

impl Responder for Answer {
    type Body = BoxBody;

    fn respond_to(self, _request: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::build(code(self.status));
        if let Some(header) = self.header {
            response.insert_header(header);
        }
        if self.status == 101 {
            return response.upgrade("websocket").finish();
        }
        match self.body {
            Body::Text(text) => response.body(text),
            Body::Chunks(first, then) => response.streaming(chunks(first, then)),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        code(self.0)
    }
}

impl std::fmt::Display for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("opaque")
    }
}

impl ResponseError for Opaque {}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a status")
}

#[instrumented]
async fn user(id: Path<u32>) -> Json<u32> {
    Json(*id)
}

async fn quiet_user(id: Path<u32>) -> Json<u32> {
    Json(*id)
}

#[instrumented(labels(tenant = tenant, plan = "free"))]
async fn own(tenant: Path<String>) -> Result<String, Problem> {
    if *tenant == "nobody" {
        return Err(Problem(403));
    }
    Ok(tenant.into_inner())
}

#[instrumented(endpoint = "/create", method = "POST")]
async fn create(value: Json<serde_json::Value>) -> (Json<serde_json::Value>, StatusCode) {
    (value, StatusCode::CREATED)
}

#[instrumented(handler)]
async fn upload(body: Bytes) -> String {
    body.len().to_string()
}

macro_rules! configure {
    ($($path:literal => $handler:ident;)*) => {
        |config: &mut web::ServiceConfig| {
            $(
                config.service(
                    web::resource($path)
                        .route(web::get().to(handlers::$handler))
                        // axum routes HEAD to GET handlers; actix-web does not.
                        .route(web::head().to(handlers::$handler)),
                );
            )*
        }
    };
}

pub(crate) fn configure(settings: Settings) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config
            // The same status as with axum; likewise for a wrong method on a resource.
            .app_data(web::PathConfig::default().error_handler(|error, _| ErrorBadRequest(error)))
            .app_data(web::PayloadConfig::new(2 * handlers::LARGE))
            .configure(routes!(configure))
            .service(web::resource("/users/{id}").route(web::get().to(user)))
            .service(web::resource("/quiet/{id}").route(web::get().to(quiet_user)))
            .service(web::resource("/own/{tenant}").route(web::get().to(own)))
            .service(web::resource("/create").route(web::post().to(create)))
            .service(web::resource("/upload").route(web::post().to(upload)))
            .service(
                web::scope("/api")
                    .service(web::resource("/items/{id}").route(web::get().to(user)))
                    .default_service(web::to(handlers::fallback)),
            );
        with_settings!(settings, middleware(), |middleware| config.service(
            web::scope("/twice")
                .wrap(middleware)
                .service(web::resource("/bare").route(web::get().to(handlers::twice)))
                .service(web::resource("/quiet").route(web::get().to(handlers::twice_quiet))),
        ));
    }
}

pub(crate) async fn middle(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let path = request.path().to_owned();
    around(
        &path,
        next.call(request),
        |status| Err(InternalError::new("in its place", code(status)).into()),
        |response| match response {
            Ok(response) => response.status().as_u16(),
            Err(error) => error.as_response_error().status_code().as_u16(),
        },
    )
    .await
}

/// Serves the application until the process ends.
pub(crate) fn serve(settings: Settings, tell: impl FnOnce(SocketAddr)) {
    actix_web::rt::System::new().block_on(async {
        with_settings!(settings, middleware(), |middleware| {
            let server = HttpServer::new(move || {
                App::new()
                    .configure(configure(settings))
                    .wrap(from_fn(middle))
                    .wrap(middleware.clone())
            })
            .workers(2)
            // By default, a handler keeps running after its client has hung up.
            .h1_allow_half_closed(false)
            .disable_signals()
            .bind("127.0.0.1:0")
            .expect("binds");
            tell(server.addrs()[0]);
            server.run().await.expect("serves");
        });
    });
}
