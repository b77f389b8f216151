//! The annotated functions that are not handlers, and the execution of plans.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Response;
use instrument_runtime::tower::{layer, set_matched_route};
use instrument_runtime::{HttpStatus, instrumented};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tower::{Layer, ServiceExt, service_fn};

use crate::plan::{End, Helper, Request, Step, Way, What};
use crate::truth::{self, About, Handler, Protocol, track};

/// An error that every framework can turn into a response.
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) u16);

impl HttpStatus for Problem {
    fn http_status(&self) -> u16 {
        self.0
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl actix_web::ResponseError for Problem {
    fn status_code(&self) -> actix_web::http::StatusCode {
        actix_web::http::StatusCode::from_u16(self.0).expect("a status")
    }
}

impl axum::response::IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        axum::http::StatusCode::from_u16(self.0)
            .expect("a status")
            .into_response()
    }
}

/// The payload of a plan's panics, for which no backtrace is printed.
#[derive(Debug)]
pub(crate) struct OnPurpose;

thread_local! {
    /// The helper whose annotated function is about to be polled for the first time.
    static NEXT: RefCell<Option<Arc<Helper>>> = const { RefCell::new(None) };
    static SPAWNED: RefCell<Vec<JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
}

/// Waits for every spawned task. All of them end.
pub(crate) async fn join_spawned() {
    loop {
        let spawned = SPAWNED.take();
        if spawned.is_empty() {
            break;
        }
        for task in spawned {
            // Some tasks panic on purpose.
            let _ = task.await;
        }
    }
}

/// Adds a task that [`join_spawned`] waits for.
pub(crate) fn spawned(task: JoinHandle<()>) {
    SPAWNED.with_borrow_mut(|tasks| tasks.push(task));
}

/// Polls the future at most `at_most` times. Returns `None` if it is not ready by then.
pub(crate) async fn polls<F: Future + Unpin>(at_most: u8, future: &mut F) -> Option<F::Output> {
    let mut left = at_most;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = Pin::new(&mut *future).poll(context).map(Some);
        context.waker().wake_by_ref();
        polled
    })
    .await
}

/// Executes steps, one after the other.
pub(crate) fn run(steps: &[Step]) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        for step in steps {
            match step {
                Step::Yield => yield_now().await,
                Step::Call(helper, way) => call(helper, *way).await,
                Step::Ask { yields, at_most } => ask(*yields, *at_most).await,
            }
        }
    })
}

async fn call(helper: &Arc<Helper>, way: Way) {
    let mut call = start(Arc::clone(helper));
    match way {
        Way::Await => call.await,
        Way::Catch => {
            let _ = AssertUnwindSafe(call).catch_unwind().await;
        }
        Way::GiveUp(at_most) => {
            polls(at_most, &mut call).await;
        }
        Way::Spawn(at_most) => {
            if polls(at_most, &mut call).await.is_none() {
                spawned(tokio::spawn(Request::current().within(call)));
            }
        }
    }
}

/// Returns a future that stores the helper in `NEXT` and then calls its annotated
/// function.
fn start(helper: Arc<Helper>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let what = helper.what;
        NEXT.set(Some(helper));
        match what {
            What::Zero => drop(zero().await),
            What::Text => drop(text("text".to_owned()).await),
            What::Denied => drop(denied().await),
            What::Borrow => drop(borrow("text").await),
            What::List => drop(list(vec!["text".to_owned()]).await),
            What::Post => drop(post().await),
            What::Get => drop(get().await),
            What::Load => drop(Store.load(7).await),
        }
    })
}

/// The body of a helper.
async fn act() -> Result<(), Problem> {
    let helper = NEXT.take().expect("`start` has stored the helper");
    for _ in 0..helper.yields {
        yield_now().await;
    }
    run(&helper.inside).await;
    end(helper.end).await
}

pub(crate) async fn end(end: End) -> Result<(), Problem> {
    match end {
        End::Ok => Ok(()),
        End::Status(status) => Err(Problem(status)),
        End::Panic => std::panic::panic_any(OnPurpose),
        End::Never => pending().await,
    }
}

async fn text_of(about: &'static About) -> String {
    track(about, |_| truth::End::Ok, async {
        // This return type cannot report an error.
        let _ = act().await;
        String::new()
    })
    .await
}

const HELPER: About = About {
    alone: "",
    ok: "outcome=ok",
    protocol: Protocol::None,
    handler: Handler::Never,
    endpoint: None,
    labels: "",
};

static ZERO: About = About {
    alone: "endpoint=functions::zero",
    ..HELPER
};

#[instrumented]
async fn zero() -> String {
    text_of(&ZERO).await
}

static TEXT: About = About {
    alone: "endpoint=functions::text kind=text",
    protocol: Protocol::Http,
    ..HELPER
};

#[instrumented(labels(kind = input))]
async fn text(input: String) -> Result<String, Problem> {
    let end = |result: &Result<_, Problem>| match result {
        Ok(_) => truth::End::Ok,
        Err(problem) => truth::End::Status(problem.0),
    };
    track(&TEXT, end, async { act().await.map(|()| input) }).await
}

