//! What the three applications share: the handlers whose arguments do not depend on a
//! framework, and the middleware around every handler.

use std::future::pending;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use instrument_runtime::{HttpStatus, Outcome, instrumented};
use tokio::sync::Semaphore;

/// Lists the handlers with their paths, for `GET` and `HEAD`. The macro `$with` turns
/// them into routes.
macro_rules! routes {
    ($with:ident) => {
        $with! {
            "/plain" => plain;
            "/named" => named;
            "/quiet" => quiet;
            "/missing" => missing;
            "/broken" => broken;
            "/mapped" => mapped;
            "/mapped/away" => mapped_away;
            "/early" => early;
            "/guarded" => guarded;
            "/slow" => slow;
            "/slow/named" => slow_named;
            "/slow/quiet" => slow_quiet;
            "/checked" => checked;
            "/checked/named" => checked_named;
            "/helped" => helped;
            "/helped/quiet" => helped_quiet;
            "/audited" => audited;
            "/caught" => caught;
            "/caught/quiet" => panics_quiet;
            "/panics" => panics;
            "/panics/within" => panics_within;
            "/panics/quiet" => panics_quiet;
            "/gone/before" => gone_before;
            "/gone/in" => gone_in;
            "/gone/within" => gone_within;
            "/gone/in/quiet" => gone_in_quiet;
            "/gone/after" => gone_after;
            "/stream" => stream;
            "/stream/whole" => stream_whole;
            "/stream/fails" => stream_fails;
            "/stream/panics" => stream_panics;
            "/upgrade" => upgrade;
            "/redirect" => redirect;
            "/nothing-to-say" => nothing_to_say;
            "/large" => large;
            "/judged" => judged;
            "/judged/missing" => judged_missing;
        }
    };
}
pub(crate) use routes;

/// A response that is independent of the framework.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) header: Option<(&'static str, &'static str)>,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Text(String),
    /// The first chunk is sent at once.
    Chunks(&'static str, Then),
}

/// What follows the first chunk of a body, once the client has released it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// Nothing, not even the end.
    Never,
    /// A second chunk, and the end.
    Chunk(&'static str),
    Error,
    Panic,
}

/// The number of bodies that may send what follows their first chunk.
pub(crate) static RELEASED: Semaphore = Semaphore::const_new(0);

/// Returns the chunks of a body.
pub(crate) fn chunks(
    first: &'static str,
    then: Then,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let second = async move {
        // A body that never ends must not take the permit of a later one.
        if !matches!(then, Then::Never) {
            RELEASED.acquire().await.expect("never closed").forget();
        }
        match then {
            Then::Never => pending().await,
            Then::Chunk(second) => Ok(Bytes::from(second)),
            Then::Error => Err(io::Error::other("on purpose")),
            Then::Panic => panic!("on purpose"),
        }
    };
    futures::stream::iter([Ok(Bytes::from(first))]).chain(futures::stream::once(second))
}

impl Answer {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self {
            status: 200,
            header: None,
            body: Body::Text(text.into()),
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::text("")
        }
    }
}

impl HttpStatus for Answer {
    fn http_status(&self) -> u16 {
        self.status
    }
}

/// An error that knows its status.
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) u16);

impl HttpStatus for Problem {
    fn http_status(&self) -> u16 {
        self.0
    }
}

/// An error that every framework answers with 500. Only actix-web's `ResponseError` gives the
/// type a status.
#[derive(Debug)]
pub(crate) struct Opaque;

#[instrumented(handler)]
pub(crate) async fn plain() -> String {
    tokio::task::yield_now().await;
    "plain".to_owned()
}

#[instrumented(handler, endpoint = "/a/name", method = "GET")]
pub(crate) async fn named() -> Answer {
    Answer::text("named")
}

pub(crate) async fn quiet() -> Answer {
    Answer::text("quiet")
}

#[instrumented(handler)]
pub(crate) async fn missing() -> Result<Answer, Problem> {
    Err(Problem(404))
}

#[instrumented(handler)]
pub(crate) async fn broken() -> Result<Answer, Opaque> {
    Err(Opaque)
}

#[instrumented(handler)]
pub(crate) async fn mapped() -> Result<Answer, Opaque> {
    Err(Opaque)
}

#[instrumented(handler)]
pub(crate) async fn mapped_away() -> Result<Answer, Opaque> {
    Err(Opaque)
}

#[instrumented(handler)]
pub(crate) async fn early() -> Result<Answer, Problem> {
    let number: u8 = "x".parse().map_err(|_| Problem(422))?;
    Ok(Answer::text(number.to_string()))
}

#[instrumented(handler)]
pub(crate) async fn guarded() -> Answer {
    unreachable!("the request is refused before")
}

#[instrumented(handler)]
pub(crate) async fn slow() -> Answer {
    pending().await
}

#[instrumented(
    handler,
    endpoint = "/slow/by/name",
    method = "GET",
    labels(plan = "free")
)]
pub(crate) async fn slow_named() -> Answer {
    pending().await
}

pub(crate) async fn slow_quiet() -> Answer {
    pending().await
}

#[instrumented(handler)]
pub(crate) async fn checked() -> String {
    "checked".to_owned()
}

#[instrumented(handler, endpoint = "/checked/by/name", method = "GET")]
pub(crate) async fn checked_named() -> Answer {
    Answer::text("checked")
}

/// Looks like a handler: its arguments and its return type let a framework call it.
#[instrumented(labels(kind = kind))]
async fn check(kind: String) -> Result<String, Problem> {
    tokio::task::yield_now().await;
    Ok(kind)
}

#[instrumented(handler)]
pub(crate) async fn helped() -> Answer {
    let one = price("one").await;
    let two = stock(2).await;
    Answer::text(format!("{one} {two}"))
}

