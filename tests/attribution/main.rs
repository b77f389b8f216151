//! Property test of the attribution of requests to handlers: random applications get
//! random requests on each framework, and the page is compared with what the functions
//! themselves recorded.
//!
//! It runs 300 cases per framework, and 1,500 in CI. `PROPTEST_CASES=1000000` runs for
//! hours.
//!
//! - `plan`: random plans for one request.
//! - `functions`: the annotated helpers, and the execution of plans.
//! - `truth`: what each function records about its own calls.
//! - `axum_app`, `actix_app`, `tower_app`, `tonic_app`: the applications.

mod actix_app;
mod axum_app;
mod functions;
mod plan;
mod tonic_app;
mod tower_app;
mod truth;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::Poll;

use futures::future::{LocalBoxFuture, join_all};
use instrument_tests::in_ci;
use instrument_tests::recorded::Recorded;
use proptest::collection::vec;
use proptest::prelude::ProptestConfig;
use proptest::test_runner::{TestCaseError, TestRunner};

use functions::OnPurpose;
use plan::{End, Plan, Step, Way, What};
use truth::{About, Call, Handler, Protocol};

/// An application on one of the frameworks.
pub(crate) struct App {
    method: &'static str,
    protocol: Protocol,
    /// Whether routing happens before the middleware runs.
    is_routed_first: bool,
    /// Whether a layer inside the middleware sees the panics of every handler.
    has_inner_layer: bool,
    /// For each handler: the path of the request, the route that matches it, the handler.
    handlers: &'static [(&'static str, &'static str, &'static About)],
    /// Sends a request and returns the status of the response.
    send: fn(&'static str) -> LocalBoxFuture<'static, u16>,
}

/// How a request ended, seen from outside the layer.
#[derive(Clone, Copy, Debug)]
enum Seen {
    Answered(u16),
    Dropped,
    Panicked,
}

/// The end of a request, and the two events around it.
#[derive(Clone, Copy, Debug)]
struct Ended {
    seen: Seen,
    /// The number of an event before the end.
    after: u32,
    /// The number of an event after the request's future was dropped.
    before: u32,
}

/// Polls a request to its end, or until its client hangs up.
async fn drive(request: LocalBoxFuture<'static, u16>, hang_up: Option<u8>) -> Ended {
    let mut request = Some(request);
    let mut left = hang_up.map_or(u32::MAX, u32::from);
    poll_fn(|context| {
        let Some(polled) = &mut request else {
            unreachable!("the request has not ended");
        };
        left -= 1;
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(polled).poll(context)));
        let seen = match polled {
            Ok(Poll::Ready(status)) => Seen::Answered(status),
            Err(_) => Seen::Panicked,
            Ok(Poll::Pending) if left == 0 => Seen::Dropped,
            Ok(Poll::Pending) => {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        };
        let after = truth::event();
        request = None;
        let before = truth::event();
        Poll::Ready(Ended {
            seen,
            after,
            before,
        })
    })
    .await
}

/// Returns whether the request must have the labels of this call, with what the library
/// can know about the call.
fn joins(call: &Call, request: Ended) -> bool {
    match (call.about.handler, call.end) {
        (Handler::Never, _) | (Handler::Inferred, None) => false,
        (Handler::Certain, _) => call.started < request.before,
        // Cancelled together with the request, not by the middleware.
        (Handler::Inferred, Some(truth::End::Cancelled)) => {
            matches!(request.seen, Seen::Dropped)
                && (request.after..request.before).contains(&call.ended)
        }
        (Handler::Inferred, Some(_)) => call.ended < request.after,
    }
}

