//! Labels whose expressions await. A panic in them is counted once, wherever it happens.
//! A call whose future is dropped while a label awaits has not started.

use std::cell::Cell;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::futures::FutureExt;
use instrument_tests::recorded::{Recorded, one_call};
use tokio::task::yield_now;

use super::{instrumented, ok, work};

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Unwinds without the message of a panic.
fn unwind() -> ! {
    resume_unwind(Box::new(()))
}

fn broken() -> u8 {
    unwind()
}

async fn shard() -> u8 {
    yield_now().await;
    1
}

async fn ready() -> u8 {
    2
}

async fn broken_at_once() -> u8 {
    unwind()
}

async fn broken_later() -> u8 {
    yield_now().await;
    unwind()
}

/// A label whose `Display` panics.
struct Broken;

impl Display for Broken {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        unwind()
    }
}

/// A label whose destructor panics.
struct BrokenDrop;

impl Display for BrokenDrop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("value")
    }
}

impl Drop for BrokenDrop {
    fn drop(&mut self) {
        unwind()
    }
}

/// Expands to an `.await` that is not visible where the macro is called.
macro_rules! awaited {
    ($future:expr) => {
        $future.await
    };
}

macro_rules! panics {
    ($($name:ident($($labels:tt)*);)*) => {
        $(
            #[instrumented(labels(plan = "free", $($labels)*))]
            async fn $name() {}
        )*

        #[test]
        fn a_panic_is_counted_once() {
            $(
                Recorded::during_async(async |recorded| {
                    let name = stringify!($name);
                    let ended = AssertUnwindSafe($name()).catch_unwind().await;
                    assert!(ended.is_err(), "{name}");
                    let labels = format!("endpoint=awaited_labels::{name} plan=free");
                    assert_eq!(recorded.lines(), one_call(&labels, "outcome=panicked"));
                });
            )*
        }
    };
}

panics! {
    before(a = broken(), b = shard().await);
    after(a = shard().await, b = broken());
    between(a = shard().await, b = broken(), c = shard().await);
    before_what_is_ready(a = broken(), b = ready().await);
    after_what_is_ready(a = ready().await, b = broken());
    after_in_one_label(a = shard().await + broken());
    before_in_one_label(a = broken() + shard().await);
    within_the_first_poll(a = broken_at_once().await);
    within_the_last_poll(a = broken_later().await);
    within_the_second_label(a = shard().await, b = broken_later().await);
    before_what_is_awaited(a = { let value = broken(); async move { value } }.await);
    in_a_block(a = { shard().await; if shard().await == 1 { broken() } else { 1 } });
    in_a_closure(a = (|| broken())(), b = shard().await);
    in_display_before(a = Broken, b = shard().await);
    in_display_after(a = shard().await, b = Broken);
    in_format(a = format!("{}-{}", shard().await, broken()));
    within_format(a = format!("{}", broken_later().await));
    in_join(a = tokio::join!(shard(), broken_later()).0);
    in_own_macro(a = awaited!(broken_later()));
    after_own_macro(a = awaited!(shard()), b = broken());
}

#[instrumented(labels(a = shard().await, b = BrokenDrop))]
async fn in_drop() {}

#[test]
fn a_panic_in_a_values_destructor_is_counted_once() {
    Recorded::during_async(async |recorded| {
        let ended = AssertUnwindSafe(in_drop()).catch_unwind().await;
        assert!(ended.is_err());
        let labels = "endpoint=awaited_labels::in_drop a=1 b=value";
        assert_eq!(recorded.lines(), one_call(labels, "outcome=panicked"));
    });
}

/// Runs the function when it is dropped.
struct RunsWhenDropped<F: FnMut()>(F);

impl<F: FnMut()> Drop for RunsWhenDropped<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_panic_during_another_one_is_counted_once() {
    Recorded::during(|recorded| {
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _runs = RunsWhenDropped(|| {
                let mut call = pin!(within_the_last_poll());
                assert!(poll(call.as_mut()).is_pending());
                assert!(catch_unwind(AssertUnwindSafe(|| poll(call.as_mut()))).is_err());
            });
            unwind();
        }));
        assert!(unwound.is_err());
        let labels = "endpoint=awaited_labels::within_the_last_poll plan=free";
        assert_eq!(recorded.lines(), one_call(labels, "outcome=panicked"));
    });
}

#[test]
fn a_panic_on_another_thread_is_counted_there() {
    let mut call = Box::pin(after());
    Recorded::during(|recorded| {
        assert!(poll(call.as_mut()).is_pending());
        let there = std::thread::spawn(move || {
            Recorded::during(|recorded| {
                let polled = catch_unwind(AssertUnwindSafe(|| poll(call.as_mut())));
                assert!(polled.is_err());
                recorded.lines()
            })
        });
        let labels = "endpoint=awaited_labels::after plan=free";
        let there = there.join().expect("caught");
        assert_eq!(there, one_call(labels, "outcome=panicked"));
        assert_eq!(recorded.lines(), [""; 0]);
    });
}

