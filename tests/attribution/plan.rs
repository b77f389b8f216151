//! A random application and its request: what runs where and in which order, and how it
//! ends. Plans are data, so that proptest can shrink them. The module
//! [`functions`](crate::functions) executes them.

use std::cell::RefCell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

/// The plan of one request.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The index of the handler that the request is for.
    pub(crate) handler: usize,
    /// What the middleware does before the handler.
    pub(crate) before: Vec<Step>,
    /// The middleware answers 401 instead of calling the handler.
    pub(crate) is_refused: bool,
    /// The middleware runs the handler in its own task.
    pub(crate) is_moved: bool,
    /// The middleware calls the handler once more if it fails. Only on frameworks whose
    /// requests can be cloned.
    pub(crate) is_retried: bool,
    /// The middleware answers 500 if the handler panics.
    pub(crate) is_caught: bool,
    /// The middleware answers 408 after this many polls.
    pub(crate) deadline: Option<u8>,
    pub(crate) inside: Vec<Step>,
    pub(crate) end: End,
    /// What the middleware does after the handler.
    pub(crate) after: Vec<Step>,
    /// The client hangs up after this many polls.
    pub(crate) hang_up: Option<u8>,
}

impl Plan {
    /// A request for the first handler, with nothing around it.
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
    /// A request to another service in this process, which has a layer too. Dropped after
    /// this many polls.
    Ask {
        yields: u8,
        at_most: Option<u8>,
    },
}

/// How a helper is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Await,
    /// Awaited; a panic is caught.
    Catch,
    /// Dropped after this many polls.
    GiveUp(u8),
    /// Moved to its own task after this many polls.
    Spawn(u8),
}

#[derive(Clone, Debug)]
pub(crate) struct Helper {
    pub(crate) what: What,
    pub(crate) yields: u8,
    pub(crate) inside: Vec<Step>,
    pub(crate) end: End,
}

/// Which annotated function a helper calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// `fn() -> String`: could be a handler.
    Zero,
    /// `fn(String) -> Result<String, Problem>`: could be a handler.
    Text,
    /// `handler = false`.
    Denied,
    /// Has a borrowed argument.
    Borrow,
    /// Has an argument that no framework extracts.
    List,
    /// An outbound call with another method.
    Post,
    /// An outbound call with the request's method and another endpoint.
    Get,
    /// A helper of a gRPC method.
    Load,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Ok,
    Status(u16),
    Panic,
    /// Waits forever. Used only where the future is dropped.
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

/// Generates plans for an application with `handlers` handlers.
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

/// A plan that is being executed, among others.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) number: usize,
    pub(crate) plan: Arc<Plan>,
}

impl Request {
    /// Returns the request that is being polled on this thread.
    pub(crate) fn current() -> Self {
        CURRENT.with_borrow(|current| current.clone().expect("a request"))
    }

    /// Runs `future` with this request as the current one.
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

/// Applies `change` to each helper, at any depth.
pub(crate) fn each_helper(steps: &mut [Step], change: &impl Fn(&mut Helper)) {
    for step in steps {
        if let Step::Call(helper, _) = step {
            let helper = Arc::make_mut(helper);
            change(helper);
            each_helper(&mut helper.inside, change);
        }
    }
}

/// Applies `change` to the way each helper is called, at any depth.
pub(crate) fn each_way(steps: &mut [Step], change: &impl Fn(&mut Way)) {
    for step in steps {
        if let Step::Call(helper, way) = step {
            change(way);
            each_way(&mut Arc::make_mut(helper).inside, change);
        }
    }
}
