//! Requests that end with the body of their response, on real servers, with clients that
//! read everything, that leave at any byte, and with bodies that fail.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use instrument_runtime::{Exporter, actix_web as on_actix, axum as on_axum, tower as on_tower};
use instrument_tests::page::Page;
use instrument_tests::random::Random;
use instrument_tests::{in_ci, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

const CHUNK: usize = 64 * 1024;
/// The size of a download, 10 MB.
const SIZE: usize = 160 * CHUNK;
/// A server can be this far ahead of a client: the largest send buffer of Linux and the
/// receive buffer of the client.
const AHEAD: usize = 5 * 1024 * 1024;

type Chunks = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// Returns the body of a path.
fn chunks(path: &str) -> Chunks {
    let chunk = Bytes::from_static(&[b'x'; CHUNK]);
    match path {
        "/download" => Box::pin(stream::iter(vec![chunk; SIZE / CHUNK]).map(Ok)),
        "/events" => Box::pin(stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok(Bytes::from_static(b"data: tick\n\n")), ()))
        })),
        "/fails" => {
            let error = std::io::Error::other("on purpose");
            Box::pin(stream::iter([Ok(chunk.clone()), Ok(chunk), Err(error)]))
        }
        other => panic!("no body for {other}"),
    }
}

const PATHS: [&str; 3] = ["/download", "/events", "/fails"];

fn serve_axum(tell: impl FnOnce(SocketAddr)) {
    let mut app = axum::Router::new();
    for path in PATHS {
        let handler = move || async move { axum::body::Body::from_stream(chunks(path)) };
        app = app.route(path, axum::routing::get(handler));
    }
    let app = app.layer(on_axum::layer().until_body_end().label("on", |_| "axum"));
    runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        tell(listener.local_addr().expect("an address"));
        axum::serve(listener, app).await.expect("serves");
    });
}

fn serve_actix(tell: impl FnOnce(SocketAddr)) {
    use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

    async fn handler(request: HttpRequest) -> HttpResponse {
        HttpResponse::Ok().streaming(chunks(request.path()))
    }

    actix_web::rt::System::new().block_on(async {
        let server = HttpServer::new(|| {
            let middleware = on_actix::middleware().until_body_end();
            let mut app = App::new().wrap(middleware.label("on", |_| "actix-web"));
            for path in PATHS {
                app = app.route(path, web::get().to(handler));
            }
            app
        });
        let server = server.workers(1).bind("127.0.0.1:0").expect("a port");
        tell(server.addrs()[0]);
        server.run().await.expect("serves");
    });
}

fn serve_tower(tell: impl FnOnce(SocketAddr)) {
    let service = tower::ServiceBuilder::new()
        .layer(on_tower::layer().until_body_end().label("on", |_| "tower"))
        .service_fn(async |request: http::Request<hyper::body::Incoming>| {
            on_tower::set_matched_route(request.uri().path().to_owned());
            let frames = chunks(request.uri().path()).map(|chunk| chunk.map(Frame::data));
            Ok::<_, Infallible>(http::Response::new(StreamBody::new(frames)))
        });
    runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        tell(listener.local_addr().expect("an address"));
        loop {
            let (stream, _) = listener.accept().await.expect("a client");
            let service = hyper_util::service::TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let io = hyper_util::rt::TokioIo::new(stream);
                let http = hyper::server::conn::http1::Builder::new();
                // An error is the client's end, or that of the body.
                let _ = http.serve_connection(io, service).await;
            });
        }
    });
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Starts a server on a thread that runs until the process ends.
fn start(serve: fn(Box<dyn FnOnce(SocketAddr) + Send>)) -> SocketAddr {
    let (tell, told) = mpsc::channel();
    let tell = move |addr| tell.send(addr).expect("the test waits");
    thread::spawn(move || serve(Box::new(tell)));
    told.recv().expect("an address")
}

/// Asks for `path` and reads up to `most` bytes. Returns whether the body was complete.
async fn get(addr: SocketAddr, path: &str, most: usize) -> bool {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(CHUNK as u32).expect("a buffer");
    let mut stream = socket.connect(addr).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sends");
    let mut buffer = vec![0; CHUNK];
    let mut read = 0;
    let mut end = Vec::new();
    while read < most {
        let step = buffer.len().min(most - read);
        match stream.read(&mut buffer[..step]).await {
            Ok(0) | Err(_) => break,
            Ok(bytes) => {
                read += bytes;
                end = buffer[..bytes].to_vec();
            }
        }
    }
    // The last chunk of the transfer coding.
    end.ends_with(b"0\r\n\r\n")
}