/// Cannot be the handler of a request, because no framework passes a borrowed argument.
#[instrumented]
async fn price(item: &str) -> String {
    tokio::task::yield_now().await;
    match item {
        "priceless" => panic!("on purpose"),
        "later" => {
            reached();
            pending().await
        }
        _ => item.to_owned(),
    }
}

#[instrumented]
async fn stock(item: u8) -> String {
    item.to_string()
}

pub(crate) async fn helped_quiet() -> Answer {
    Answer::text(price("quiet").await)
}

#[instrumented(handler)]
pub(crate) async fn audited() -> Answer {
    Answer::text(price("audited").await)
}

#[instrumented]
async fn audit(status: &u16) -> String {
    status.to_string()
}

#[instrumented(handler)]
pub(crate) async fn caught() -> Answer {
    tokio::task::yield_now().await;
    panic!("on purpose")
}

#[instrumented(handler)]
pub(crate) async fn panics() -> Answer {
    tokio::task::yield_now().await;
    panic!("on purpose")
}

pub(crate) async fn panics_quiet() -> Answer {
    panic!("on purpose")
}

#[instrumented(handler)]
pub(crate) async fn panics_within() -> Answer {
    Answer::text(price("priceless").await)
}

#[instrumented(handler)]
pub(crate) async fn gone_before() -> Answer {
    unreachable!("the client is gone")
}

#[instrumented(handler)]
pub(crate) async fn gone_in() -> Answer {
    reached();
    pending().await
}

#[instrumented(handler, labels(kind = "patient"))]
pub(crate) async fn gone_within() -> Answer {
    Answer::text(price("later").await)
}

pub(crate) async fn gone_in_quiet() -> Answer {
    reached();
    pending().await
}

#[instrumented(handler)]
pub(crate) async fn gone_after() -> Answer {
    Answer::text("never sent")
}

/// Answers with a body whose first chunk is sent at once.
fn chunked(then: Then) -> Answer {
    Answer {
        body: Body::Chunks("first", then),
        ..Answer::status(200)
    }
}

#[instrumented(handler)]
pub(crate) async fn stream() -> Answer {
    chunked(Then::Never)
}

#[instrumented(handler)]
pub(crate) async fn stream_whole() -> Answer {
    chunked(Then::Chunk("second"))
}

#[instrumented(handler)]
pub(crate) async fn stream_fails() -> Answer {
    chunked(Then::Error)
}

#[instrumented(handler)]
pub(crate) async fn stream_panics() -> Answer {
    chunked(Then::Panic)
}

#[instrumented(handler)]
pub(crate) async fn upgrade() -> Answer {
    Answer {
        header: Some(("upgrade", "websocket")),
        ..Answer::status(101)
    }
}

#[instrumented(handler)]
pub(crate) async fn redirect() -> Answer {
    Answer {
        header: Some(("location", "/plain")),
        ..Answer::status(303)
    }
}

#[instrumented(handler)]
pub(crate) async fn nothing_to_say() -> Answer {
    Answer::status(204)
}

pub(crate) const LARGE: usize = 1 << 20;

#[instrumented(handler)]
pub(crate) async fn large() -> Answer {
    Answer::text("x".repeat(LARGE))
}

/// Always answers 200, also for errors, as some protocols do.
#[instrumented(handler, outcome = |_: &Answer| Outcome::Error)]
pub(crate) async fn judged() -> Answer {
    Answer::text("sorry")
}

#[instrumented(handler, outcome = |_: &Answer| Outcome::Ok)]
pub(crate) async fn judged_missing() -> Answer {
    Answer::status(404)
}

/// The fallback for paths that a nested router does not match.
#[instrumented(handler)]
pub(crate) async fn fallback() -> Answer {
    Answer::status(404)
}

/// Runs under two layers, one inside the other.
#[instrumented(handler)]
pub(crate) async fn twice() -> Answer {
    Answer::text("twice")
}

pub(crate) async fn twice_quiet() -> Answer {
    Answer::text("twice")
}

/// The number of requests that have reached the point where their client hangs up.
pub(crate) static REACHED: AtomicUsize = AtomicUsize::new(0);

fn reached() {
    REACHED.fetch_add(1, Ordering::Relaxed);
}

/// The middleware around every handler, inside the layer. It may answer instead of the
/// handler, or change the handler's answer.
pub(crate) async fn around<R>(
    path: &str,
    handler: impl Future<Output = R>,
    answer: impl Fn(u16) -> R,
    status: impl Fn(&R) -> u16,
) -> R {
    match path {
        "/guarded" => answer(401),
        "/slow" | "/slow/named" | "/slow/quiet" => {
            let time_out = Duration::from_millis(20);
            match tokio::time::timeout(time_out, handler).await {
                Ok(response) => response,
                Err(_) => answer(408),
            }
        }
        "/mapped" | "/mapped/away" => {
            let response = handler.await;
            match (status(&response), path) {
                (500, "/mapped") => answer(502),
                (500, _) => answer(404),
                _ => response,
            }
        }
        "/checked" | "/checked/named" => match check("token".to_owned()).await {
            Ok(_) => handler.await,
            Err(problem) => answer(problem.0),
        },
        "/audited" => {
            let response = handler.await;
            audit(&status(&response)).await;
            response
        }
        "/caught" | "/caught/quiet" => match AssertUnwindSafe(handler).catch_unwind().await {
            Ok(response) => response,
            Err(_) => answer(500),
        },
        "/gone/before" => {
            reached();
            pending::<()>().await;
            handler.await
        }
        "/gone/after" => {
            let response = handler.await;
            reached();
            pending::<()>().await;
            response
        }
        _ => handler.await,
    }
}
