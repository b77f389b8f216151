//! The endpoint's response to each request.

use std::net::IpAddr;
use std::rc::Rc;

use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use hyper::{Method, Request, Response, StatusCode};
use tokio::task::yield_now;

use crate::discovery::departure::Scrape;
use crate::exporter::allow_list::AllowList;
use crate::exporter::connections::Answer;
use crate::exporter::joined_renders::{JoinedRenders, NoPage, Rendered};
use crate::live_view::{self, LiveView};
use crate::page::encoding::{Pieces, VARIES_BY, Whole, accepts_gzip};
use crate::page::format::Format;
use crate::page::panics::PANICKED;

const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// What the exporter answers besides the metrics, and whom it answers.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    pub(crate) allow: AllowList,
    /// `None` if the live view is turned off.
    pub(crate) view: Option<LiveView>,
}

/// Returns the response, together with the page and the scrape to keep until the response
/// is sent.
pub(crate) async fn respond(
    request: &Request<Incoming>,
    peer: Option<IpAddr>,
    routes: &Routes,
    renders: &JoinedRenders,
) -> (Response<Whole>, Answer) {
    let path = request.uri().path();
    let view = routes.view.as_ref().filter(|_| path == "/");
    let response = if !routes.allow.allows(peer) {
        text(
            StatusCode::FORBIDDEN,
            "403: the client's address is not on the allow list\n",
        )
    } else if path != "/metrics" && path != "/health" && view.is_none() {
        text(
            StatusCode::NOT_FOUND,
            if routes.view.is_some() {
                "404: not found; the metrics are at /metrics, and the live view is at /\n"
            } else {
                "404: not found; the metrics are at /metrics\n"
            },
        )
    } else if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "405: method not allowed; use GET or HEAD\n",
        );
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        response
    } else if let Some(view) = view {
        live(view, request)
    } else if path == "/health" {
        if renders.is_healthy() {
            text(StatusCode::OK, "ok\n")
        } else {
            text(
                StatusCode::SERVICE_UNAVAILABLE,
                "503: the last page could not be rendered; see the process's log for a panic \
                 message\n",
            )
        }
    } else {
        return scraped(request, renders).await;
    };
    (response, Answer::default())
}

async fn scraped(
    request: &Request<Incoming>,
    renders: &JoinedRenders,
) -> (Response<Whole>, Answer) {
    let stores = request.method() == Method::GET && !live_view::is_asking(request.headers());
    let scrape = stores.then(Scrape::begin);
    let accepts_gzip = accepts_gzip(request.headers());
    let format = Format::negotiate(request.headers());
    let response = match renders.next(format.dialect(), accepts_gzip).await {
        Ok(rendered) => {
            // Lets the runtime poll for I/O events, so that a peer that hung up during
            // the render is noticed.
            yield_now().await;
            let answer = Answer {
                page: Some(Rc::clone(&rendered)),
                scrape,
            };
            return (page(format, accepts_gzip, &rendered), answer);
        }
        Err(NoPage::Panicked) => text(StatusCode::INTERNAL_SERVER_ERROR, PANICKED),
        Err(NoPage::Ended) => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "503: the exporter is shutting down\n",
        ),
    };
    (response, Answer::default())
}

fn page(format: Format, accepts_gzip: bool, rendered: &Rendered) -> Response<Whole> {
    let body = rendered.encodings().body(accepts_gzip).clone();
    let mut response = Response::new(Whole::from(body));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(format.content_type()),
    );
    headers.insert(VARY, HeaderValue::from_static(VARIES_BY));
    if accepts_gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn live(view: &LiveView, request: &Request<Incoming>) -> Response<Whole> {
    let (headers, body) = view.answer(accepts_gzip(request.headers()));
    let mut response = Response::new(Whole::from(Pieces::from(vec![body])));
    for (name, value) in headers {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

fn text(status: StatusCode, body: &'static str) -> Response<Whole> {
    let body = vec![Bytes::from_static(body.as_bytes())];
    let mut response = Response::new(Whole::from(Pieces::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_TYPE));
    response
}