static DENIED: About = About {
    alone: "endpoint=functions::denied",
    ..HELPER
};

#[instrumented(handler = false)]
async fn denied() -> String {
    text_of(&DENIED).await
}

static BORROW: About = About {
    alone: "endpoint=functions::borrow",
    ..HELPER
};

#[instrumented]
async fn borrow(input: &str) -> String {
    text_of(&BORROW).await + input
}

static LIST: About = About {
    alone: "endpoint=functions::list",
    ..HELPER
};

#[instrumented]
async fn list(input: Vec<String>) -> String {
    text_of(&LIST).await + &input.concat()
}

static POST: About = About {
    alone: "method=POST endpoint=/oauth/introspect",
    ok: "outcome=ok http_status=200",
    protocol: Protocol::Http,
    ..HELPER
};

#[instrumented(endpoint = "/oauth/introspect", method = "POST")]
async fn post() -> String {
    text_of(&POST).await
}

static GET: About = About {
    alone: "method=GET endpoint=/oauth/keys",
    ok: "outcome=ok http_status=200",
    protocol: Protocol::Http,
    ..HELPER
};

#[instrumented(endpoint = "/oauth/keys", method = "GET")]
async fn get() -> String {
    text_of(&GET).await
}

#[derive(Debug)]
struct Store;

static LOAD: About = About {
    alone: "endpoint=functions::load",
    protocol: Protocol::Grpc,
    ..HELPER
};

impl Store {
    #[instrumented]
    async fn load(&self, id: u32) -> Result<u32, tonic::Status> {
        let end = |result: &Result<_, tonic::Status>| match result {
            Ok(_) => truth::End::Ok,
            Err(_) => truth::End::Status(404),
        };
        track(&LOAD, end, async {
            act()
                .await
                .map(|()| id)
                .map_err(|_| tonic::Status::not_found(""))
        })
        .await
    }
}

/// A request sent during another request. Its own layer counts it.
static ASK: About = About {
    alone: "method=GET endpoint=/other",
    ok: "outcome=ok http_status=200",
    protocol: Protocol::Http,
    ..HELPER
};

async fn ask(yields: u8, at_most: Option<u8>) {
    let service = layer().layer(service_fn(move |_: http::Request<()>| async move {
        set_matched_route("/other");
        for _ in 0..yields {
            yield_now().await;
        }
        Ok::<_, Infallible>(Response::new(()))
    }));
    let request = http::Request::get("/other").body(()).expect("a request");
    let asked = async {
        let Ok(_) = service.oneshot(request).await;
    };
    let mut asked = Box::pin(track(&ASK, |()| truth::End::Ok, asked));
    match at_most {
        Some(at_most) => {
            polls(at_most, &mut asked).await;
        }
        None => asked.await,
    }
}

/// A handler that is not annotated.
pub(crate) static QUIET: About = HELPER;

/// The body of every handler, on every framework.
pub(crate) async fn handle(about: &'static About) -> Result<String, Problem> {
    let ended = |result: &Result<String, Problem>| match result {
        Ok(_) => truth::End::Ok,
        Err(problem) => truth::End::Status(problem.0),
    };
    let body = async {
        let plan = Request::current().plan;
        run(&plan.inside).await;
        end(plan.end).await.map(|()| String::new())
    };
    track(about, ended, body).await
}

/// Runs a handler in its own task, and resumes its panic.
pub(crate) async fn in_a_task<T: Send + 'static>(
    handler: impl Future<Output = T> + Send + 'static,
) -> T {
    let (answer, answered) = oneshot::channel();
    let request = Request::current();
    spawned(tokio::spawn(async move {
        let handled = AssertUnwindSafe(request.within(handler))
            .catch_unwind()
            .await;
        let _ = answer.send(handled);
    }));
    match answered.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(_) => unreachable!("the task always sends its result"),
    }
}

/// The middleware around a handler that does not run in its own task.
pub(crate) async fn around<R>(handler: impl Future<Output = R>, answer: impl Fn(u16) -> R) -> R {
    let plan = Request::current().plan;
    let mut handler = Some(Box::pin(handler));
    run(&plan.before).await;
    let answered = match handler.take() {
        Some(_) if plan.is_refused => Err(401),
        Some(handler) => {
            // A refused request calls no handler, so only this branch can catch a panic.
            let mut handler = Box::pin(AssertUnwindSafe(handler).catch_unwind());
            let answered = match plan.deadline {
                Some(at_most) => polls(at_most, &mut handler).await.ok_or(408),
                None => Ok(handler.await),
            };
            match answered {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(_)) if plan.is_caught => Err(500),
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(status) => Err(status),
            }
        }
        None => unreachable!("the handler is taken only here"),
    };
    let answer = answered.unwrap_or_else(answer);
    run(&plan.after).await;
    answer
}
