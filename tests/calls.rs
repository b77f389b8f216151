//! How one call is counted: each way to end, each kind of return type.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use instrument_runtime::{HttpStatus, Outcome, instrumented};
use instrument_tests::recorded::{Recorded, one_call};
use tokio::task::yield_now;
use tokio::time::sleep;

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[derive(Debug, PartialEq)]
struct Told(u16);

impl HttpStatus for Told {
    fn http_status(&self) -> u16 {
        self.0
    }
}

mod ends {
    use super::*;

    #[instrumented]
    async fn returns() -> u8 {
        yield_now().await;
        7
    }

    #[test]
    fn a_return_is_ok_under_the_functions_path() {
        Recorded::during_async(async |recorded| {
            assert_eq!(returns().await, 7);
            assert_eq!(
                recorded.lines(),
                one_call("endpoint=ends::returns", "outcome=ok")
            );
        });
    }

    #[instrumented]
    async fn returns_early(early: bool) -> Result<u8, std::num::ParseIntError> {
        if early {
            return Ok(1);
        }
        let number = "x".parse::<u8>()?;
        Ok(number)
    }

    #[test]
    fn early_returns_and_question_marks_are_seen() {
        Recorded::during_async(async |recorded| {
            assert_eq!(returns_early(true).await, Ok(1));
            assert_eq!(
                recorded.lines(),
                one_call("endpoint=ends::returns_early", "outcome=ok")
            );
        });
        Recorded::during_async(async |recorded| {
            assert!(returns_early(false).await.is_err());
            assert_eq!(
                recorded.lines(),
                one_call("endpoint=ends::returns_early", "outcome=error")
            );
        });
    }

    #[instrumented]
    async fn panics(after_a_pause: bool) {
        if after_a_pause {
            yield_now().await;
        }
        panic!("on purpose");
    }

    #[test]
    fn a_panic_is_panicked_in_the_first_poll_and_later() {
        for after_a_pause in [false, true] {
            Recorded::during(|recorded| {
                let mut call = Box::pin(panics(after_a_pause));
                let panicked = catch_unwind(AssertUnwindSafe(|| {
                    while poll_once(call.as_mut()).is_pending() {}
                }));
                assert!(panicked.is_err());
                drop(call);
                assert_eq!(
                    recorded.lines(),
                    one_call("endpoint=ends::panics", "outcome=panicked")
                );
            });
        }
    }

    #[instrumented]
    async fn waits() {
        std::future::pending::<()>().await;
    }

    #[test]
    fn a_call_is_in_progress_from_its_first_poll_on() {
        Recorded::during(|recorded| {
            let mut call = Box::pin(waits());
            for _ in 0..2 {
                assert!(poll_once(call.as_mut()).is_pending());
            }
            assert_eq!(
                recorded.lines(),
                ["requests_in_progress endpoint=ends::waits 1"]
            );
        });
    }

    #[test]
    fn a_dropped_future_is_cancelled() {
        Recorded::during(|recorded| {
            let mut call = Box::pin(waits());
            assert!(poll_once(call.as_mut()).is_pending());
            drop(call);
            assert_eq!(
                recorded.lines(),
                one_call("endpoint=ends::waits", "outcome=cancelled")
            );
        });
    }

    #[test]
    fn a_future_dropped_before_its_first_poll_leaves_no_trace() {
        Recorded::during(|recorded| {
            drop(waits());
            assert_eq!(recorded.lines(), [""; 0]);
        });
    }

    /// The panic occurs outside the call. Unwinding only drops the call's future.
    #[test]
    fn a_future_dropped_by_another_panic_is_cancelled() {
        Recorded::during(|recorded| {
            let panicked = catch_unwind(|| {
                let mut call = Box::pin(waits());
                assert!(poll_once(call.as_mut()).is_pending());
                panic!("on purpose");
            });
            assert!(panicked.is_err());
            assert_eq!(
                recorded.lines(),
                one_call("endpoint=ends::waits", "outcome=cancelled")
            );
        });
    }

    #[instrumented]
    async fn outer() -> u8 {
        inner().await + inner().await
    }

    #[instrumented]
    async fn inner() -> u8 {
        yield_now().await;
        1
    }

    #[test]
    fn nested_calls_are_counted_each() {
        Recorded::during_async(async |recorded| {
            assert_eq!(outer().await, 2);
            assert_eq!(
                recorded.lines(),
                [
                    "request_latency_seconds endpoint=ends::inner outcome=ok 2",
                    "request_latency_seconds endpoint=ends::outer outcome=ok 1",
                    "requests_in_progress endpoint=ends::inner 0",
                    "requests_in_progress endpoint=ends::outer 0",
                    "requests_total endpoint=ends::inner outcome=ok 2",
                    "requests_total endpoint=ends::outer outcome=ok 1",
                ]
            );
        });
    }

