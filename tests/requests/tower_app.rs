//! The test application on plain hyper, with a hand-written router.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;

use futures::StreamExt;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use instrument_runtime::instrumented;
use instrument_runtime::tower::{layer, set_matched_route};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::handlers::{self, Answer, Body, Opaque, Problem, around, chunks, routes};
use crate::settings::{Settings, with_settings};

type BoxBody = UnsyncBoxBody<Bytes, io::Error>;

/// Converts a handler's return value into an answer.
trait Answers {
    fn answer(self) -> Answer;
}

impl Answers for Answer {
    fn answer(self) -> Answer {
        self
    }
}

impl Answers for String {
    fn answer(self) -> Answer {
        Answer::text(self)
    }
}

impl Answers for Problem {
    fn answer(self) -> Answer {
        Answer::status(self.0)
    }
}

impl Answers for Opaque {
    fn answer(self) -> Answer {
        Answer::status(500)
    }
}

impl<T: Answers, E: Answers> Answers for Result<T, E> {
    fn answer(self) -> Answer {
        match self {
            Ok(value) => value.answer(),
            Err(error) => error.answer(),
        }
    }
}

fn response(answer: Answer) -> Response<BoxBody> {
    let body = match answer.body {
        Body::Text(text) => {
            let never = |never: Infallible| match never {};
            Full::from(text).map_err(never).boxed_unsync()
        }
        Body::Chunks(first, then) => {
            let frames = chunks(first, then).map(|chunk| chunk.map(Frame::data));
            StreamBody::new(frames).boxed_unsync()
        }
    };
    let mut response = Response::builder().status(answer.status);
    if let Some((name, value)) = answer.header {
        response = response.header(name, value);
    }
    response.body(body).expect("a response")
}

#[instrumented(handler)]
async fn user(id: u32) -> Answer {
    Answer::text(id.to_string())
}

#[instrumented(handler, labels(tenant = tenant, plan = "free"))]
async fn own(tenant: String) -> Result<String, Problem> {
    if tenant == "nobody" {
        return Err(Problem(403));
    }
    Ok(tenant)
}

#[instrumented(endpoint = "/create", method = "POST")]
async fn create(value: serde_json::Value) -> Answer {
    Answer {
        status: 201,
        ..Answer::text(value.to_string())
    }
}

#[instrumented(handler)]
async fn upload(body: Bytes) -> String {
    body.len().to_string()
}

macro_rules! fixed_routes {
    ($($path:literal => $handler:ident;)*) => {
        /// Answers requests for the routes without parameters.
        async fn fixed(path: &str) -> Option<Answer> {
            match path {
                $($path => Some(handlers::$handler().await.answer()),)*
                _ => None,
            }
        }

        const FIXED: &[&str] = &[$($path),*];
    };
}
routes!(fixed_routes);

/// Returns the route that a path matches.
fn route(path: &str) -> Option<&'static str> {
    if let Some(fixed) = FIXED.iter().find(|fixed| **fixed == path) {
        return Some(fixed);
    }
    let segments: Vec<_> = path.split('/').skip(1).collect();
    Some(match segments[..] {
        ["users", id] if !id.is_empty() => "/users/{id}",
        ["quiet", id] if !id.is_empty() => "/quiet/{id}",
        ["own", tenant] if !tenant.is_empty() => "/own/{tenant}",
        ["create"] => "/create",
        ["upload"] => "/upload",
        ["api", "items", id] if !id.is_empty() => "/api/items/{id}",
        ["twice", "bare"] => "/twice/bare",
        ["twice", "quiet"] => "/twice/quiet",
        _ => return None,
    })
}

async fn handle<B>(request: Request<B>, route: Option<&'static str>, settings: Settings) -> Answer
where
    B: HttpBody<Data = Bytes>,
{
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let is_allowed = match route {
        Some("/create" | "/upload") => parts.method == Method::POST,
        Some(_) => matches!(parts.method, Method::GET | Method::HEAD),
        None => true,
    };
    if !is_allowed {
        return Answer::status(405);
    }
    let read = async || match body.collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(_) => Err(Problem(400)),
    };
    let parameter = path.rsplit('/').next().unwrap_or_default();
    match route {
        Some("/users/{id}" | "/api/items/{id}") => match parameter.parse() {
            Ok(id) => user(id).await,
            Err(_) => Answer::status(400),
        },
        Some("/quiet/{id}") => match parameter.parse::<u32>() {
            Ok(id) => Answer::text(id.to_string()),
            Err(_) => Answer::status(400),
        },
        Some("/own/{tenant}") => own(parameter.to_owned()).await.answer(),
        Some("/create") => match read().await.map(|body| serde_json::from_slice(&body)) {
            Ok(Ok(value)) => create(value).await,
            _ => Answer::status(400),
        },
        Some("/upload") => match read().await {
            Ok(body) => upload(body).await.answer(),
            Err(problem) => problem.answer(),
        },
        Some(route @ ("/twice/bare" | "/twice/quiet")) => twice(route, parts, settings).await,
        Some(route) => fixed(route).await.unwrap_or(Answer::status(404)),
        None if path.starts_with("/api/") => handlers::fallback().await,
        None => Answer::status(404),
    }
}

/// Applies a second layer inside the layer.
async fn twice(route: &'static str, parts: http::request::Parts, settings: Settings) -> Answer {
    let inner = service_fn(async |_request: Request<()>| {
        set_matched_route("/not/the/first/word");
        Ok::<_, Infallible>(response(match route {
            "/twice/bare" => handlers::twice().await,
            _ => handlers::twice_quiet().await,
        }))
    });
    let request = Request::from_parts(parts, ());
    let (status, body) = with_settings!(settings, layer(), |layer| {
        let inner = ServiceBuilder::new().layer(layer).service(inner);
        let Ok(response) = inner.oneshot(request).await;
        let status = response.status().as_u16();
        (status, response.into_body().collect().await)
    });
    let body = body.expect("a body").to_bytes();
    Answer {
        status,
        ..Answer::text(String::from_utf8_lossy(&body))
    }
}

pub(crate) async fn answer<B>(
    request: Request<B>,
    settings: Settings,
) -> Result<Response<BoxBody>, Infallible>
where
    B: HttpBody<Data = Bytes>,
{
    let path = request.uri().path().to_owned();
    let route = route(&path);
    if let Some(route) = route {
        set_matched_route(route);
    }
    let handled = handle(request, route, settings);
    let answer = around(&path, handled, Answer::status, |answer| answer.status);
    Ok(response(answer.await))
}

/// Serves the application until the process ends.
pub(crate) fn serve(settings: Settings, tell: impl FnOnce(SocketAddr)) {
    let app = service_fn(move |request: Request<Incoming>| answer(request, settings));
    with_settings!(settings, layer(), |layer| {
        accept(tell, ServiceBuilder::new().layer(layer).service(app));
    });
}

/// Serves each connection with a clone of `service`.
fn accept<S, B>(tell: impl FnOnce(SocketAddr), service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: HttpBody<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    crate::runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("binds");
        tell(listener.local_addr().expect("an address"));
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            let service = TowerToHyperService::new(service.clone());
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A failed connection concerns only its client.
            tokio::spawn(async move { drop(connection.await) });
        }
    });
}
