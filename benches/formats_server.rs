//! A small HTTP server for the pages of the other libraries.
//!
//! It works as our exporter does: hyper on a thread of its own, which also renders and
//! compresses, with the same compression level. It chooses the format by the media type
//! only, and has no limits and no timeouts.

use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::{Arc, mpsc};
use std::thread;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Format;

/// Renders the page in one of the library's formats.
pub(crate) type Render = dyn Fn(Format) -> Result<Vec<u8>> + Send + Sync;

/// Starts the server, and returns its port.
pub(crate) fn start(render: Arc<Render>) -> Result<u16> {
    let (started, port) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime for the server");
        runtime.block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
            let listener = listener.expect("a free port");
            let address = listener.local_addr().expect("an address");
            started.send(address.port()).expect("a waiting caller");
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let render = Arc::clone(&render);
                let service = service_fn(move |request| {
                    let response = respond(&request, &*render);
                    async { response }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async {
                    if let Err(error) = connection.await {
                        eprintln!("a response failed: {:#}", anyhow::Error::from(error));
                    }
                });
            }
        });
    });
    port.recv().context("the server did not start")
}

fn respond(request: &Request<Incoming>, render: &Render) -> Result<Response<Full<Bytes>>> {
    let has = |name, value: &str| {
        let header = request.headers().get(name).map(HeaderValue::as_bytes);
        header.is_some_and(|header| header.starts_with(value.as_bytes()))
    };
    let format = Format::ALL
        .into_iter()
        .find(|format| has(ACCEPT, format.media_type()))
        .context("the request asks for no known format")?;
    let page = render(format)?;
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    if has(ACCEPT_ENCODING, "gzip") {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        *response.body_mut() = gzip(&page)?.into();
    } else {
        *response.body_mut() = page.into();
    }
    Ok(response)
}

fn gzip(page: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(page)?;
    Ok(encoder.finish()?)
}