macro_rules! suspended {
    ($($name:ident($($labels:tt)*);)*) => {
        $(
            #[instrumented(labels(plan = "free", $($labels)*))]
            async fn $name() {}
        )*

        /// Returns each future, suspended in a label.
        fn all_suspended() -> Vec<Pin<Box<dyn Future<Output = ()> + Send>>> {
            let mut all: Vec<Pin<Box<dyn Future<Output = ()> + Send>>> =
                vec![$(Box::pin($name())),*];
            for call in &mut all {
                assert!(poll(call.as_mut()).is_pending());
            }
            all
        }
    };
}

suspended! {
    first(a = shard().await);
    second(a = 1, b = shard().await, c = 2);
    third(a = ready().await, b = ready().await, c = shard().await);
    block(a = { let a = shard().await; a + 1 });
    format(a = format!("{}", shard().await));
    join(a = tokio::join!(shard(), ready()).0);
    own_macro(a = awaited!(shard()));
}

/// Drops the value while a panic unwinds.
fn drop_during_unwinding<T>(value: T) {
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _value = value;
        unwind();
    }));
    assert!(unwound.is_err());
}

#[test]
fn a_call_dropped_in_a_label_counts_nothing() {
    Recorded::during(|recorded| {
        drop(all_suspended());
        assert_eq!(recorded.lines(), [""; 0]);
        drop_during_unwinding(all_suspended());
        assert_eq!(recorded.lines(), [""; 0]);
        // Not polled at all.
        drop_during_unwinding(after());
        assert_eq!(recorded.lines(), [""; 0]);
    });
}

#[test]
fn a_call_dropped_in_a_label_on_another_thread_counts_nothing() {
    Recorded::during(|recorded| {
        let all = all_suspended();
        let there = std::thread::spawn(move || {
            Recorded::during(|recorded| {
                drop_during_unwinding(all);
                recorded.lines()
            })
        });
        assert_eq!(there.join().expect("caught"), [""; 0]);
        assert_eq!(recorded.lines(), [""; 0]);
    });
}

#[test]
fn a_call_that_begins_and_is_dropped_during_unwinding_counts_nothing() {
    Recorded::during(|recorded| {
        drop_during_unwinding(RunsWhenDropped(|| drop(all_suspended())));
        assert_eq!(recorded.lines(), [""; 0]);
        // Begins during an unwinding, and is dropped during another one.
        let mut all = Vec::new();
        drop_during_unwinding(RunsWhenDropped(|| all = all_suspended()));
        drop_during_unwinding(all);
        assert_eq!(recorded.lines(), [""; 0]);
    });
}

/// The poll of another future unwinds, and takes with it a future that is suspended in a
/// label.
#[test]
fn a_call_dropped_by_its_caller_counts_nothing() {
    async fn caller() {
        let mut call = pin!(first());
        assert!(poll(call.as_mut()).is_pending());
        unwind();
    }
    Recorded::during(|recorded| {
        let unwound = catch_unwind(AssertUnwindSafe(|| poll(pin!(caller()))));
        assert!(unwound.is_err());
        assert_eq!(recorded.lines(), [""; 0]);
    });
}

const SLOW: Duration = Duration::from_millis(50);

async fn slow() -> u8 {
    yield_now().await;
    std::thread::sleep(SLOW);
    3
}

#[instrumented(labels(slow = slow().await))]
async fn starts_after_its_labels() {}

#[test]
fn a_call_starts_after_its_labels() {
    Recorded::during_async(async |recorded| {
        starts_after_its_labels().await;
        assert!(recorded.seconds() < SLOW.as_secs_f64());
    });
}

#[instrumented(labels(shard = shard().await))]
async fn panics_in_its_body() {
    yield_now().await;
    unwind()
}

#[instrumented(labels(shard = shard().await))]
async fn never_ends() {
    std::future::pending().await
}

#[test]
fn a_call_has_its_labels_once_they_are_evaluated() {
    Recorded::during_async(async |recorded| {
        let ended = AssertUnwindSafe(panics_in_its_body()).catch_unwind().await;
        assert!(ended.is_err());
        let labels = "endpoint=awaited_labels::panics_in_its_body shard=1";
        assert_eq!(recorded.lines(), one_call(labels, "outcome=panicked"));
    });
    Recorded::during(|recorded| {
        let mut call = Box::pin(never_ends());
        assert!(poll(call.as_mut()).is_pending());
        assert_eq!(recorded.lines(), [""; 0]);
        assert!(poll(call.as_mut()).is_pending());
        let labels = "endpoint=awaited_labels::never_ends shard=1";
        assert_eq!(
            recorded.lines(),
            [format!("requests_in_progress {labels} 1")]
        );
        drop(call);
        assert_eq!(
            recorded.lines(),
            [
                format!("request_latency_seconds {labels} outcome=cancelled 1"),
                // The difference to the gauge above.
                format!("requests_in_progress {labels} -1"),
                format!("requests_total {labels} outcome=cancelled 1"),
            ]
        );
    });
}