/// The requests of one endpoint and framework by outcome, and those in progress.
fn counted(exporter: &Exporter, on: &str, endpoint: &str) -> (u64, u64, u64, u64) {
    let page = Page::parse(&exporter.render());
    let of = |name, outcome| {
        let labels = [("on", on), ("endpoint", endpoint)];
        let mut labels = labels.to_vec();
        labels.extend(outcome);
        page.sum(name, &labels) as u64
    };
    let requests = |outcome| of("requests_total", Some(("outcome", outcome)));
    for outcome in ["ok", "cancelled", "error"] {
        let latency = of("request_latency_seconds_count", Some(("outcome", outcome)));
        let status = [("on", on), ("endpoint", endpoint), ("outcome", outcome)];
        assert_eq!(latency, requests(outcome), "{on} {endpoint}");
        let with_status = [status.as_slice(), &[("http_status", "200")]].concat();
        let sent = page.sum("requests_total", &with_status) as u64;
        assert_eq!(
            sent,
            requests(outcome),
            "{on} {endpoint}: the status that was sent"
        );
    }
    (
        requests("ok"),
        requests("cancelled"),
        requests("error"),
        of("requests_in_progress", None),
    )
}

#[test]
fn a_request_ends_with_its_body() {
    let exporter = instrument_runtime::builder("bodies")
        .without_listener()
        .install()
        .expect("installs");
    let is_long = in_ci() || std::env::var_os("LONG_TESTS").is_some();
    let clients = if is_long { 1_000 } else { 100 };
    let runtime = runtime();
    thread::scope(|scope| {
        for (on, serve) in [
            ("axum", serve_axum as fn(Box<dyn FnOnce(SocketAddr) + Send>)),
            ("actix-web", serve_actix),
            ("tower", serve_tower),
        ] {
            let (exporter, runtime) = (&exporter, &runtime);
            scope.spawn(move || {
                let addr = start(serve);
                let mut random = Random::new(0x5EED);

                // Open streams are in progress.
                let open = runtime.spawn(get(addr, "/events", usize::MAX));
                let in_progress = || (counted(exporter, on, "/events").3 == 1).then_some(());
                wait_for("an open stream", in_progress);
                open.abort();

                // Clients that leave, many at once.
                let mut leaving = tokio::task::JoinSet::new();
                let (mut left_early, mut complete) = (0, 0);
                for number in 0..clients {
                    let most = random.below((SIZE + SIZE / 10) as u64) as usize;
                    left_early += u64::from(most + AHEAD < SIZE);
                    leaving.spawn_on(get(addr, "/download", most), runtime.handle());
                    let most = random.below(2_000) as usize;
                    leaving.spawn_on(get(addr, "/events", most), runtime.handle());
                    if number % 10 == 0 {
                        leaving.spawn_on(get(addr, "/fails", usize::MAX), runtime.handle());
                    }
                    while leaving.len() >= 20 {
                        let one = runtime.block_on(leaving.join_next());
                        complete += u64::from(one.expect("a client").expect("no panic"));
                    }
                }
                for one in runtime.block_on(leaving.join_all()) {
                    complete += u64::from(one);
                }
                let of_all = || {
                    let all = PATHS.map(|path| counted(exporter, on, path));
                    all.iter()
                        .all(|(.., in_progress)| *in_progress == 0)
                        .then_some(all)
                };
                let [downloads, events, failed] = wait_for("the end of all requests", of_all);

                let (ok, cancelled, error, _) = downloads;
                assert_eq!((ok + cancelled, error), (clients, 0), "{on}");
                assert!(complete > 0 && ok >= complete, "{on}: {ok} of {complete}");
                assert!(
                    left_early > 0 && cancelled >= left_early,
                    "{on}: {cancelled} of {left_early}"
                );
                assert_eq!(events, (0, clients + 1, 0, 0), "{on}");
                assert_eq!(failed, (0, 0, clients.div_ceil(10), 0), "{on}");
            });
        }
    });
}
