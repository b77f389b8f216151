//! The page for a route of the application's own.

use std::sync::OnceLock;

use http::HeaderMap;
use hyper::body::Bytes;
use tokio::sync::Mutex;

use crate::exporter::render;
use crate::exporter::renders::gzip;
use crate::exporter::respond::accepts_gzip;
use crate::recorder::Page;

static PAGE: OnceLock<Page> = OnceLock::new();
/// One page is made at a time, however many ask.
static RENDERING: Mutex<()> = Mutex::const_new(());

pub(crate) const NOT_INSTALLED: &str =
    "503: no metrics; call `instrument_runtime::init` at the start of the program\n";

pub(crate) fn set(page: Page) {
    // A process has one installation.
    let _ = PAGE.set(page);
}

pub(crate) struct Encoded {
    pub(crate) body: Bytes,
    pub(crate) is_gzip: bool,
}

/// `None` while nothing is installed.
pub(crate) async fn encoded(accepts_gzip: bool) -> Option<Encoded> {
    let page = PAGE.get()?;
    let _one_at_a_time = RENDERING.lock().await;
    let render = move || {
        let body = Bytes::from(render(page));
        match accepts_gzip.then(|| gzip(&body)).flatten() {
            Some(body) => Encoded {
                body,
                is_gzip: true,
            },
            None => Encoded {
                body,
                is_gzip: false,
            },
        }
    };
    // Off the workers that answer requests.
    tokio::task::spawn_blocking(render).await.ok()
}

/// What a handler's request asks for.
pub(crate) async fn asked_for(headers: &HeaderMap) -> Option<Encoded> {
    encoded(accepts_gzip(headers)).await
}
