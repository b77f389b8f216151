//! A thousand clients hang up at random times: every request that arrived is counted
//! once, and none stays in progress.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use futures::StreamExt;
use instrument_runtime::{Exporter, instrumented};
use instrument_tests::page::Page;
use instrument_tests::wait_for;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CLIENTS: u64 = 1_000;
const AT_ONCE: usize = 32;

#[instrumented(endpoint = "/pause", method = "GET")]
async fn pause() -> &'static str {
    tokio::time::sleep(Duration::from_millis(3)).await;
    lookup(3).await;
    "rested"
}

#[instrumented]
async fn lookup(pauses: u8) -> Vec<u8> {
    for _ in 0..pauses {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Vec::new()
}

#[instrumented(handler)]
async fn upload(body: Bytes) -> String {
    body.len().to_string()
}

async fn quiet() -> &'static str {
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    "quiet"
}

static ARRIVED: AtomicU64 = AtomicU64::new(0);

/// Middleware outside the layer. It polls the layer at once, so each arrived request has
/// started.
async fn arrives(request: Request, next: Next) -> Response {
    ARRIVED.fetch_add(1, Ordering::Relaxed);
    next.run(request).await
}

fn app() -> Router {
    Router::new()
        .route("/pause", get(pause))
        .route("/upload", post(upload))
        .route("/quiet", get(quiet))
        .layer(instrument_runtime::axum::layer())
        .layer(from_fn(arrives))
}

/// Runs one client. Its number decides what it sends, how much of it, and how long it
/// waits before it hangs up.
async fn client(addr: SocketAddr, number: u64) {
    // splitmix64
    let mut random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    random = (random ^ (random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    random = (random ^ (random >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    random ^= random >> 31;
    let mut below = |bound: u64| {
        let value = random % bound;
        random /= bound;
        value
    };

    let request = match below(4) {
        0 => "GET /pause HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        1 => "GET /quiet HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        2 => "GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        _ => format!(
            "POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{}",
            "x".repeat(1_000)
        ),
    };
    let sent = match below(4) {
        0 => below(request.len() as u64) as usize,
        _ => request.len(),
    };
    let wait = Duration::from_micros(below(10_000));
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    // The server may have closed the connection.
    let _ = stream.write_all(&request.as_bytes()[..sent]).await;
    let mut answer = [0; 512];
    let _ = tokio::time::timeout(wait, stream.read(&mut answer)).await;
}

#[test]
fn whatever_arrived_is_counted_once() {
    let exporter = instrument_runtime::builder("hang_ups")
        .without_listener()
        .install()
        .expect("installs");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("binds");
        let addr = listener.local_addr().expect("an address");
        tokio::spawn(async { axum::serve(listener, app()).await });
        let clients = futures::stream::iter(0..CLIENTS);
        let all = clients.for_each_concurrent(AT_ONCE, |number| client(addr, number));
        tokio::time::timeout(instrument_tests::DEADLINE, all)
            .await
            .expect("all clients end");
    });

    let page = wait_for("the requests that arrived to be counted", || {
        let page = Page::parse(&exporter.render());
        is_settled(&page).then_some(page)
    });
    // The clients behaved differently, so there are several outcomes.
    for outcome in ["ok", "cancelled"] {
        let count = page.sum("requests_total", &[("outcome", outcome)]);
        assert!(count > 20.0, "{count} are {outcome}");
    }
    drop(runtime);
    assert_same_afterwards(&exporter, &page);
}

fn is_settled(page: &Page) -> bool {
    let arrived = ARRIVED.load(Ordering::Relaxed) as f64;
    of_requests(page, "requests_total") == arrived
        && of_requests(page, "request_latency_seconds_count") == arrived
        && page
            .samples("requests_in_progress")
            .all(|(_, value)| value == 0.0)
}

/// Returns the sum over all series except those of `lookup`, which have no method.
fn of_requests(page: &Page, name: &str) -> f64 {
    let samples = page.samples(name);
    let of_requests = samples.filter(|(labels, _)| labels.contains_key("method"));
    of_requests.map(|(_, value)| value).sum()
}

fn assert_same_afterwards(exporter: &Exporter, page: &Page) {
    let after = Page::parse(&exporter.render());
    assert!(is_settled(&after));
    assert_eq!(
        of_requests(&after, "requests_total"),
        of_requests(page, "requests_total"),
        "no request was counted afterwards"
    );
}
