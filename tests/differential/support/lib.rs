//! Helpers for the generated functions: arguments that log when and in which state they
//! are dropped, futures that are pending once, and the driver that runs a function in
//! every scenario and prints the log.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt::{self, Debug, Display};
use std::panic::{AssertUnwindSafe, Location, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use serde_json::json;

thread_local! {
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static CHOICE: Cell<u32> = const { Cell::new(0) };
}

/// Adds a line to the log of the current scenario.
pub fn log(line: impl Display) {
    LOG.with_borrow_mut(|log| log.push(line.to_string()));
}

/// Returns the branch that the generated functions take: 0 runs straight through, 1
/// fails, 2 panics, 3 takes the branches that move and break.
#[must_use]
pub fn choice() -> u32 {
    CHOICE.get()
}

/// Converts a length to the integer type that the functions use.
#[must_use]
pub fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Logs its caller's location.
#[track_caller]
pub fn here() {
    log(place(Location::caller()));
}

/// Returns a location in a source file, the same for the plain and the annotated
/// function.
#[must_use]
pub fn place(location: &Location<'_>) -> String {
    let file = location.file().replace('\\', "/");
    let file = ["/plain/", "/annotated/"]
        .iter()
        .find_map(|side| file.split_once(side).map(|(_, file)| file))
        .unwrap_or(&file);
    format!("{file}:{}:{}", location.line(), location.column())
}

/// Logs that a value was dropped, and its state.
pub fn dropped(name: &str, n: u32, armed: bool) {
    log(format_args!("drop {name} n={n} armed={armed}"));
}

/// A value with a `Drop` implementation that shows its `Copy` fields.
pub struct Tracker {
    /// The name in the log.
    pub name: &'static str,
    /// Changed by function bodies.
    pub n: u32,
    /// Cleared by function bodies.
    pub armed: bool,
    /// Not `Copy`.
    pub text: String,
}

impl Tracker {
    /// Creates a tracker whose number depends on its name.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            n: count(name.len()),
            armed: true,
            text: name.to_uppercase(),
        }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        dropped(self.name, self.n, self.armed);
    }
}

impl Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tracker({} {} {})", self.name, self.n, self.armed)
    }
}

/// The trait that generic functions require of their arguments.
pub trait Speak {
    /// A number.
    fn speak(&self) -> u32;
    /// Changes that number.
    fn change(&mut self);
}

impl Speak for Tracker {
    fn speak(&self) -> u32 {
        self.n
    }

    fn change(&mut self) {
        self.n += 3;
    }
}

/// A type without a `Drop` implementation, so values can be moved out of its fields.
#[derive(Debug)]
pub struct Pair {
    /// One part.
    pub left: Tracker,
    /// The other part.
    pub right: Tracker,
    /// A `Copy` part.
    pub count: u32,
}

impl Pair {
    /// Creates a pair of trackers with these names.
    #[must_use]
    pub fn new(left: &'static str, right: &'static str) -> Self {
        Self {
            left: Tracker::new(left),
            right: Tracker::new(right),
            count: 2,
        }
    }
}

/// A wrapper like those in which frameworks pass extracted values.
#[derive(Debug)]
pub struct Wrap<T>(pub T);

/// The error of the generated functions.
#[derive(Debug)]
pub struct Fault(pub u32);

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault {}", self.0)
    }
}

impl std::error::Error for Fault {}

/// Fails or succeeds, depending on `choice`.
///
/// # Errors
///
/// If `choice` is 1.
pub fn fallible(choice: u32) -> Result<u32, Fault> {
    if choice == 1 {
        Err(Fault(choice))
    } else {
        Ok(choice)
    }
}

/// A future that is pending once. It is `Send`, `Sync`, `Unpin` and `UnwindSafe`.
#[derive(Debug, Default)]
pub struct Pause(bool);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        Poll::Pending
    }
}

/// Returns a future that is pending once.
#[must_use]
pub fn pause() -> Pause {
    Pause::default()
}

/// Returns a function that adds `first` to its argument.
pub fn adder(first: u32) -> impl Fn(u32) -> u32 {
    move |number| number + first
}