    #[instrumented]
    async fn blocks(time: Duration) {
        std::thread::sleep(time);
    }

    #[test]
    fn the_latency_is_what_passed_in_seconds() {
        Recorded::during(|recorded| {
            let call = blocks(Duration::from_millis(30));
            std::thread::sleep(Duration::from_millis(60));
            let started = std::time::Instant::now();
            assert!(poll_once(pin!(call)).is_ready());
            let at_most = started.elapsed().as_secs_f64();
            let seconds = recorded.seconds();
            assert!(
                (0.03..=at_most).contains(&seconds),
                "{seconds} of {at_most}"
            );
        });
    }
}

mod requests {
    use super::*;

    #[instrumented(endpoint = "/users/{id}", method = "GET")]
    async fn user(fate: &str) -> Result<&'static str, Told> {
        match fate {
            "missing" => Err(Told(404)),
            "broken" => Err(Told(503)),
            "slow" => {
                sleep(Duration::from_secs(9)).await;
                Ok("late")
            }
            "panic" => panic!("on purpose"),
            _ => Ok("Alice"),
        }
    }

    const LABELS: &str = "method=GET endpoint=/users/{id}";

    #[test]
    fn the_status_tells_the_outcome() {
        for (fate, end) in [
            ("found", "outcome=ok http_status=200"),
            ("missing", "outcome=client_error http_status=404"),
            ("broken", "outcome=error http_status=503"),
        ] {
            Recorded::during_async(async |recorded| {
                let _ = user(fate).await;
                assert_eq!(recorded.lines(), one_call(LABELS, end));
            });
        }
    }

    #[test]
    fn a_request_that_never_answers_has_a_status_all_the_same() {
        Recorded::during_async(async |recorded| {
            let timed_out = tokio::time::timeout(Duration::from_secs(1), user("slow")).await;
            assert!(timed_out.is_err());
            assert_eq!(
                recorded.lines(),
                one_call(LABELS, "outcome=cancelled http_status=499")
            );
        });
        Recorded::during(|recorded| {
            let panicked = catch_unwind(|| poll_once(pin!(user("panic"))));
            assert!(panicked.is_err());
            assert_eq!(
                recorded.lines(),
                one_call(LABELS, "outcome=panicked http_status=500")
            );
        });
    }

    /// Has no method, but a return type that tells a status, so it counts as a request.
    #[instrumented]
    async fn told_by_type() -> Told {
        std::future::pending().await
    }

    #[test]
    fn a_type_that_tells_makes_it_a_request() {
        Recorded::during(|recorded| {
            assert!(poll_once(pin!(told_by_type())).is_pending());
            assert_eq!(
                recorded.lines(),
                one_call(
                    "endpoint=requests::told_by_type",
                    "outcome=cancelled http_status=499"
                )
            );
        });
    }
}

mod return_types {
    use super::*;

    type Anyhow<T> = Result<T, Box<dyn std::error::Error>>;
    type Silly = std::result::Result<u8, ()>;

    #[instrumented]
    async fn aliased(ok: bool) -> Anyhow<u8> {
        if ok { Ok(1) } else { Err("no".into()) }
    }

    #[instrumented]
    async fn silly() -> Silly {
        Err(())
    }

    #[instrumented]
    async fn both(ok: bool) -> Result<Told, Told> {
        if ok { Ok(Told(201)) } else { Err(Told(409)) }
    }

    #[instrumented]
    async fn only_ok(ok: bool) -> Result<Told, ()> {
        if ok { Ok(Told(404)) } else { Err(()) }
    }

    #[instrumented]
    async fn only_err(ok: bool) -> Result<(), Told> {
        if ok { Ok(()) } else { Err(Told(400)) }
    }

    #[instrumented]
    async fn boxed(ok: bool) -> Result<(), Box<Told>> {
        if ok { Ok(()) } else { Err(Box::new(Told(500))) }
    }

    #[instrumented]
    async fn option() -> Option<u8> {
        None
    }

    #[instrumented]
    async fn no_status() -> Told {
        Told(42)
    }

    #[instrumented(outcome = |text| if text.is_empty() { Outcome::ClientError } else { Outcome::HttpStatus(202) })]
    async fn judged(text: &str) -> String {
        text.to_owned()
    }

    fn too_big(number: &u32) -> Outcome {
        if *number > 9 {
            Outcome::Error
        } else {
            Outcome::Ok
        }
    }

    #[instrumented(outcome = too_big)]
    async fn judged_by_path(number: u32) -> u32 {
        number
    }

    /// Without a method, a string is not a response, so there is no status.
    #[instrumented]
    async fn plain_text() -> String {
        String::new()
    }

