//! A gRPC service with metrics, and a client that calls it, in one program.
//!
//! `cargo run -p greeter` runs until Ctrl+C or SIGTERM. After it has started, it calls its
//! own service a few times, so that the metrics contain some calls.
//!
//! `GREETER_ADDR` sets the address of the service (default: `127.0.0.1:50051`). The metrics
//! are on `http://127.0.0.1:9464/metrics`.

mod service;
// Both examples wait for the same signals.
#[path = "../../webapp/src/shutdown.rs"]
mod shutdown;

/// The code generated from `proto/greeter.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod proto {
    tonic::include_proto!("greeter");
}

use anyhow::Context;
use proto::HelloRequest;
use proto::greeter_client::GreeterClient;
use proto::greeter_server::GreeterServer;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let exporter = instrument_runtime::init("greeter_1")?;

    let addr = std::env::var("GREETER_ADDR").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
    let listener = TcpListener::bind(&addr).await.with_context(|| {
        format!("cannot listen on {addr}; set GREETER_ADDR to another host:port")
    })?;
    let addr = listener.local_addr()?;
    println!("greeter_1 listens on http://{addr}");

    let server = Server::builder()
        .layer(instrument_runtime::tonic::layer())
        .add_service(GreeterServer::new(service::Service))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown::signal());
    let server = tokio::spawn(server);

    call(format!("http://{addr}")).await?;
    if let Some(metrics) = exporter.local_addr() {
        println!("see how the calls were counted: curl http://{metrics}/metrics");
    }

    server.await??;
    exporter.shutdown().await;
    println!("greeter_1 has stopped");
    Ok(())
}

/// Calls every method, and one of them also with an invalid request.
async fn call(url: String) -> anyhow::Result<()> {
    let mut client = GreeterClient::connect(url).await?;
    let request = |name: &str, times| HelloRequest {
        name: name.to_owned(),
        times,
    };
    let reply = client.say_hello(request("Ada", 1)).await?;
    println!("SayHello returned: {}", reply.into_inner().message);
    if let Err(status) = client.say_hello(request("", 1)).await {
        println!("SayHello refused an empty name: {}", status.message());
    }
    let mut greetings = client.keep_greeting(request("Ada", 3)).await?.into_inner();
    while let Some(reply) = greetings.message().await? {
        println!("KeepGreeting returned: {}", reply.message);
    }
    Ok(())
}
