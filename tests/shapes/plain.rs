//! Functions that are not async. A call lasts from entry to return.

use std::cell::RefCell;
use std::fmt::{Debug, Display};
use std::num::ParseIntError;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use instrument_runtime::Outcome;
use instrument_tests::recorded::{Recorded, one_call};

use super::{error, instrumented, ok};

/// Takes at least as long as `work`.
fn work() {
    std::thread::sleep(Duration::from_millis(1));
}

#[instrumented]
fn nothing() {
    work();
}

#[instrumented]
fn patterns(
    (mut a, [b, ..]): (u8, [u8; 3]),
    Point { x, .. }: Point,
    _: u8,
    ref d: String,
) -> String {
    work();
    a += 1;
    format!("{a}{b}{x}{d}")
}

struct Point {
    x: u8,
    y: u8,
}

#[instrumented]
fn question_mark(text: &str) -> Result<u8, ParseIntError> {
    work();
    let number: u8 = text.parse()?;
    Ok(number + 1)
}

#[instrumented]
fn early(number: u8) -> Option<&'static str> {
    work();
    if number == 0 {
        return None;
    }
    let Some(rest) = number.checked_sub(2) else {
        return Some("one");
    };
    (rest > 0).then_some("many")
}

#[instrumented]
fn borrowed<'a, 'b: 'a>(first: &'a str, _second: &'b str) -> &'a str {
    work();
    first.trim()
}

#[instrumented]
fn mutably(items: &mut Vec<u8>) -> &mut u8 {
    work();
    items.push(1);
    &mut items[0]
}

#[instrumented]
fn generic<T: Default + Copy, const N: usize>(items: impl AsRef<[T]>) -> [T; N]
where
    T: Debug,
{
    work();
    let items = items.as_ref();
    std::array::from_fn(|index| items.get(index).copied().unwrap_or_default())
}

#[instrumented]
fn iterator<'a>(text: &'a str, step: &'a usize) -> impl Iterator<Item = char> + use<'a> {
    work();
    text.chars().step_by(*step)
}

#[instrumented]
fn nested_impl(text: &str) -> Result<impl Display, ParseIntError> {
    work();
    Ok(text.parse::<u8>()?)
}

/// The types of the elements are inferred from the return types.
#[instrumented]
fn inferred() -> (impl IntoIterator<Item = u16>, impl Extend<u64>) {
    work();
    (Vec::new(), Vec::new())
}

#[cfg(target_arch = "x86_64")]
#[instrumented]
#[target_feature(enable = "sse2")]
fn with_features(numbers: [f32; 4]) -> f32 {
    work();
    if numbers[0] > 1.0 {
        return 1.0;
    }
    numbers.iter().sum()
}

/// rustc infers the argument of the closure from the return type.
#[instrumented]
fn closure(skipped: usize) -> impl Fn(&str) -> &str {
    work();
    move |text| &text[skipped..]
}

#[instrumented]
fn boxed_closure(number: u8) -> Box<dyn Fn(u8) -> u8> {
    work();
    if number == 0 {
        return Box::new(|other| other);
    }
    Box::new(move |other| number + other)
}

#[instrumented(labels(depth = depth))]
fn recursive(depth: u8) -> u8 {
    if depth == 0 {
        return 0;
    }
    recursive(depth - 1) + 1
}

#[allow(unsafe_code)]
#[instrumented]
unsafe fn unsafe_function(number: *const u8) -> u8 {
    work();
    // SAFETY: the caller passes a valid pointer.
    unsafe { *number }
}

#[instrumented]
extern "C" fn of_c(number: u8) -> u8 {
    work();
    number
}

#[instrumented(endpoint = "/judged", outcome = |value| if *value > 1 { Outcome::ClientError } else { Outcome::Ok })]
#[inline]
#[must_use]
fn judged(value: u8) -> u8 {
    work();
    value
}

#[instrumented(labels(length = text.len(), text = text))]
fn labelled(text: String) -> String
where
    String: Send,
{
    work();
    text
}

