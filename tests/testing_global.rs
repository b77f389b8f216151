//! The recording of the whole process, for a server whose tasks a test cannot wrap.
//! Several tests share it.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use http::StatusCode;
use instrument_runtime::testing::Recording;
use instrument_runtime::{InitError, instrumented};
use instrument_tests::wait_for;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[instrumented]
async fn order(Path(id): Path<u32>) -> Result<String, StatusCode> {
    // A task that the test does not know about.
    let checked = tokio::spawn(check(id)).await.expect("no panic");
    checked.map(|id| format!("order {id}"))
}

#[instrumented(endpoint = "check of an order")]
async fn check(id: u32) -> Result<u32, StatusCode> {
    match id {
        0 => Err(StatusCode::NOT_FOUND),
        1 => std::future::pending().await,
        _ => Ok(id),
    }
}

/// Starts a server with its own runtime and threads, which runs until the process ends.
fn serve() -> SocketAddr {
    let (send, receive) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .expect("a port");
            send.send(listener.local_addr().expect("its address"))
                .expect("the test waits");
            let app = Router::new()
                .route("/orders/{id}", get(order))
                .layer(instrument_runtime::axum::layer());
            axum::serve(listener, app).await.expect("serves");
        });
    });
    receive.recv().expect("the server starts")
}

async fn ask(addr: SocketAddr, id: u32) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    let request = format!("GET /orders/{id} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sends");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_over_loopback_is_recorded() {
    let recording = Recording::global().expect("no other recorder");
    let addr = serve();
    let endpoint = ("endpoint", "/orders/{id}");

    let before = recording.snapshot();
    for (id, status) in [(7, "200"), (8, "200"), (0, "404")] {
        let mut answer = String::new();
        let mut stream = ask(addr, id).await;
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let answered = recording.snapshot();
    let added = answered.since(&before);
    added.assert_requests(&[endpoint, ("http_status", "200"), ("outcome", "ok")], 2);
    added.assert_requests(&[endpoint, ("http_status", "404")], 1);
    added.assert_requests(&[endpoint, ("method", "GET")], 3);
    added.assert_requests(&[("endpoint", "check of an order")], 3);
    assert_eq!(added.latency(&[endpoint]).count, 3);
    added.assert_in_progress(&[endpoint], 0);

    let hangs_up = ask(addr, 1).await;
    let wait = |what: &str, is_so: &dyn Fn() -> bool| {
        tokio::task::block_in_place(|| wait_for(what, || is_so().then_some(())));
    };
    wait("the call", &|| recording.in_progress(&[endpoint]) == 1);
    drop(hangs_up);
    wait("its end", &|| recording.in_progress(&[endpoint]) == 0);
    let cancelled = recording.snapshot().since(&answered);
    cancelled.assert_requests(&[endpoint, ("outcome", "cancelled")], 1);
    cancelled.assert_requests(&[endpoint], 1);
}

#[instrumented(endpoint = "/shared", labels(number = number))]
async fn shared(number: u64) {
    tokio::task::yield_now().await;
}

#[test]
fn there_is_one_for_all_threads_and_tests() {
    let threads = (0..4).map(|number| {
        thread::spawn(move || {
            let recording = Recording::global().expect("no other recorder");
            let number_label = number.to_string();
            let own = [("endpoint", "/shared"), ("number", &*number_label)];
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            for _ in 0..20 {
                let before = recording.snapshot();
                runtime.block_on(async {
                    for _ in 0..=number {
                        tokio::spawn(shared(number)).await.expect("no panic");
                    }
                });
                let added = recording.snapshot().since(&before);
                added.assert_requests(&own, number + 1);
                added.assert_in_progress(&own, 0);
            }
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().expect("no panic");
    }
    let recording = Recording::global().expect("no other recorder");
    recording.assert_requests(&[("endpoint", "/shared")], 20 * (1 + 2 + 3 + 4));
}

#[instrumented(endpoint = "/local")]
async fn local() {}

#[tokio::test]
async fn what_another_recording_takes_is_not_in_it() {
    let global = Recording::global().expect("no other recorder");
    let recording = Recording::new();
    for round in 1..=3 {
        local().await;
        recording
            .scope(async {
                local().await;
                local().await;
                // The innermost scope takes the call, so this call is in `global`.
                global.scope(local()).await;
            })
            .await;
        recording.assert_requests(&[], 2 * round);
        global.assert_requests(&[("endpoint", "/local")], 2 * round);
        global.assert_in_progress(&[("endpoint", "/local")], 0);
    }
}

#[test]
fn no_other_recorder_can_come_after_it() {
    Recording::global().expect("no other recorder");
    let refused = instrument_runtime::builder("late")
        .without_listener()
        .install();
    assert!(matches!(refused, Err(InitError::AlreadyInstalled)));
    Recording::global().expect("the same as before");
}
