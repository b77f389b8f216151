//! Who takes the request: random applications and random requests on each
//! framework, and the page beside what the functions themselves noted.
//!
//! Some hundreds of cases for each framework; `PROPTEST_CASES=100000` for hours.

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
use instrument_tests::recorded::Recorded;
use proptest::collection::vec;
use proptest::prelude::ProptestConfig;
use proptest::test_runner::{TestCaseError, TestRunner};

use functions::OnPurpose;
use plan::{End, Plan, Step, What};
use truth::{About, Call, Handler, Protocol};

/// An application on one of the frameworks.
pub(crate) struct App {
    method: &'static str,
    protocol: Protocol,
    /// The path to ask for, the route that matches it, and its handler.
    handlers: &'static [(&'static str, &'static str, &'static About)],
    /// Sends a request, and gives the status that went out.
    send: fn(&'static str) -> LocalBoxFuture<'static, u16>,
}

/// What became of a request, from outside the layer.
#[derive(Clone, Copy, Debug)]
enum Seen {
    Answered(u16),
    Dropped,
    Panicked,
}

/// Polls a request to its end, or until its client leaves.
async fn drive(request: LocalBoxFuture<'static, u16>, hang_up: Option<u8>) -> (Seen, u32) {
    let mut request = Some(request);
    let mut left = hang_up.map_or(u32::MAX, u32::from);
    poll_fn(|context| {
        let Some(polled) = &mut request else {
            unreachable!("it has not ended");
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
        let answered = truth::event();
        request = None;
        let dropped = truth::event();
        Poll::Ready((
            seen,
            match seen {
                Seen::Answered(_) => answered,
                Seen::Dropped | Seen::Panicked => dropped,
            },
        ))
    })
    .await
}

/// Whether the request has this call's labels, as far as the library can know.
fn joins(call: &Call, seen: Seen, at: u32) -> bool {
    match call.about.handler {
        Handler::Never => false,
        Handler::Certain => true,
        Handler::Inferred => {
            let has_ended = call.end.is_some() && call.ended < at;
            match seen {
                Seen::Dropped => has_ended,
                _ => has_ended && call.end != Some(truth::End::Cancelled),
            }
        }
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

/// The labels in the order of their names.
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

/// What the three metrics came to: requests, latencies by the same labels without a
/// status, and whatever is still in progress.
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

/// Sends requests at once, and compares.
fn hold(app: &'static App, plans: &[Plan]) -> Result<(), TestCaseError> {
    truth::calls();
    let (seen, lines) = Recorded::during_async(async |recorded| {
        tokio::task::LocalSet::new()
            .run_until(async {
                let requests = plans.iter().enumerate().map(|(number, plan)| {
                    let (path, ..) = app.handlers[plan.handler];
                    let plan = Arc::new(plan.clone());
                    let hang_up = plan.hang_up;
                    let request = plan::Request { number, plan };
                    drive(Box::pin(request.within((app.send)(path))), hang_up)
                });
                let seen = join_all(requests).await;
                functions::join_spawned().await;
                (seen, recorded.lines())
            })
            .await
    });
    let calls = truth::calls();
    let mut expected = Counts::new();
    for (number, (plan, &(seen, at))) in plans.iter().zip(&seen).enumerate() {
        let (_, route, about) = app.handlers[plan.handler];
        let calls = || calls.iter().filter(|call| call.request == number);
        // Of several tries the last one is what the client sees.
        let handler = calls().rfind(|call| std::ptr::eq(call.about, about));
        let panicked = handler.is_some_and(|call| call.end == Some(truth::End::Panicked));
        let joined = handler.filter(|call| joins(call, seen, at));
        let line = request_line(app, route, joined, seen, panicked);
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
    let context = format!("{seen:?}, {calls:#?}");
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

/// Takes out of a plan what the library's documentation calls doubtful: there the way
/// out that it names is taken, `handler = false`.
fn settle(app: &App, plan: &mut Plan, may_be_handler: &impl Fn(What, bool) -> bool) {
    let (.., about) = app.handlers[plan.handler];
    let deny = |steps: &mut [Step], mut has_waited: bool| {
        for step in steps {
            match step {
                Step::Yield => has_waited = true,
                step => plan::each_helper(std::slice::from_mut(step), &|what| {
                    if may_be_handler(*what, has_waited) {
                        *what = What::Denied;
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
        deny(&mut plan.after, has_waited && !plan.is_refused);
    }
    // Nobody would end it.
    if plan.is_moved && plan.end == End::Never {
        plan.end = End::Ok;
    }
    // Of two tries neither may be the one that counts.
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
        config.cases = 4_000;
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
    // A path is known once something has answered there.
    for (path, ..) in tonic_app::APP.handlers {
        let plan = Arc::new(Plan::plain());
        let request = plan::Request { number: 0, plan };
        Recorded::during_async(async |_| request.within((tonic_app::APP.send)(path)).await);
    }
    every_request_is_counted_once(&tonic_app::APP, |_, _| false);
}