#[instrumented]
fn never(message: &str) -> ! {
    work();
    panic!("{message}")
}

#[instrumented]
fn panics(message: &str) -> u8 {
    work();
    if !message.is_empty() {
        panic!("{message}")
    }
    1
}

/// The attribute of the runtime expands first. It leaves a function that is not async and
/// blocks on a future.
#[tokio::main(flavor = "current_thread")]
#[instrumented]
async fn below_the_runtime(number: u8) -> u8 {
    super::work().await;
    number
}

#[instrumented]
#[tokio::main(flavor = "current_thread")]
async fn above_the_runtime(number: u8) -> u8 {
    super::work().await;
    number
}

mod scope {
    pub(super) fn items() -> u8 {
        #[super::instrumented]
        fn inner() -> u8 {
            super::work();
            3
        }
        inner()
    }
}

macro_rules! made {
    ($name:ident($argument:ident) $body:block) => {
        #[instrumented(labels(argument = $argument))]
        fn $name($argument: u8) -> u8 $body
    };
}

made!(of_a_macro(number) {
    work();
    number + 1
});

#[test]
fn free_functions_are_counted() {
    ok("plain::nothing", async || nothing());
    let shown = ok("plain::patterns", async || {
        patterns((1, [2, 3, 4]), Point { x: 5, y: 6 }, 7, "8".to_owned())
    });
    assert_eq!(shown, "2258");
    assert_eq!(
        ok("plain::question_mark", async || question_mark("1")),
        Ok(2)
    );
    assert!(error("plain::question_mark", async || question_mark("x")).is_err());
    for (number, expected) in [(0, None), (1, Some("one")), (3, Some("many"))] {
        assert_eq!(ok("plain::early", async || early(number)), expected);
    }
    assert_eq!(ok("plain::borrowed", async || borrowed(" a ", "b")), "a");
    let mut items = vec![2];
    *ok("plain::mutably", async || mutably(&mut items)) = 3;
    assert_eq!(items, [3, 1]);
    let array: [u8; 3] = ok("plain::generic", async || generic([1_u8, 2]));
    assert_eq!(array, [1, 2, 0]);
    let every_second: String = ok("plain::iterator", async || iterator("abcd", &2)).collect();
    assert_eq!(every_second, "ac");
    let shown = ok("plain::nested_impl", async || nested_impl("1"));
    assert_eq!(shown.map(|shown| shown.to_string()), Ok("1".to_owned()));
    assert!(error("plain::nested_impl", async || nested_impl("x")).is_err());
    let (empty, mut extended) = ok("plain::inferred", async || inferred());
    assert_eq!(empty.into_iter().count(), 0);
    extended.extend([u64::MAX]);
    #[cfg(target_arch = "x86_64")]
    ok("plain::with_features", async || {
        // SAFETY: every x86-64 processor has SSE2.
        #[allow(unsafe_code, unused_unsafe)]
        let sum = unsafe { with_features([0.5; 4]) };
        assert_eq!(sum.to_bits(), 2_f32.to_bits());
    });
    assert_eq!(ok("plain::closure", async || closure(1))("ab"), "b");
    assert_eq!(ok("plain::boxed_closure", async || boxed_closure(1))(2), 3);
    #[allow(unsafe_code)]
    let number = ok("plain::unsafe_function", async || {
        // SAFETY: the pointer comes from a reference.
        unsafe { unsafe_function(&4) }
    });
    assert_eq!(number, 4);
    assert_eq!(ok("plain::of_c", async || of_c(5)), 5);
    assert_eq!(ok("plain::scope::inner", async || scope::items()), 3);
}

#[test]
fn a_function_that_blocks_on_a_future_is_counted() {
    for (call, endpoint) in [
        (
            below_the_runtime as fn(u8) -> u8,
            "plain::below_the_runtime",
        ),
        (above_the_runtime, "plain::above_the_runtime"),
    ] {
        Recorded::during(|recorded| {
            assert_eq!(call(3), 3);
            let labels = format!("endpoint={endpoint}");
            assert_eq!(recorded.lines(), one_call(&labels, "outcome=ok"));
        });
    }
}