fn request_line(app: &App, route: &str, call: Option<&Call>, seen: Seen, panicked: bool) -> String {
    let joined = call.map(|call| call.about);
    let endpoint = joined.and_then(|about| about.endpoint).unwrap_or(route);
    let labels = joined.map_or("", |about| about.labels);
    let end = match seen {
        Seen::Dropped => app.protocol.request("cancelled", 499),
        Seen::Panicked => app.protocol.request("panicked", 500),
        Seen::Answered(status) if panicked => app.protocol.request("panicked", status),
        Seen::Answered(status) => app.protocol.status(status),
    };
    format!("method={} endpoint={endpoint} {labels} {end}", app.method)
}

/// Sorts the labels of a line by name.
fn sorted(line: &str) -> String {
    let mut labels: Vec<&str> = line.split_whitespace().collect();
    labels.sort_unstable();
    labels.join(" ")
}

type Counts = BTreeMap<String, u64>;

fn add(counts: &mut Counts, line: &str, count: u64) {
    if count > 0 {
        *counts.entry(sorted(line)).or_default() += count;
    }
}

/// Returns the values of the three metrics: requests, latencies (by the same labels
/// without a status), and calls still in progress.
fn recorded(lines: &[String]) -> (Counts, Counts, Counts) {
    let mut of = <[Counts; 3]>::default();
    for line in lines {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once(' ').expect("labels");
        let counts = match name {
            "requests_total" => &mut of[0],
            "request_latency_seconds" => &mut of[1],
            "requests_in_progress" => &mut of[2],
            other => unreachable!("{other} is none of the three"),
        };
        let value: f64 = value.parse().expect("a number");
        assert!(value >= 0.0, "{line}");
        add(counts, labels, value as u64);
    }
    of.into()
}

fn without_status(requests: &Counts) -> Counts {
    let mut latencies = Counts::new();
    for (line, count) in requests {
        let labels: Vec<&str> = line
            .split(' ')
            .filter(|label| {
                !label.starts_with("http_status=") && !label.starts_with("grpc_status=")
            })
            .collect();
        add(&mut latencies, &labels.join(" "), *count);
    }
    latencies
}

/// Sends the requests concurrently and compares the counts.
fn hold(app: &'static App, plans: &[Plan]) -> Result<(), TestCaseError> {
    truth::calls();
    let (ended, lines) = Recorded::during_async(async |recorded| {
        tokio::task::LocalSet::new()
            .run_until(async {
                let requests = plans.iter().enumerate().map(|(number, plan)| {
                    let (path, ..) = app.handlers[plan.handler];
                    let plan = Arc::new(plan.clone());
                    let hang_up = plan.hang_up;
                    let request = plan::Request { number, plan };
                    drive(Box::pin(request.within((app.send)(path))), hang_up)
                });
                let ended = join_all(requests).await;
                functions::join_spawned().await;
                (ended, recorded.lines())
            })
            .await
    });
    let calls = truth::calls();
    let mut expected = Counts::new();
    for (number, (plan, &request)) in plans.iter().zip(&ended).enumerate() {
        let (_, route, about) = app.handlers[plan.handler];
        let calls = || calls.iter().filter(|call| call.request == number);
        // After a retry, the client sees the result of the last attempt.
        let handler =
            calls().rfind(|call| std::ptr::eq(call.about, about) && call.started < request.before);
        let joined = handler.filter(|call| joins(call, request));
        let panicked = handler
            .filter(|call| {
                app.has_inner_layer || joined.is_some_and(|other| std::ptr::eq(other, *call))
            })
            .is_some_and(|call| {
                call.end == Some(truth::End::Panicked) && call.ended < request.after
            });
        let is_routed = app.is_routed_first || handler.is_some();
        let route = if is_routed { route } else { "unmatched" };
        let line = request_line(app, route, joined, request.seen, panicked);
        add(&mut expected, &line, 1);
        for call in calls() {
            let is_joined = joined.is_some_and(|joined| std::ptr::eq(joined, call));
            let is_annotated = !call.about.alone.is_empty();
            if is_annotated && !is_joined {
                let end = call.end.expect("every call has ended");
                add(&mut expected, &call.about.line(end), 1);
            }
        }
    }
    let (requests, latencies, in_progress) = recorded(&lines);
    let context = format!("{ended:?}, {calls:#?}");
    if requests != expected {
        return Err(TestCaseError::fail(format!(
            "counted {requests:#?}\nnot {expected:#?}\n{context}"
        )));
    }
    if latencies != without_status(&expected) || !in_progress.is_empty() {
        return Err(TestCaseError::fail(format!(
            "latencies {latencies:#?}\nin progress {in_progress:#?}\n{context}"
        )));
    }
    Ok(())
}