    macro_rules! told {
        ($($name:ident: $call:expr => $end:expr;)*) => {
            $(
                #[test]
                fn $name() {
                    Recorded::during_async(async |recorded| {
                        let _ = $call.await;
                        let function = stringify!($call).split('(').next().unwrap();
                        let labels = format!("endpoint=return_types::{function}");
                        assert_eq!(recorded.lines(), one_call(&labels, $end));
                    });
                }
            )*
        };
    }

    told! {
        an_alias_with_a_default_error_ok: aliased(true) => "outcome=ok";
        an_alias_with_a_default_error_err: aliased(false) => "outcome=error";
        an_alias_of_another_name: silly() => "outcome=error";
        both_sides_ok: both(true) => "outcome=ok http_status=201";
        both_sides_err: both(false) => "outcome=client_error http_status=409";
        ok_side_told: only_ok(true) => "outcome=client_error http_status=404";
        ok_side_untold_err: only_ok(false) => "outcome=error";
        err_side_untold_ok: only_err(true) => "outcome=ok";
        err_side_told: only_err(false) => "outcome=client_error http_status=400";
        err_in_a_box: boxed(false) => "outcome=error http_status=500";
        ok_beside_a_box: boxed(true) => "outcome=ok";
        an_option_is_ok: option() => "outcome=ok";
        a_number_that_is_no_status: no_status() => "outcome=error";
        a_closure_judges: judged("") => "outcome=client_error";
        a_closure_tells_a_status: judged("x") => "outcome=ok http_status=202";
        a_function_judges: judged_by_path(10) => "outcome=error";
        a_function_judges_well: judged_by_path(9) => "outcome=ok";
        text_alone_is_no_answer: plain_text() => "outcome=ok";
    }
}

mod labels {
    use super::*;
    use std::cell::Cell;
    use std::fmt;

    #[instrumented(labels(tenant = tenant, region = "eu", size = rows.len()))]
    async fn import(tenant: &str, rows: Vec<u8>) -> usize {
        drop(rows);
        yield_now().await;
        0
    }

    #[test]
    fn own_labels_are_on_all_three_and_see_the_arguments() {
        Recorded::during_async(async |recorded| {
            import("acme", vec![1, 2]).await;
            assert_eq!(
                recorded.lines(),
                one_call(
                    "endpoint=labels::import region=eu tenant=acme size=2",
                    "outcome=ok"
                )
            );
        });
    }

    struct Once<'a>(&'a Cell<u8>);

    impl fmt::Display for Once<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.set(self.0.get() + 1);
            f.write_str("once")
        }
    }

    #[instrumented(labels(how = Once(count)))]
    async fn evaluated(count: &Cell<u8>) {
        yield_now().await;
    }

    #[test]
    fn an_expression_is_evaluated_once_on_entry() {
        Recorded::during_async(async |recorded| {
            let count = Cell::new(0);
            let call = evaluated(&count);
            assert_eq!(count.get(), 0, "not before the first poll");
            call.await;
            assert_eq!(count.get(), 1);
            assert_eq!(
                recorded.lines(),
                one_call("endpoint=labels::evaluated how=once", "outcome=ok")
            );
        });
    }
}

mod recorders {
    use super::*;

    #[instrumented]
    async fn counted() {}

    /// One call site records in several recorders in turn. No recorder sees the calls of
    /// another, even if it is allocated at the same address.
    #[test]
    fn local_recorders_are_apart() {
        for _ in 0..3 {
            Recorded::during(|outer| {
                assert!(poll_once(pin!(counted())).is_ready());
                Recorded::during(|inner| {
                    assert!(poll_once(pin!(counted())).is_ready());
                    assert!(poll_once(pin!(counted())).is_ready());
                    assert!(inner.lines().contains(
                        &"requests_total endpoint=recorders::counted outcome=ok 2".to_owned()
                    ));
                });
                assert_eq!(
                    outer.lines(),
                    one_call("endpoint=recorders::counted", "outcome=ok")
                );
            });
        }
    }

    #[instrumented]
    async fn waits() {
        std::future::pending::<()>().await;
    }

    /// The increment and the decrement reach the same gauge, on whichever thread the
    /// future is dropped.
    #[test]
    fn the_gauge_goes_down_on_another_thread() {
        Recorded::during(|recorded| {
            let mut call = Box::pin(waits());
            assert!(poll_once(call.as_mut()).is_pending());
            std::thread::spawn(move || drop(call))
                .join()
                .expect("the drop does not panic");
            assert!(
                recorded
                    .lines()
                    .contains(&"requests_in_progress endpoint=recorders::waits 0".to_owned())
            );
        });
    }
}