#[test]
fn labels_and_outcomes_are_those_of_async_functions() {
    assert_eq!(ok("/judged", async || judged(1)), 1);
    instrument_tests::recorded::measured("endpoint=/judged", "outcome=client_error", async || {
        judged(2)
    });
    Recorded::during(|recorded| {
        assert_eq!(labelled("four".to_owned()), "four");
        assert_eq!(
            recorded.lines(),
            one_call("endpoint=plain::labelled length=4 text=four", "outcome=ok")
        );
        assert_eq!(of_a_macro(1), 2);
        assert!(recorded.lines().contains(
            &"requests_total endpoint=plain::of_a_macro argument=1 outcome=ok 1".to_owned()
        ));
    });
    Recorded::during(|recorded| {
        assert_eq!(recursive(2), 2);
        let lines = recorded.lines();
        for depth in 0..3 {
            let labels = format!("endpoint=plain::recursive depth={depth}");
            for line in one_call(&labels, "outcome=ok") {
                assert!(lines.contains(&line), "{line} {lines:?}");
            }
        }
    });
}

#[test]
fn unwinding_counts_as_panicked() {
    for (endpoint, call) in [
        ("plain::never", (|| never("on purpose")) as fn()),
        ("plain::panics", || drop(Box::new(panics("on purpose")))),
        ("plain::tracked_guard", || tracked_guard(true)),
        ("plain::tracked", || drop(Box::new(tracked(3)))),
    ] {
        Recorded::during(|recorded| {
            let payload = catch_unwind(call).expect_err("it panics");
            assert_eq!(payload.downcast_ref(), Some(&"on purpose".to_owned()));
            assert_eq!(
                recorded.lines(),
                one_call(&format!("endpoint={endpoint}"), "outcome=panicked")
            );
        });
    }
}

/// A destructor that runs during unwinding may call an annotated function, which returns.
#[test]
fn a_call_during_unwinding_has_its_own_outcome() {
    struct OnDrop(fn());
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0();
        }
    }
    for (endpoint, call) in [
        ("plain::nothing", nothing as fn()),
        ("plain::tracked_guard", || tracked_guard(false)),
        ("plain::closure", || drop(closure(1))),
    ] {
        Recorded::during(|recorded| {
            let unwound = catch_unwind(move || {
                let _on_drop = OnDrop(call);
                panic!("on purpose");
            });
            assert!(unwound.is_err());
            assert_eq!(
                recorded.lines(),
                one_call(&format!("endpoint={endpoint}"), "outcome=ok")
            );
        });
    }
}

#[instrumented]
#[track_caller]
fn tracked(number: u8) -> &'static Location<'static> {
    work();
    if number == 0 {
        return Location::caller();
    }
    let found = loop {
        match number {
            1 => return Location::caller(),
            2 => break Location::caller(),
            _ => panic!("{}", "on purpose"),
        }
    };
    let after = || {
        return number;
    };
    assert_eq!(after(), 2);
    found
}

#[instrumented]
#[track_caller]
fn tracked_guard(panics: bool) {
    if !panics {
        return;
    }
    let nothing: Result<(), String> = Err("on purpose".to_owned());
    std::panic::panic_any(nothing.expect_err("it is an error"));
}

/// The conversion of the error records the location of the caller.
#[derive(Debug)]
struct Located(&'static Location<'static>);

impl From<ParseIntError> for Located {
    #[track_caller]
    fn from(_: ParseIntError) -> Self {
        Self(Location::caller())
    }
}

#[instrumented]
#[track_caller]
fn tracked_question_mark(text: &str) -> Result<u8, Located> {
    work();
    let doubled = |text: &str| Some(text.parse::<u8>().ok()? * 2);
    if let Some(even) = doubled(text) {
        return Ok(even);
    }
    Ok(text.parse::<u8>().map(|number| number + 1)?)
}