/// Changes the cases in a plan that the library's documentation calls ambiguous. Helpers
/// that the library may mistake for the handler get `handler = false`, as the
/// documentation advises.
///
/// `may_be_handler` returns whether the library may mistake the helper for the handler.
/// Its second argument says whether an earlier handler has yielded.
fn settle(app: &App, plan: &mut Plan, may_be_handler: &impl Fn(What, bool) -> bool) {
    let (.., about) = app.handlers[plan.handler];
    let deny = |steps: &mut [Step], mut has_waited: bool| {
        for step in steps {
            match step {
                Step::Yield => has_waited = true,
                step => plan::each_helper(std::slice::from_mut(step), &|helper| {
                    if may_be_handler(helper.what, has_waited) {
                        helper.what = What::Denied;
                    }
                }),
            }
        }
    };
    let has_waited = plan.inside.iter().any(|step| matches!(step, Step::Yield));
    if about.handler == Handler::Never {
        deny(&mut plan.inside, false);
    }
    if about.handler == Handler::Never || plan.is_refused || plan.deadline.is_some() {
        deny(
            &mut plan.after,
            has_waited && !plan.is_refused && plan.deadline.is_none(),
        );
    }
    if about.handler == Handler::Inferred {
        // The library does not infer a handler while another function may be the handler,
        // or while other functions run concurrently with the handler.
        plan::each_way(&mut plan.before, &|way| {
            if let Way::Spawn(_) = way {
                *way = Way::Await;
            }
        });
        if plan.is_moved && plan.deadline.is_some() {
            plan.after.clear();
        }
    }
    // Nothing drops a handler in its own task, so it would run forever.
    if plan.is_moved && plan.end == End::Never {
        plan.end = End::Ok;
    }
    // With a deadline and a retry, the response may come from neither attempt.
    if plan.deadline.is_some() {
        plan.is_retried = false;
    }
}

fn every_request_is_counted_once(app: &'static App, may_be_handler: impl Fn(What, bool) -> bool) {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload().is::<OnPurpose>() {
                usual(panic);
            }
        }));
    });
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = if in_ci() { 1_500 } else { 300 };
    }
    config.failure_persistence = None;
    config.max_shrink_iters = 20_000;
    let plans = vec(plan::plan(app.handlers.len()), 1..=3);
    let result = TestRunner::new(config).run(&plans, |mut plans| {
        for plan in &mut plans {
            settle(app, plan, &may_be_handler);
        }
        hold(app, &plans)
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn on_axum() {
    every_request_is_counted_once(&axum_app::APP, |what, has_waited| match what {
        What::Zero => !has_waited,
        What::Text => true,
        _ => false,
    });
}

#[test]
fn on_tower() {
    every_request_is_counted_once(&tower_app::APP, |what, _| what == What::Text);
}

#[test]
fn on_actix_web() {
    every_request_is_counted_once(&actix_app::APP, |_, _| false);
}

#[test]
fn on_tonic() {
    // The layer knows a path only after a request to it has been answered.
    for (path, ..) in tonic_app::APP.handlers {
        let plan = Arc::new(Plan::plain());
        let request = plan::Request { number: 0, plan };
        Recorded::during_async(async |_| request.within((tonic_app::APP.send)(path)).await);
    }
    every_request_is_counted_once(&tonic_app::APP, |_, _| false);
}
