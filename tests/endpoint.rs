//! The endpoint over a real socket: routes, methods, headers, compression, the live view,
//! the allow list, and an application whose runtime is blocked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use instrument_runtime::{Exporter, instrumented};
use instrument_tests::alone;
use instrument_tests::page::{Page, scrape};

#[instrumented(endpoint = "/blocked", method = "GET")]
async fn blocked(release: std::sync::Arc<std::sync::Barrier>, entered: mpsc::Sender<()>) {
    entered.send(()).expect("somebody counts");
    release.wait();
}

fn exchange(addr: SocketAddr, request: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(addr).expect("connects");
    stream
        .set_read_timeout(Some(instrument_tests::DEADLINE))
        .expect("a time-out");
    stream.write_all(request.as_bytes()).expect("sends");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let split = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8_lossy(&answer[..split]).to_lowercase();
    (head, answer[split + 4..].to_vec())
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")
}

fn routes(addr: SocketAddr) {
    for (method, path, status) in [
        ("GET", "/metrics", "200"),
        ("GET", "/metrics?name=x", "200"),
        ("GET", "/health", "200"),
        ("POST", "/metrics", "405"),
        ("DELETE", "/health", "405"),
        ("GET", "/", "200"),
        ("GET", "/?x", "200"),
        ("POST", "/", "405"),
        ("GET", "/metrics/", "404"),
        ("GET", "/favicon.ico", "404"),
    ] {
        let (head, body) = exchange(addr, &request(method, path, ""));
        assert!(
            head.starts_with(&format!("http/1.1 {status}")),
            "{method} {path}: {head}"
        );
        assert!(!body.is_empty(), "{method} {path}");
        if status == "405" {
            assert!(head.contains("allow: get, head"), "{head}");
        }
    }
}

fn page_headers(addr: SocketAddr) {
    let (head, body) = exchange(addr, &request("GET", "/metrics", ""));
    assert!(
        head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    assert!(!head.contains("content-encoding"), "{head}");
    let plain = String::from_utf8(body).expect("text");
    assert_eq!(Page::parse(&plain).series("instrument_scrapes_total"), 1);

    let (head, body) = exchange(addr, &request("HEAD", "/metrics", ""));
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(body.is_empty(), "HEAD has no body");

    let (head, body) = exchange(
        addr,
        &request("GET", "/metrics", "accept-encoding: gzip\r\n"),
    );
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert!(head.contains("vary: accept, accept-encoding"), "{head}");
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&body[..])
        .read_to_string(&mut unpacked)
        .expect("gzip");
    assert!(unpacked.contains("instrument_scrapes_total"));
}

fn live_view(addr: SocketAddr) {
    let (head, body) = exchange(addr, &request("GET", "/", ""));
    for expected in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; script-src 'sha256-",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        "vary: accept-encoding",
    ] {
        assert!(head.contains(expected), "{expected}: {head}");
    }
    assert!(!head.contains("content-encoding"), "{head}");
    let plain = String::from_utf8(body).expect("text");
    assert!(plain.starts_with("<!doctype html>"), "{plain}");

    let (of_head, body) = exchange(addr, &request("HEAD", "/", ""));
    let length = format!("content-length: {}", plain.len());
    assert!(
        of_head.starts_with("http/1.1 200") && of_head.contains(&length),
        "{of_head}"
    );
    assert!(of_head.contains("content-security-policy"), "{of_head}");
    assert!(body.is_empty(), "HEAD has no body");

    let (head, body) = exchange(addr, &request("GET", "/", "accept-encoding: gzip\r\n"));
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert!(body.len() < 12 * 1024, "{} bytes", body.len());
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&body[..])
        .read_to_string(&mut unpacked)
        .expect("gzip");
    assert_eq!(unpacked, plain);

    let (_, body) = exchange(addr, &request("GET", "/favicon.ico", ""));
    let text = String::from_utf8(body).expect("text");
    assert!(text.contains("the live view is at /"), "{text}");
}

fn starved(addr: SocketAddr) {
    const WORKERS: usize = 2;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .build()
        .expect("a runtime");
    let release = std::sync::Arc::new(std::sync::Barrier::new(WORKERS + 1));
    let (entered, all_entered) = mpsc::channel();
    for _ in 0..WORKERS {
        runtime.spawn(blocked(release.clone(), entered.clone()));
    }
    for _ in 0..WORKERS {
        all_entered
            .recv_timeout(instrument_tests::DEADLINE)
            .expect("every worker is blocked");
    }
    let asked = Instant::now();
    let page = scrape(addr).expect("a page");
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "took {:?}",
        asked.elapsed()
    );
    assert_eq!(
        page.value("requests_in_progress", &[("endpoint", "/blocked")]),
        Some(WORKERS as f64)
    );
    release.wait();
}

fn shut_down(exporter: &Exporter, addr: SocketAddr) {
    // The shutdown closes idle connections too.
    let mut idle = TcpStream::connect(addr).expect("connects");
    idle.set_read_timeout(Some(instrument_tests::DEADLINE))
        .expect("a time-out");
    futures::executor::block_on(exporter.shutdown());
    assert_eq!(idle.read(&mut [0; 8]).unwrap_or(0), 0);
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn the_endpoint_answers_as_it_should() {
    let exporter = instrument_runtime::builder("endpoint")
        .listen(([127, 0, 0, 1], 0))
        .allow("127.0.0.1")
        .install()
        .expect("installs outside any runtime");
    let addr = exporter.local_addr().expect("a TCP listener");
    routes(addr);
    page_headers(addr);
    live_view(addr);
    starved(addr);
    shut_down(&exporter, addr);
}

/// Runs in a separate process, because it needs another installation.
#[test]
fn others_are_refused() {
    alone("others_are_refused", || {
        let exporter = instrument_runtime::builder("closed")
            .listen(([127, 0, 0, 1], 0))
            .allow("10.0.0.0/8")
            .install()
            .expect("installs");
        let addr = exporter.local_addr().expect("a TCP listener");
        for path in ["/metrics", "/", "/health", "/nowhere"] {
            let (head, _) = exchange(addr, &request("GET", path, ""));
            assert!(head.starts_with("http/1.1 403"), "{path}: {head}");
        }
    });
}

/// Runs in a separate process, because it needs another installation.
#[test]
fn the_live_view_can_be_turned_off() {
    alone("the_live_view_can_be_turned_off", || {
        let exporter = instrument_runtime::builder("viewless")
            .listen(([127, 0, 0, 1], 0))
            .without_live_view()
            .install()
            .expect("installs");
        let addr = exporter.local_addr().expect("a TCP listener");
        for (path, status) in [("/", "404"), ("/metrics", "200"), ("/health", "200")] {
            let (head, body) = exchange(addr, &request("GET", path, ""));
            assert!(
                head.starts_with(&format!("http/1.1 {status}")),
                "{path}: {head}"
            );
            let text = String::from_utf8(body).expect("text");
            assert!(!text.contains("live view"), "{text}");
        }
    });
}
