//! Sends one push: connects, sends the request, and reads the response.

use std::error::Error;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::error::PushError;
use crate::page::format::Format;
use crate::push::gateway::Gateway;

/// The time limit for one push, from the DNS lookup to the end of the response.
pub(crate) const PUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum number of bytes of an error response's body that are reported. The gateway
/// may quote whole series in the body.
const MOST_REASON: usize = 1024;

/// Replaces the metrics of the group at `path` with this page.
///
/// # Errors
///
/// Returns an error that names the gateway and the group, and says what failed.
pub(crate) async fn put(gateway: &Gateway, path: &str, page: String) -> Result<(), PushError> {
    let answer = timeout(PUSH_TIMEOUT, answered(gateway, path, page)).await;
    answer
        .unwrap_or_else(|_| {
            Err(Failed::without_answer(format!(
                "no answer within {PUSH_TIMEOUT:?}"
            )))
        })
        .map_err(|Failed { problem, status }| {
            PushError::new(format!("{gateway}{path}"), problem, status)
        })
}

struct Failed {
    problem: String,
    status: Option<u16>,
}

impl Failed {
    fn without_answer(problem: String) -> Self {
        Self {
            problem,
            status: None,
        }
    }
}

async fn answered(gateway: &Gateway, path: &str, page: String) -> Result<(), Failed> {
    let mut request = Request::builder()
        .method(Method::PUT)
        .uri(format!("{}{path}", gateway.prefix))
        .header(HOST, &gateway.host_header)
        .header(CONTENT_TYPE, Format::DEFAULT.content_type());
    if let Some(authorization) = &gateway.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let request = request.body(Full::new(Bytes::from(page)));
    let request = request.map_err(|error| Failed::without_answer(chain(&error)))?;

    let stream = TcpStream::connect((&*gateway.host, gateway.port)).await;
    let stream =
        stream.map_err(|error| Failed::without_answer(format!("cannot connect: {error}")))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Failed::without_answer(chain(&error)))?;
    // Dropping the set aborts the task. So the connection is closed when this push ends, even
    // if the timeout cancels the push.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await;
    let response = response.map_err(|error| Failed::without_answer(chain(&error)))?;
    if response.status().is_success() {
        Ok(())
    } else {
        Err(Failed {
            status: Some(response.status().as_u16()),
            problem: refusal(response).await,
        })
    }
}

/// Returns the status of an error response, and the reason in the response's body.
async fn refusal(response: Response<Incoming>) -> String {
    let status = response.status();
    let mut body = response.into_body();
    let mut reason = Vec::new();
    while reason.len() < MOST_REASON {
        let Some(Ok(frame)) = body.frame().await else {
            break;
        };
        reason.extend(frame.into_data().unwrap_or_default());
    }
    reason.truncate(MOST_REASON);
    match String::from_utf8_lossy(&reason).trim() {
        "" => status.to_string(),
        reason => format!("{status}: {reason}"),
    }
}

/// Returns the error followed by its sources.
fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
