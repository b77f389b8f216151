//! [`Application`]: a server with the live view, whose metrics the test writes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A request for the metrics: its headers.
pub type Request = HeaderMap;

/// An application with the live view at `/live` and metrics at `/metrics`, which are what the
/// test sets.
#[derive(Debug)]
pub struct Application {
    addr: SocketAddr,
    page: Arc<Mutex<Page>>,
    /// `None` while the application is stopped.
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Page {
    status: StatusCode,
    media_type: &'static str,
    text: String,
    requests: Vec<Request>,
}

impl Application {
    /// Starts an application with this page of metrics.
    #[must_use]
    pub fn start(text: &str) -> Self {
        let page = Page {
            status: StatusCode::OK,
            media_type: "text/plain; version=0.0.4; charset=utf-8",
            text: text.to_owned(),
            requests: Vec::new(),
        };
        let mut application = Self {
            addr: ([127, 0, 0, 1], 0).into(),
            page: Arc::new(Mutex::new(page)),
            runtime: None,
        };
        application.restart();
        application
    }

    /// Stops the application: its port is closed.
    pub fn stop(&mut self) {
        self.runtime = None;
    }

    /// Starts the application again, on the same port.
    ///
    /// # Panics
    ///
    /// Panics if the port is taken.
    pub fn restart(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(self.addr));
        let listener = listener.expect("a free port");
        self.addr = listener.local_addr().expect("its address");
        let app = Router::new()
            .route("/live", get(instrument_runtime::axum::live_view))
            .route("/metrics", get(metrics))
            .with_state(Arc::clone(&self.page));
        runtime.spawn(async move { axum::serve(listener, app).await });
        self.runtime = Some(runtime);
    }

    /// Returns the URL of the live view.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/live", self.addr)
    }

    /// Sets the page of metrics.
    pub fn set(&self, text: impl Into<String>) {
        self.page().text = text.into();
    }

    /// Sets the status of the page of metrics.
    ///
    /// # Panics
    ///
    /// Panics if there is no such status.
    pub fn set_status(&self, status: u16) {
        self.page().status = StatusCode::from_u16(status).expect("a status");
    }

    /// Sets the media type of the page of metrics.
    pub fn set_media_type(&self, media_type: &'static str) {
        self.page().media_type = media_type;
    }

    /// Returns the requests for the page of metrics so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.page().requests.clone()
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn metrics(State(page): State<Arc<Mutex<Page>>>, headers: HeaderMap) -> Response {
    let mut page = page.lock().unwrap_or_else(PoisonError::into_inner);
    page.requests.push(headers);
    (
        page.status,
        [(header::CONTENT_TYPE, page.media_type)],
        page.text.clone(),
    )
        .into_response()
}
