//! A gRPC server under its layer: each call is counted once, with the status that
//! went out.

#[path = "requests/counted.rs"]
mod counted;

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, BufMut};
use counted::Counted;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt, stream};
use http::uri::PathAndQuery;
use instrument_runtime::{Exporter, instrumented};
use instrument_tests::DEADLINE;
use instrument_tests::page::Page;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status};
use tower::Service;

/// Messages that are their own text.
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

/// How many calls have come to where their client gives up.
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

    /// On the way, so never the call itself.
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

    /// Not annotated, but what it calls is.
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

    /// As to some other service, with a request of its own.
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
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("an address"));
        let incoming = incoming.expect("binds");
        let addr = incoming.local_addr().expect("an address");
        let server = Server::builder()
            .layer(instrument_runtime::tonic::layer())
            .add_service(Echo);
        tokio::spawn(server.serve_with_incoming(incoming));
        let endpoint = Channel::from_shared(format!("http://{addr}")).expect("an address");
        Self {
            channel: endpoint.connect().await.expect("connects"),
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

    /// `lines` are as [`Counted::add`] takes them.
    async fn counted(&mut self, lines: &[&str]) {
        self.expected.add(lines);
        let found = || Counted::of(&self.exporter.render());
        let deadline = std::time::Instant::now() + DEADLINE;
        while !found().is(&self.expected) {
            let difference = found().difference(&self.expected);
            assert!(std::time::Instant::now() < deadline, "{difference}");
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

    // Nobody annotated it: its path is believed once it has answered well.
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
}

/// Counted at their ends.
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