#[instrumented]
#[track_caller]
fn tracked_iterator<'a>(
    numbers: &'a [u32],
    text: &str,
) -> Result<impl Iterator<Item = u32> + use<'a>, Located> {
    work();
    let first = text.parse::<u32>()?;
    if first == 0 {
        return Err(Located(Location::caller()));
    }
    Ok(numbers.iter().map(move |number| number + first))
}

#[instrumented]
#[track_caller]
fn tracked_option(number: Option<&str>) -> Option<usize> {
    work();
    Some(number?.strip_prefix('a')?.len())
}

#[instrumented]
#[cfg_attr(all(), track_caller)]
fn tracked_on_condition() -> &'static Location<'static> {
    work();
    Location::caller()
}

#[instrumented]
#[track_caller]
fn tracked_closure() -> impl Fn() -> &'static Location<'static> {
    let caller = Location::caller();
    move || caller
}

#[test]
fn a_tracked_function_sees_its_caller() {
    for number in 0..3 {
        let here = ok("plain::tracked", async || (tracked(number), line!()));
        assert_eq!((here.0.file(), here.0.line()), (file!(), here.1));
    }
    let (located, line) = error("plain::tracked_question_mark", async || {
        (tracked_question_mark("x"), line!())
    });
    assert_eq!(located.map_err(|Located(at)| at.line()), Err(line));
    let even = ok("plain::tracked_question_mark", async || {
        tracked_question_mark("2")
    });
    assert_eq!(even.ok(), Some(4));
    for text in ["x", "0"] {
        let (located, line) = error("plain::tracked_iterator", async || {
            (tracked_iterator(&[1], text).map(Iterator::count), line!())
        });
        assert_eq!(located.map_err(|Located(at)| at.line()), Err(line));
    }
    let sum = ok("plain::tracked_iterator", async || {
        tracked_iterator(&[1, 2], "3")
    });
    assert_eq!(sum.map(Iterator::sum::<u32>).ok(), Some(9));
    for (text, length) in [(None, None), (Some("b"), None), (Some("ab"), Some(1))] {
        let found = ok("plain::tracked_option", async || tracked_option(text));
        assert_eq!(found, length);
    }
    let here = ok("plain::tracked_on_condition", async || {
        (tracked_on_condition(), line!())
    });
    assert_eq!(here.0.line(), here.1);
    Recorded::during(|recorded| {
        let here = tracked_closure();
        assert_eq!(here().line(), line!() - 1);
        assert_eq!(
            recorded.lines(),
            one_call("endpoint=plain::tracked_closure", "outcome=ok")
        );
    });
}

struct Shop {
    name: String,
}

impl Shop {
    #[instrumented]
    fn by_reference(&self) -> &str {
        work();
        &self.name
    }

    #[instrumented]
    fn by_mutable_reference(&mut self, name: &str) -> &mut Self {
        work();
        self.name.push_str(name);
        self
    }

    #[instrumented]
    fn by_value(mut self) -> String {
        work();
        self.name.push('!');
        self.name
    }

    #[instrumented]
    fn in_an_arc(self: Arc<Self>) -> usize {
        work();
        self.name.len()
    }

    #[instrumented]
    fn pinned(self: Pin<&mut Self>) -> usize {
        work();
        self.name.len()
    }

    #[instrumented]
    fn associated(name: impl Into<String>) -> Self {
        work();
        Self { name: name.into() }
    }
}

#[instrumented]
impl Shop {
    /// Without its own attribute, a method that is not async is not measured.
    fn unmeasured(&self) -> usize {
        work();
        self.name.len()
    }

    #[instrumented(labels(name = self.name))]
    fn measured(&self) -> usize {
        self.unmeasured()
    }
}

trait Named {
    fn name(&self) -> &str;

    #[instrumented]
    fn shout(&self) -> String
    where
        Self: Sized,
    {
        work();
        self.name().to_uppercase()
    }

    fn whisper(&self) -> impl Display;
}

#[instrumented]
impl Named for Shop {
    #[instrumented]
    fn name(&self) -> &str {
        &self.name
    }

