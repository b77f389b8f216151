//! A random application and its request: what runs where, how it goes on, how it
//! ends. Plans are data, so that proptest can shrink them; the functions of
//! [`functions`](crate::functions) act them out.

use std::cell::RefCell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Which of the application's handlers is asked for.
    pub(crate) handler: usize,
    /// In the middleware, before the handler.
    pub(crate) before: Vec<Step>,
    /// The middleware answers 401 in the handler's place.
    pub(crate) is_refused: bool,
    /// The middleware runs the handler in a task of its own.
    pub(crate) is_moved: bool,
    /// The middleware calls the handler once more where it fails. Only where the
    /// framework's requests can be cloned.
    pub(crate) is_retried: bool,
    /// The middleware answers 500 where the handler panics.
    pub(crate) is_caught: bool,
    /// The middleware answers 408 after so many polls.
    pub(crate) deadline: Option<u8>,
    pub(crate) inside: Vec<Step>,
    pub(crate) end: End,
    /// In the middleware, after the handler.
    pub(crate) after: Vec<Step>,
    /// The client leaves after so many polls.
    pub(crate) hang_up: Option<u8>,
}

impl Plan {
    /// The first handler's, and nothing around it.
    pub(crate) fn plain() -> Self {
        Self {
            handler: 0,
            before: Vec::new(),
            is_refused: false,
            is_moved: false,
            is_retried: false,
            is_caught: false,
            deadline: None,
            inside: Vec::new(),
            end: End::Ok,
            after: Vec::new(),
            hang_up: None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Yield,
    Call(Arc<Helper>, Way),
    /// A request to another service of this process, which has a layer too.
    /// It is given up after so many polls.
    Ask {
        yields: u8,
        at_most: Option<u8>,
    },
}

/// How a helper is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Await,
    /// A panic of it is caught.
    Catch,
    /// It is given up after so many polls.
    GiveUp(u8),
    /// It goes on in a task of its own after so many polls.
    Spawn(u8),
}

#[derive(Clone, Debug)]
pub(crate) struct Helper {
    pub(crate) what: What,
    pub(crate) yields: u8,
    pub(crate) inside: Vec<Step>,
    pub(crate) end: End,
}

/// Which annotated function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// `fn() -> String`: a handler could look so.
    Zero,
    /// `fn(String) -> Result<String, Problem>`: a handler could look so.
    Text,
    /// `handler = false`.
    Denied,
    /// Borrows.
    Borrow,
    /// Takes what no framework extracts.
    List,
    /// An outbound call with another method.
    Post,
    /// An outbound call with the request's method and another endpoint.
    Get,
    /// A gRPC method's helper.
    Load,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Ok,
    Status(u16),
    Panic,
    /// Waits for ever; only where somebody gives it up.
    Never,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        4 => Just(End::Ok),
        2 => Just(End::Status(404)),
        2 => Just(End::Panic),
    ]
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        4 => Just(Way::Await),
        1 => Just(Way::Catch),
        1 => (1..4_u8).prop_map(Way::GiveUp),
        1 => (1..4_u8).prop_map(Way::Spawn),
    ]
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        Just(What::Zero),
        Just(What::Text),
        Just(What::Denied),
        Just(What::Borrow),
        Just(What::List),
        Just(What::Post),
        Just(What::Get),
        Just(What::Load),
    ]
}

fn helper(inside: impl Strategy<Value = Vec<Step>>) -> impl Strategy<Value = Step> {
    let helper = (what(), 0..3_u8, inside, end()).prop_map(|(what, yields, inside, end)| {
        Arc::new(Helper {
            what,
            yields,
            inside,
            end,
        })
    });
    (helper, way()).prop_map(|(helper, way)| Step::Call(helper, way))
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let leaf = vec(helper(Just(Vec::new())), 0..=1);
    vec(
        prop_oneof![
            2 => Just(Step::Yield),
            4 => helper(leaf),
            1 => (0..3_u8, option::weighted(0.4, 1..3_u8))
                .prop_map(|(yields, at_most)| Step::Ask { yields, at_most }),
        ],
        0..=most,
    )
}

/// Plans for an application of so many handlers.
pub(crate) fn plan(handlers: usize) -> impl Strategy<Value = Plan> {
    let around = (
        steps(2),
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.25),
        any::<(bool, bool)>(),
        option::weighted(0.2, 1..5_u8),
        steps(2),
        option::weighted(0.25, 1..8_u8),
    );
    let handler = (
        0..handlers,
        steps(3),
        prop_oneof![4 => end(), 1 => Just(End::Never)],
    );
    (around, handler).prop_map(
        |(
            (before, is_refused, is_moved, (is_caught, is_retried), deadline, after, hang_up),
            (handler, inside, end),
        )| {
            let is_given_up = deadline.is_some() || hang_up.is_some();
            Plan {
                handler,
                before,
                is_refused,
                is_moved,
                is_retried,
                is_caught,
                deadline,
                inside,
                end: match end {
                    End::Never if !is_given_up => End::Ok,
                    end => end,
                },
                after,
                hang_up,
            }
        },
    )
}

thread_local! {
    static CURRENT: RefCell<Option<Request>> = const { RefCell::new(None) };
}

/// A plan that is being acted out, among others.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) number: usize,
    pub(crate) plan: Arc<Plan>,
}

impl Request {
    /// The one that is being polled on this thread.
    pub(crate) fn current() -> Self {
        CURRENT.with_borrow(|current| current.clone().expect("a request"))
    }

    /// A future in which it is the current one.
    pub(crate) async fn within<T>(self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|context| {
            let outer = CURRENT.replace(Some(self.clone()));
            let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
            CURRENT.set(outer);
            polled.unwrap_or_else(|panic| resume_unwind(panic))
        })
        .await
    }
}

/// `steps` with `change` done to each helper, at any depth.
pub(crate) fn each_helper(steps: &mut [Step], change: &impl Fn(&mut What)) {
    for step in steps {
        if let Step::Call(helper, _) = step {
            let helper = Arc::make_mut(helper);
            change(&mut helper.what);
            each_helper(&mut helper.inside, change);
        }
    }
}