/// An `async fn` that the expression of a label awaits.
pub async fn peek() -> u32 {
    7
}

/// Boxes a future by a method, as `FutureExt::boxed` of the futures crate does.
pub trait Boxed<'a, T> {
    /// The box.
    fn boxed(self) -> Pin<Box<dyn Future<Output = T> + Send + 'a>>
    where
        Self: Send;
    /// The box of a future that is not `Send`.
    fn boxed_local(self) -> Pin<Box<dyn Future<Output = T> + 'a>>;
}

impl<'a, T, F: Future<Output = T> + 'a> Boxed<'a, T> for F {
    fn boxed(self) -> Pin<Box<dyn Future<Output = T> + Send + 'a>>
    where
        Self: Send,
    {
        Box::pin(self)
    }

    fn boxed_local(self) -> Pin<Box<dyn Future<Output = T> + 'a>> {
        Box::pin(self)
    }
}

/// An alias such as `futures::future::BoxFuture`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// An alias such as `futures::future::LocalBoxFuture`.
pub type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Defines a type in the generated file, which can have methods there. Its `Drop` logs
/// the fields.
#[macro_export]
macro_rules! hub {
    ($name:ident) => {
        #[allow(missing_docs)]
        pub struct $name {
            pub name: &'static str,
            pub n: u32,
            pub armed: bool,
            pub text: String,
        }

        impl $name {
            #[allow(dead_code)]
            fn new(name: &'static str) -> Self {
                Self {
                    name,
                    n: 1,
                    armed: true,
                    text: name.to_uppercase(),
                }
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                $crate::dropped(self.name, self.n, self.armed);
            }
        }

        impl $crate::Speak for $name {
            fn speak(&self) -> u32 {
                self.n
            }

            fn change(&mut self) {
                self.n += 3;
            }
        }
    };
}

/// Lists the auto traits of a value by autoderef specialization: if the bound of one
/// method does not hold, method resolution falls back to a method without the bound.
#[macro_export]
macro_rules! auto_traits {
    ($value:expr) => {{
        #[allow(dead_code)]
        struct Asked<T>(::core::marker::PhantomData<T>);
        fn ask<T>(_: &T) -> Asked<T> {
            Asked(::core::marker::PhantomData)
        }
        let mut found = ::std::vec::Vec::new();
        $crate::auto_traits!(@one found, $value, Send);
        $crate::auto_traits!(@one found, $value, Sync);
        $crate::auto_traits!(@one found, $value, Unpin);
        $crate::auto_traits!(@one found, $value, ::std::panic::UnwindSafe);
        $crate::auto_traits!(@one found, $value, ::std::panic::RefUnwindSafe);
        found
    }};
    (@one $found:ident, $value:expr, $bound:path) => {{
        trait No {
            fn answer(&self) -> bool {
                false
            }
        }
        impl<T> No for Asked<T> {}
        trait Yes {
            fn answer(&self) -> bool;
        }
        impl<T: $bound> Yes for &Asked<T> {
            fn answer(&self) -> bool {
                true
            }
        }
        if (&&ask(&$value)).answer() {
            $found.push(stringify!($bound));
        }
    }};
}

/// A number of polls that is enough to complete every generated function.
const ENOUGH: usize = 24;

/// One function of one side.
#[derive(Debug)]
pub struct Case {
    number: usize,
    side: &'static str,
    polls: usize,
    again: bool,
    started: u32,
}

impl Case {
    /// Runs `function` in every scenario: each choice with few polls and with enough
    /// polls, and one scenario that polls again after completion.
    pub fn scenarios(&mut self, function: impl Fn(&mut Self)) {
        for choice in 0..4 {
            for (polls, again) in [
                (0, false),
                (1, false),
                (2, false),
                (3, false),
                (ENOUGH, false),
                (ENOUGH, true),
            ] {
                if choice > 0 && (polls == 0 || again) {
                    continue;
                }
                CHOICE.set(choice);
                self.polls = polls;
                self.again = again;
                LOG.take();
                function(self);
                let again = if again { " and again" } else { "" };
                let log = LOG.take();
                println!(
                    "{}",
                    json!({
                        "case": self.number,
                        "side": self.side,
                        "scenario": format!("choice {choice}, {polls} polls{again}"),
                        "log": log,
                    })
                );
            }
        }
        CHOICE.set(0);
    }