#[instrumented(labels(shard = { if early { return "early" } shard().await }))]
async fn returns_before(early: bool) -> &'static str {
    work().await;
    "late"
}

#[instrumented(labels(shard = { let shard = shard().await; if early { return "early" } shard }))]
async fn returns_after(early: bool) -> &'static str {
    work().await;
    "late"
}

async fn parsed(text: &str) -> Result<u8, std::num::ParseIntError> {
    yield_now().await;
    text.parse()
}

#[instrumented(labels(shard = parsed(text).await?))]
async fn questions(text: &str) -> Result<usize, Box<dyn std::error::Error>> {
    work().await;
    Ok(text.len())
}

#[instrumented(labels(shard = parsed(text).await.ok()?))]
async fn opaque(text: &str) -> Option<impl Display + use<'_>> {
    work().await;
    Some(text.len())
}

#[test]
fn a_label_may_leave_the_function() {
    Recorded::during_async(async |recorded| {
        assert_eq!(returns_before(true).await, "early");
        assert_eq!(returns_after(true).await, "early");
        assert!(questions("?").await.is_err());
        assert!(opaque("?").await.is_none());
        assert_eq!(recorded.lines(), [""; 0]);
    });
    ok("awaited_labels::returns_before shard=1", async || {
        returns_before(false).await
    });
    ok("awaited_labels::returns_after shard=1", async || {
        returns_after(false).await
    });
    ok("awaited_labels::questions shard=12", async || {
        questions("12").await.expect("a number")
    });
    ok("awaited_labels::opaque shard=12", async || {
        assert!(opaque("12").await.is_some());
    });
}

/// Shadowed in the body of `scopes`, but not in its labels.
fn scope() -> u8 {
    1
}

#[instrumented(labels(scope = scope() + ready().await, shadowed = shadowed))]
async fn scopes(shadowed: u8) -> u8 {
    fn scope() -> u8 {
        100
    }
    let shadowed = shadowed + scope();
    work().await;
    shadowed
}

#[instrumented(labels(text = changed(&mut text).await))]
async fn changes(mut text: String) -> String {
    work().await;
    text.push('c');
    text
}

async fn changed(text: &mut String) -> usize {
    yield_now().await;
    text.push('b');
    text.len()
}

/// Arguments with the names of the expansion's own variables.
#[instrumented(labels(a = labels, b = evaluated + ready().await, c = value0, d = call))]
async fn names(labels: u8, evaluated: u8, value0: u8, call: u8) -> u8 {
    work().await;
    labels + evaluated + value0 + call
}

macro_rules! made {
    ($name:ident($argument:ident)) => {
        #[instrumented(labels(a = $argument + ready().await, b = { let labels = 1; labels }))]
        async fn $name($argument: u8) -> u8 {
            work().await;
            $argument
        }
    };
}

made!(made(labels));

#[test]
fn a_label_sees_the_arguments() {
    let at = "awaited_labels::names a=1 b=4 c=3 d=4";
    assert_eq!(ok(at, async || names(1, 2, 3, 4).await), 10);
    let at = "awaited_labels::made a=9 b=1";
    assert_eq!(ok(at, async || made(7).await), 7);
    let at = "awaited_labels::scopes scope=3 shadowed=5";
    assert_eq!(ok(at, async || scopes(5).await), 105);
    let at = "awaited_labels::changes text=2";
    assert_eq!(ok(at, async || changes("a".into()).await), "abc");
}

mod auto_traits {
    use super::*;

    fn send<T: Send>(_: &T) {}
    fn sync<T: Sync>(_: &T) {}
    fn unwind_safe<T: UnwindSafe + RefUnwindSafe>(_: &T) {}

    /// Awaits, and is `Send`, `Sync`, `Unpin` and `UnwindSafe`.
    fn future() -> std::future::Ready<u8> {
        std::future::ready(4)
    }

    /// `Cell` is not `Sync`, so a reference to it must not be held over an `.await`.
    #[instrumented(labels(before = cell.get(), at = future().await, after = cell.get()))]
    async fn cell(cell: Cell<u8>) -> u8 {
        cell.get()
    }

    #[instrumented(labels(
        before = { number += 1; number },
        at = future().await,
        after = { number += 1; number },
        text = text,
    ))]
    async fn all(mut number: u8, text: String) -> usize {
        future().await;
        usize::from(number) + text.len()
    }

    #[test]
    fn are_kept() {
        send(&cell(Cell::new(1)));
        let all = all(1, "text".to_owned());
        send(&all);
        sync(&all);
        unwind_safe(&all);
        drop(all);
        let at = "awaited_labels::auto_traits::cell before=1 at=4 after=1";
        Recorded::during_async(async |recorded| {
            cell(Cell::new(1)).await;
            let labels = format!("endpoint={at}");
            assert_eq!(recorded.lines(), one_call(&labels, "outcome=ok"));
        });
    }
}
