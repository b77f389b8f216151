//! A gRPC server with its layer: each gRPC call, each gRPC-Web call and each plain HTTP
//! request is counted once, with the status that was sent.

#[allow(dead_code, reason = "only a part is used here")]
#[path = "requests/counted.rs"]
mod counted;

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body as AxumBody;
use axum::routing::get;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::{Buf, BufMut};
use counted::Counted;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt, stream};
use http::uri::PathAndQuery;
use instrument_runtime::{Exporter, instrumented};
use instrument_tests::DEADLINE;
use instrument_tests::page::Page;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status};
use tonic_web::{GrpcWebCall, GrpcWebClientLayer, GrpcWebLayer};
use tower::{Service, ServiceBuilder};

/// A codec whose messages are plain text.
#[derive(Clone, Copy, Debug)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let mut bytes = vec![0; source.remaining()];
        source.copy_to_slice(&mut bytes);
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Status::invalid_argument("no text"))
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;

/// The number of calls that have reached the point where their client gives up.
static REACHED: AtomicUsize = AtomicUsize::new(0);

fn reached() {
    REACHED.fetch_add(1, Ordering::Relaxed);
}

#[derive(Clone, Debug)]
struct Echo;

impl Echo {
    #[instrumented]
    async fn say(&self, request: Request<String>) -> Result<Response<String>, Status> {
        let name = self.lookup(request.get_ref()).await;
        match request.get_ref().as_str() {
            "nobody" => Err(Status::not_found(name)),
            "broken" => Err(Status::internal(name)),
            "panic" => panic!("on purpose"),
            "wait" => {
                reached();
                pending().await
            }
            _ => Ok(Response::new(name)),
        }
    }

    /// A helper that is called during a gRPC call, never its handler.
    #[instrumented]
    async fn lookup(&self, name: &str) -> String {
        format!("hello {name}")
    }

    #[instrumented(endpoint = "/by/name", labels(kind = "named"))]
    async fn named(&self, _request: Request<String>) -> Result<Response<String>, Status> {
        Ok(Response::new("named".to_owned()))
    }

    async fn quiet(&self, request: Request<String>) -> Result<Response<String>, Status> {
        match request.get_ref().as_str() {
            "nobody" => Err(Status::not_found("")),
            _ => Ok(Response::new("quiet".to_owned())),
        }
    }

    /// Not annotated itself, but calls an annotated function.
    async fn helped(&self, request: Request<String>) -> Result<Response<String>, Status> {
        let name = self.load(request.into_inner()).await?;
        self.forward(Request::new(name)).await
    }

    #[instrumented(labels(kind = "load"))]
    async fn load(&self, id: String) -> Result<String, Status> {
        match id.as_str() {
            "nobody" => Err(Status::not_found(id)),
            _ => Ok(id),
        }
    }

    /// Behaves like a call to another service, because it has its own `Request`.
    #[instrumented(labels(kind = "forward"))]
    async fn forward(&self, request: Request<String>) -> Result<Response<String>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    #[instrumented]
    async fn count(&self, request: Request<String>) -> Result<Response<Answers>, Status> {
        let numbers = stream::iter(["1", "2", "3"].map(|number| Ok(number.to_owned())));
        Ok(Response::new(match request.get_ref().as_str() {
            "refused" => return Err(Status::permission_denied("")),
            "broken" => numbers
                .chain(stream::iter([Err(Status::data_loss(""))]))
                .boxed(),
            "endless" => numbers.chain(stream::pending()).boxed(),
            "panic" => numbers
                .chain(stream::poll_fn(|_| panic!("on purpose")))
                .boxed(),
            _ => numbers.boxed(),
        }))
    }
}

struct Unary<F>(F);

impl<F, A> UnaryService<String> for Unary<F>
where
    F: Fn(Request<String>) -> A,
    A: Future<Output = Result<Response<String>, Status>>,
{
    type Response = String;
    type Future = A;

    fn call(&mut self, request: Request<String>) -> A {
        (self.0)(request)
    }
}

struct Streaming;