    /// Creates the future, polls it as often as the scenario says, and drops it.
    pub fn run<F: Future>(
        &mut self,
        make: impl FnOnce() -> F,
        show: impl FnOnce(F::Output) -> String,
    ) {
        let Ok(future) = catch_unwind(AssertUnwindSafe(make)) else {
            log("(panicked before there was a future)");
            return;
        };
        let mut future = Box::pin(future);
        let mut poll = || {
            let mut context = Context::from_waker(Waker::noop());
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)))
        };
        let mut show = Some(show);
        if self.polls > 0 {
            self.started += 1;
        }
        for _ in 0..self.polls {
            match poll() {
                Ok(Poll::Pending) => log("(pending)"),
                Ok(Poll::Ready(value)) => {
                    log("(ready)");
                    if let Some(show) = show.take() {
                        log(show(value));
                    }
                    break;
                }
                Err(_) => {
                    log("(panicked)");
                    break;
                }
            }
        }
        if self.again {
            match poll() {
                Ok(_) => log("(polled again)"),
                Err(_) => log("(panicked when polled again)"),
            }
        }
        if catch_unwind(AssertUnwindSafe(move || drop(future))).is_err() {
            log("(panicked when dropped)");
        }
        log("(gone)");
    }

    /// Runs `function` with each choice. The function is not async, so there are no polls.
    pub fn choices(&mut self, function: impl Fn(&mut Self)) {
        for choice in 0..4 {
            CHOICE.set(choice);
            LOG.take();
            function(self);
            let log = LOG.take();
            println!(
                "{}",
                json!({
                    "case": self.number,
                    "side": self.side,
                    "scenario": format!("choice {choice}"),
                    "log": log,
                })
            );
        }
        CHOICE.set(0);
    }

    /// Calls a function that is not async.
    pub fn run_plain<R>(&mut self, call: impl FnOnce() -> R, show: impl FnOnce(R) -> String) {
        self.started += 1;
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(value) => {
                log("(returned)");
                log(show(value));
            }
            Err(_) => log("(panicked)"),
        }
        log("(gone)");
    }

    /// Prints the properties of the type that a function returned that is not async.
    pub fn probe_plain(&mut self, auto_traits: &[&str], size: usize) {
        self.started += 1;
        self.probe(auto_traits, size, 0);
    }

    /// Prints the properties of the future's type.
    pub fn probe(&self, auto_traits: &[&str], size: usize, arguments: usize) {
        println!(
            "{}",
            json!({
                "case": self.number,
                "side": self.side,
                "auto_traits": auto_traits,
                "size": size,
                "arguments": arguments,
            })
        );
    }
}

/// Runs one side of one function.
pub fn run(number: usize, side: &'static str, function: fn(&mut Case)) {
    let mut case = Case {
        number,
        side,
        polls: 0,
        again: false,
        started: 0,
    };
    println!("{}", json!({"case": number, "side": side, "begins": true}));
    function(&mut case);
    println!(
        "{}",
        json!({"case": number, "side": side, "started": case.started})
    );
}

/// Logs panics instead of printing them.
pub fn begin() {
    std::panic::set_hook(Box::new(|info| {
        let payload = payload(info);
        // The location of this panic is that of the async block, which the attribute puts
        // around the body.
        if payload.contains("resumed after completion") {
            return log(format_args!("panic {payload}"));
        }
        let place = info.location().map(place).unwrap_or_default();
        log(format_args!("panic {payload} at {place}"));
    }));
}

fn payload(info: &PanicHookInfo<'_>) -> String {
    let payload: &dyn Any = info.payload();
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .or_else(|| {
            payload
                .downcast_ref::<u32>()
                .map(|number| format!("u32 {number}"))
        })
        .unwrap_or_else(|| "of another type".to_owned())
}

/// Prints the page, from which the counted calls are read.
pub fn end(page: &str) {
    println!("{}", json!({"page": page}));
}
