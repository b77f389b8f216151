//! The service. One attribute on the `impl` block instruments all its methods.
//!
//! The attribute needs no arguments: the layer knows the endpoint and the gRPC status.

use std::pin::Pin;

use instrument_runtime::instrumented;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::proto::greeter_server::Greeter;
use crate::proto::{HelloReply, HelloRequest};

pub(crate) struct Service;

#[instrumented]
#[tonic::async_trait]
impl Greeter for Service {
    type KeepGreetingStream = Pin<Box<dyn Stream<Item = Result<HelloReply, Status>> + Send>>;

    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        Ok(Response::new(greeting(request.get_ref())?))
    }

    async fn keep_greeting(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<Self::KeepGreetingStream>, Status> {
        let request = request.into_inner();
        let greeting = greeting(&request)?;
        let greetings = (0..request.times).map(move |_| Ok(greeting.clone()));
        Ok(Response::new(Box::pin(tokio_stream::iter(greetings))))
    }
}

fn greeting(request: &HelloRequest) -> Result<HelloReply, Status> {
    if request.name.is_empty() {
        return Err(Status::invalid_argument("`name` must not be empty"));
    }
    Ok(HelloReply {
        message: format!("Hello, {}!", request.name),
    })
}