    #[instrumented]
    fn whisper(&self) -> impl Display {
        work();
        self.name.to_lowercase()
    }
}

#[::async_trait::async_trait]
trait Mixed {
    async fn asynchronous(&self) -> u8;
    fn plain(&self) -> u8;
}

#[instrumented]
#[::async_trait::async_trait]
impl Mixed for Shop {
    async fn asynchronous(&self) -> u8 {
        super::work().await;
        1
    }

    #[instrumented]
    fn plain(&self) -> u8 {
        work();
        2
    }
}

#[test]
fn methods_are_counted() {
    let mut shop = ok("plain::associated", async || Shop::associated("shop"));
    assert_eq!(
        ok("plain::by_reference", async || shop.by_reference()),
        "shop"
    );
    let _ = ok("plain::by_mutable_reference", async || {
        shop.by_mutable_reference("s")
    });
    assert_eq!(
        ok("plain::pinned", async || Pin::new(&mut shop).pinned()),
        5
    );
    assert_eq!(ok("plain::Shop::plain", async || Mixed::plain(&shop)), 2);
    assert_eq!(
        ok("plain::Shop::asynchronous", async || shop
            .asynchronous()
            .await),
        1
    );
    assert_eq!(
        ok("plain::Shop::whisper", async || shop.whisper().to_string()),
        "shops"
    );
    Recorded::during(|recorded| {
        assert_eq!(shop.unmeasured(), 5);
        assert_eq!(recorded.lines(), [""; 0]);
        assert_eq!(shop.measured(), 5);
        assert_eq!(
            recorded.lines(),
            one_call("endpoint=plain::Shop::measured name=shops", "outcome=ok")
        );
        assert_eq!(shop.shout(), "SHOPS");
        let lines = recorded.lines();
        for endpoint in ["plain::shout", "plain::Shop::name"] {
            for line in one_call(&format!("endpoint={endpoint}"), "outcome=ok") {
                assert!(lines.contains(&line), "{line} {lines:?}");
            }
        }
    });
    assert_eq!(ok("plain::by_value", async || shop.by_value()), "shops!");
    let shop = Arc::new(Shop::associated("shop"));
    assert_eq!(ok("plain::in_an_arc", async || shop.in_an_arc()), 4);
}

/// Runs a function when it is dropped.
struct Dropped<'a>(&'a dyn Fn());

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[instrumented]
fn holds(_argument: Dropped<'_>, _: Dropped<'_>) {}

#[instrumented]
fn returns_its_argument<'a>(argument: Dropped<'a>, _local: &'a str) -> Dropped<'a> {
    argument
}

/// The destructors of the arguments are part of the call. The returned value is not
/// dropped in the call.
#[test]
fn arguments_are_dropped_before_the_call_ends() {
    Recorded::during(|recorded| {
        let seen = RefCell::new(Vec::new());
        let note = || {
            let lines = recorded.lines();
            let mut running = lines.iter().filter(|line| line.ends_with(" 1"));
            seen.borrow_mut()
                .push(running.any(|line| line.starts_with("requests_in_progress")));
        };
        holds(Dropped(&note), Dropped(&note));
        // The snapshot of the gauge is taken in the first destructor only.
        assert_eq!(seen.take().first(), Some(&true));
        drop(returns_its_argument(Dropped(&note), ""));
        assert_eq!(seen.take(), [false]);
    });
}

#[test]
fn the_signature_stays_the_same() {
    let _: fn() = nothing;
    let _: extern "C" fn(u8) -> u8 = of_c;
    #[allow(unsafe_code)]
    let _: unsafe fn(*const u8) -> u8 = unsafe_function;
    let _: for<'a> fn(&'a mut Vec<u8>) -> &'a mut u8 = mutably;
    let _: fn(&str) -> ! = never;
    let closures: Rc<[_]> = Rc::new([closure(0), closure(1)]);
    assert_eq!(closures[1]("ab"), "b");
    let _ = AssertUnwindSafe(closures);
}