impl ServerStreamingService<String> for Streaming {
    type Response = String;
    type ResponseStream = Answers;
    type Future = BoxFuture<'static, Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        Box::pin(async { Echo.count(request).await })
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(Text);
            Ok(match request.uri().path() {
                "/test.Echo/Say" => {
                    let method = Unary(|request| async { Echo.say(request).await });
                    grpc.unary(method, request).await
                }
                "/test.Echo/Named" => {
                    let method = Unary(|request| async { Echo.named(request).await });
                    grpc.unary(method, request).await
                }
                "/test.Echo/Quiet" => {
                    let method = Unary(|request| async { Echo.quiet(request).await });
                    grpc.unary(method, request).await
                }
                "/test.Echo/Late" => {
                    let method = Unary(|request| async { Echo.quiet(request).await });
                    grpc.unary(method, request).await
                }
                "/test.Echo/Helped" => {
                    let method = Unary(|request| async { Echo.helped(request).await });
                    grpc.unary(method, request).await
                }
                "/test.Echo/Count" => grpc.server_streaming(Streaming, request).await,
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

/// Binds a free port for another server.
fn bind() -> (TcpIncoming, SocketAddr) {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("an address"));
    let incoming = incoming.expect("binds");
    let addr = incoming.local_addr().expect("an address");
    (incoming, addr)
}

async fn connect(addr: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{addr}")).expect("an address");
    endpoint.connect().await.expect("connects")
}

struct Calls {
    channel: Channel,
    exporter: Exporter,
    expected: Counted,
}

impl Calls {
    async fn start() -> Self {
        let exporter = instrument_runtime::builder("requests")
            .without_listener()
            .install()
            .expect("installs");
        let (incoming, addr) = bind();
        let server = Server::builder()
            .layer(instrument_runtime::tonic::layer())
            .add_service(Echo);
        tokio::spawn(server.serve_with_incoming(incoming));
        Self {
            channel: connect(addr).await,
            exporter,
            expected: Counted::default(),
        }
    }

    async fn client(&self) -> tonic::client::Grpc<Channel> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.expect("a connection");
        client
    }

    async fn unary(&self, path: &'static str, message: &str) -> Result<String, Code> {
        let path = PathAndQuery::from_static(path);
        let request = Request::new(message.to_owned());
        let answer = self.client().await.unary(request, path, Text).await;
        answer
            .map(Response::into_inner)
            .map_err(|status| status.code())
    }

    async fn count(&self, message: &str) -> Result<tonic::Streaming<String>, Code> {
        let path = PathAndQuery::from_static("/test.Echo/Count");
        let request = Request::new(message.to_owned());
        let answer = self
            .client()
            .await
            .server_streaming(request, path, Text)
            .await;
        answer
            .map(Response::into_inner)
            .map_err(|status| status.code())
    }

    /// Checks the counts. `lines` has the format of [`Counted::add`].
    async fn counted(&mut self, lines: &[&str]) {
        self.expected.add(lines);
        let difference = || Counted::of(&self.exporter.render()).difference(&self.expected);
        let deadline = std::time::Instant::now() + DEADLINE;
        while !difference().is_empty() {
            let is_late = std::time::Instant::now() > deadline;
            assert!(!is_late, "{:#?}", difference());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

async fn wait_for_reached(count: usize) {
    let wait = async {
        while REACHED.load(Ordering::Relaxed) < count {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait)
        .await
        .expect("the call arrives");
}

#[tokio::test]
async fn each_call_is_counted_once() {
    let mut calls = Calls::start().await;

    assert_eq!(
        calls.unary("/test.Echo/Say", "you").await.as_deref(),
        Ok("hello you")
    );
    let lookup = "- lookup - ok";
    calls
        .counted(&[lookup, "POST /test.Echo/Say - ok grpc_status=OK"])
        .await;

    for (message, code, line) in [
        (
            "nobody",
            Code::NotFound,
            "POST /test.Echo/Say - client_error grpc_status=NOT_FOUND",
        ),
        (
            "broken",
            Code::Internal,
            "POST /test.Echo/Say - error grpc_status=INTERNAL",
        ),
    ] {
        assert_eq!(calls.unary("/test.Echo/Say", message).await, Err(code));
        calls.counted(&[lookup, line]).await;
    }

    assert!(calls.unary("/test.Echo/Named", "").await.is_ok());
    calls
        .counted(&["POST /by/name - ok kind=named grpc_status=OK"])
        .await;

    // Not annotated: the path becomes the endpoint after a first successful answer.
    assert_eq!(
        calls.unary("/test.Echo/Quiet", "nobody").await,
        Err(Code::NotFound)
    );
    assert!(calls.unary("/test.Echo/Quiet", "").await.is_ok());
    assert_eq!(
        calls.unary("/test.Echo/Quiet", "nobody").await,
        Err(Code::NotFound)
    );
    calls
        .counted(&[
            "POST unmatched - client_error grpc_status=NOT_FOUND",
            "POST /test.Echo/Quiet - ok grpc_status=OK",
            "POST /test.Echo/Quiet - client_error grpc_status=NOT_FOUND",
        ])
        .await;

    for path in [
        "/test.Echo/Nothing",
        "/test.Nobody/Say",
        "/x",
        "/test.Echo/Say/more",
    ] {
        assert_eq!(
            calls.unary(path, "").await,
            Err(Code::Unimplemented),
            "{path}"
        );
        calls
            .counted(&["POST unmatched - error grpc_status=UNIMPLEMENTED"])
            .await;
    }

    assert!(calls.unary("/test.Echo/Helped", "you").await.is_ok());
    calls
        .counted(&[
            "- load - ok kind=load",
            "- forward - ok kind=forward grpc_status=OK",
            "POST /test.Echo/Helped - ok grpc_status=OK",
        ])
        .await;
    assert_eq!(
        calls.unary("/test.Echo/Helped", "nobody").await,
        Err(Code::NotFound)
    );
    calls
        .counted(&[
            "- load - client_error kind=load grpc_status=NOT_FOUND",
            "POST /test.Echo/Helped - client_error grpc_status=NOT_FOUND",
        ])
        .await;

    streams(&mut calls).await;
    never_answered(&mut calls).await;
    grpc_web(&mut calls).await;
    without_grpc(&mut calls).await;
}

/// Streams are counted when they end.
async fn streams(calls: &mut Calls) {
    let mut answers = calls.count("").await.expect("a stream");
    let mut messages = Vec::new();
    while let Some(message) = answers.message().await.expect("a message") {
        messages.push(message);
    }
    assert_eq!(messages, ["1", "2", "3"]);
    calls
        .counted(&["POST /test.Echo/Count - ok grpc_status=OK"])
        .await;

    let mut answers = calls.count("broken").await.expect("a stream");
    for _ in 0..3 {
        assert!(answers.message().await.is_ok());
    }
    let status = answers.message().await.expect_err("its end");
    assert_eq!(status.code(), Code::DataLoss);
    calls
        .counted(&["POST /test.Echo/Count - error grpc_status=DATA_LOSS"])
        .await;

    assert_eq!(
        calls.count("refused").await.err(),
        Some(Code::PermissionDenied)
    );
    calls
        .counted(&["POST /test.Echo/Count - client_error grpc_status=PERMISSION_DENIED"])
        .await;

    let mut answers = calls.count("endless").await.expect("a stream");
    assert!(answers.message().await.is_ok());
    let page = Page::parse(&calls.exporter.render());
    let labels = [("endpoint", "/test.Echo/Count")];
    assert_eq!(page.value("requests_in_progress", &labels), Some(1.0));
    drop(answers);
    calls
        .counted(&["POST /test.Echo/Count - cancelled grpc_status=CANCELLED"])
        .await;

    let mut answers = calls.count("panic").await.expect("a stream");
    while let Ok(Some(_)) = answers.message().await {}
    calls
        .counted(&["POST /test.Echo/Count - panicked grpc_status=INTERNAL"])
        .await;
}

async fn never_answered(calls: &mut Calls) {
    let lookup = "- lookup - ok";
    {
        let mut call = std::pin::pin!(calls.unary("/test.Echo/Say", "wait"));
        tokio::select! {
            answer = &mut call => panic!("{answer:?}"),
            () = wait_for_reached(1) => {}
        }
    }
    calls
        .counted(&[
            lookup,
            "POST /test.Echo/Say - cancelled grpc_status=CANCELLED",
        ])
        .await;

    assert!(calls.unary("/test.Echo/Say", "panic").await.is_err());
    calls
        .counted(&[
            lookup,
            "POST /test.Echo/Say - panicked grpc_status=INTERNAL",
        ])
        .await;
}

/// In gRPC-Web, the status is in the last frame of the body.
async fn grpc_web(calls: &mut Calls) {
    let (incoming, addr) = bind();
    let server = Server::builder()
        .accept_http1(true)
        .layer(instrument_runtime::tonic::layer())
        .layer(GrpcWebLayer::new())
        .add_service(Echo);
    tokio::spawn(server.serve_with_incoming(incoming));

    let lookup = "- lookup - ok";
    for (message, status, line) in [
        ("you", 0, "POST /test.Echo/Say - ok grpc_status=OK"),
        (
            "nobody",
            5,
            "POST /test.Echo/Say - client_error grpc_status=NOT_FOUND",
        ),
    ] {
        for is_text in [false, true] {
            let body = web_call(addr, "/test.Echo/Say", message, is_text).await;
            if status == 0 {
                let trailers = web_frame(0x80, "grpc-status:0\r\n");
                let expected = [web_frame(0, "hello you"), trailers].concat();
                assert_eq!(body, expected, "as the service made it");
            }
            calls.counted(&[lookup, line]).await;
        }
    }
    for (message, line) in [
        ("", "POST /test.Echo/Count - ok grpc_status=OK"),
        (
            "broken",
            "POST /test.Echo/Count - error grpc_status=DATA_LOSS",
        ),
    ] {
        for is_text in [false, true] {
            let body = web_call(addr, "/test.Echo/Count", message, is_text).await;
            let messages = ["1", "2", "3"].map(|number| web_frame(0, number)).concat();
            assert!(body.starts_with(&messages));
            calls.counted(&[line]).await;
        }
    }
    // No plain gRPC call has used this path before.
    web_call(addr, "/test.Echo/Late", "", true).await;
    calls
        .counted(&["POST /test.Echo/Late - ok grpc_status=OK"])
        .await;
    let status = web_status(addr, "GET", "/test.Echo/Say").await;
    assert_eq!(status, 405);
    calls
        .counted(&["GET /test.Echo/Say - error grpc_status=UNKNOWN"])
        .await;

    let channel = ServiceBuilder::new()
        .layer(GrpcWebClientLayer::new())
        .map_request(|request: http::Request<GrpcWebCall<Body>>| request.map(Body::new))
        .service(connect(addr).await);
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("a connection");
    let path = PathAndQuery::from_static("/test.Echo/Count");
    let request = Request::new("endless".to_owned());
    let answer = client.server_streaming(request, path, Text).await;
    let mut answers = answer.expect("a stream").into_inner();
    assert_eq!(
        answers.message().await.expect("a message").as_deref(),
        Some("1")
    );
    drop(answers);
    calls
        .counted(&["POST /test.Echo/Count - cancelled grpc_status=CANCELLED"])
        .await;
}

fn web_frame(flags: u8, payload: &str) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short one");
    [&[flags], &length.to_be_bytes()[..], payload.as_bytes()].concat()
}

/// Returns the decoded body of the answer.
async fn web_call(addr: SocketAddr, path: &str, message: &str, is_text: bool) -> Vec<u8> {
    let url = format!("http://{addr}{path}");
    let mut body = web_frame(0, message);
    let mut content_type = "application/grpc-web+proto";
    if is_text {
        body = BASE64_STANDARD.encode(body).into();
        content_type = "application/grpc-web-text+proto";
    }
    let call = move || {
        let request = ureq::post(url).header("accept", content_type);
        let request = request.content_type(content_type);
        let mut answer = request.send(&body).expect("an answer");
        answer.body_mut().read_to_vec().expect("a body")
    };
    let body = tokio::task::spawn_blocking(call).await.expect("a call");
    if !is_text {
        return body;
    }
    // The body is a sequence of base64 texts, each with its own padding.
    let mut decoded = Vec::new();
    for four in body.chunks(4) {
        decoded.extend(BASE64_STANDARD.decode(four).expect("base64"));
    }
    decoded
}

async fn web_status(addr: SocketAddr, method: &'static str, path: &str) -> u16 {
    let request = http::Request::builder()
        .method(method)
        .uri(format!("http://{addr}{path}"))
        .header("content-type", "application/grpc-web")
        .body(())
        .expect("a request");
    status(request).await
}

async fn status(request: http::Request<()>) -> u16 {
    let send = move || {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = ureq::Agent::from(config.build());
        agent.run(request).expect("an answer").status().as_u16()
    };
    tokio::task::spawn_blocking(send).await.expect("a request")
}

/// Plain HTTP routes beside the services.
async fn without_grpc(calls: &mut Calls) {
    let plain = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/empty", get(|| async {}))
        .route(
            "/broken",
            get(|| async { http::StatusCode::SERVICE_UNAVAILABLE }),
        )
        .route("/empty/grpc", get(|| async { without_status("") }))
        .route("/cut/off", get(|| async { without_status("\0\0\0\0\0") }))
        .route("/endless", get(endless))
        .route("/users/{id}", get(user))
        .route("/panics", get(panics))
        .route("/waits", get(waits));
    let named = Router::new()
        .route("/named/{id}", get(|| async { "ok" }))
        .layer(instrument_runtime::axum::layer());
    let routes = || Routes::new(Echo).into_axum_router().merge(plain.clone());

    // The layer around the router, and the layer on its routes.
    let (outside, without_route) = bind();
    let server = Server::builder()
        .accept_http1(true)
        .layer(instrument_runtime::tonic::layer())
        .add_routes(Routes::from(routes().merge(named)));
    tokio::spawn(server.serve_with_incoming(outside));
    let (inside, with_route) = bind();
    let router = routes().layer(instrument_runtime::tonic::layer());
    let server = Server::builder()
        .accept_http1(true)
        .add_routes(Routes::from(router));
    tokio::spawn(server.serve_with_incoming(inside));

    for (path, expected, end) in [
        ("/healthz", 200, "200 ok"),
        ("/empty", 200, "200 ok"),
        ("/broken", 503, "503 error"),
    ] {
        assert_eq!(get_status(without_route, path).await, expected);
        calls.counted(&[&format!("GET unmatched {end}")]).await;
        assert_eq!(get_status(with_route, path).await, expected);
        calls.counted(&[&format!("GET {path} {end}")]).await;
    }
    // These bodies end without a gRPC status, one at once and one after a frame.
    for path in ["/empty/grpc", "/cut/off"] {
        assert_eq!(get_status(without_route, path).await, 200);
        calls
            .counted(&["GET unmatched - error grpc_status=UNKNOWN"])
            .await;
    }
    // The annotated handlers get the route from the layer, or have their own endpoint.
    for id in [1, 2] {
        let path = format!("/users/{id}");
        assert_eq!(get_status(with_route, &path).await, 200);
        calls.counted(&["GET /users/{id} 200 ok"]).await;
    }
    assert_eq!(get_status(without_route, "/named/7").await, 200);
    calls.counted(&["GET /named/{id} 200 ok"]).await;

    // A plain HTTP request ends with the response head.
    let (mut reader, _writer) = raw(with_route, "/endless").await;
    read_to(&mut reader, "first").await;
    calls.counted(&["GET /endless 200 ok"]).await;

    let (mut reader, _writer) = raw(with_route, "/panics").await;
    assert_eq!(reader.read(&mut [0; 1]).await.expect("an end"), 0);
    calls.counted(&["GET /panics 500 panicked"]).await;

    let reached = REACHED.load(Ordering::Relaxed);
    let connection = raw(with_route, "/waits").await;
    wait_for_reached(reached + 1).await;
    drop(connection);
    calls.counted(&["GET /waits 499 cancelled"]).await;

    // gRPC calls are still counted, also for a service that does not exist.
    let mut client = Calls {
        channel: connect(with_route).await,
        exporter: calls.exporter.clone(),
        expected: Counted::default(),
    };
    assert!(client.unary("/test.Echo/Say", "you").await.is_ok());
    let missing = client.unary("/healthz", "").await;
    assert!(missing.is_err(), "{missing:?}");
    std::mem::swap(&mut client.expected, &mut calls.expected);
    client
        .counted(&[
            "- lookup - ok",
            "POST /test.Echo/Say - ok grpc_status=OK",
            "POST unmatched - error grpc_status=UNKNOWN",
        ])
        .await;
    std::mem::swap(&mut client.expected, &mut calls.expected);
}

#[instrumented(endpoint = "/users/{id}", method = "GET")]
async fn user() -> &'static str {
    "user"
}

fn without_status(body: &'static str) -> impl axum::response::IntoResponse {
    ([("content-type", "application/grpc-web+proto")], body)
}

async fn endless() -> AxumBody {
    let first = stream::iter([Ok::<_, Infallible>("first")]);
    AxumBody::from_stream(first.chain(stream::pending()))
}

async fn panics() {
    panic!("on purpose")
}

async fn waits() {
    reached();
    pending().await
}

async fn get_status(addr: SocketAddr, path: &str) -> u16 {
    let request = http::Request::get(format!("http://{addr}{path}")).body(());
    status(request.expect("a request")).await
}

/// Sends a request on its own connection, without reading the answer.
async fn raw(addr: SocketAddr, path: &str) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = TcpStream::connect(addr).await.expect("connects");
    let (reader, mut writer) = stream.into_split();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    writer.write_all(request.as_bytes()).await.expect("sends");
    (reader, writer)
}

async fn read_to(reader: &mut OwnedReadHalf, text: &str) {
    let mut seen = Vec::new();
    while !seen.ends_with(text.as_bytes()) {
        seen.push(reader.read_u8().await.expect("more"));
    }
}
