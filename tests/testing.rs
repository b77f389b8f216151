//! `instrument_runtime::testing` in a process without another recorder: which calls a
//! recording takes, which it does not, and its messages when a test fails.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, StatusCode};
use instrument_runtime::instrumented;
use instrument_runtime::testing::{Recording, Snapshot};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tower::ServiceExt;

#[instrumented(endpoint = "/users/{id}", method = "GET", labels(tenant = tenant))]
async fn user(tenant: &str, fate: &str) -> Result<u8, u8> {
    yield_now().await;
    match fate {
        "fails" => Err(1),
        "panics" => panic!("on purpose"),
        "waits" => pending().await,
        _ => Ok(1),
    }
}

/// Spawns a task without the recording, like application code that does not know about the
/// test.
#[instrumented]
async fn spawns() {
    let task = tokio::spawn(user("spawned", ""));
    task.await.expect("no panic").expect("a user");
}

fn current_thread() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

fn multi_thread() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(4).enable_all();
    builder
}

/// Returns the panic message of `f`.
fn panic_of(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("a panic");
    let text = panic.downcast_ref::<String>().expect("a formatted text");
    text.clone()
}

#[tokio::test]
async fn a_scope_counts_what_its_future_does() {
    let recording = Recording::new();
    let output = recording
        .scope(async {
            let _ = user("acme", "fails").await;
            user("acme", "").await.expect("a user") + user("initech", "").await.expect("a user")
        })
        .await;
    assert_eq!(output, 2);

    let endpoint = ("endpoint", "/users/{id}");
    assert_eq!(recording.requests(&[]), 3);
    assert_eq!(recording.requests(&[endpoint, ("outcome", "ok")]), 2);
    assert_eq!(recording.requests(&[endpoint, ("outcome", "error")]), 1);
    assert_eq!(recording.requests(&[("tenant", "initech"), endpoint]), 1);
    assert_eq!(recording.requests(&[("tenant", "acme")]), 2);
    for nothing in [
        ("outcome", "panicked"),
        ("tenant", ""),
        ("tenants", "acme"),
        ("endpoint", "/users"),
    ] {
        assert_eq!(recording.requests(&[nothing, endpoint]), 0, "{nothing:?}");
    }
    assert_eq!(recording.latency(&[("tenant", "acme")]).count, 2);
    recording.assert_requests(&[endpoint], 3);
    recording.assert_in_progress(&[endpoint], 0);
}

#[test]
fn a_look_empties_nothing_and_in_progress_goes_up_and_down() {
    let recording = Recording::new();
    let mut context = Context::from_waker(Waker::noop());
    let mut call = Box::pin(recording.scope(user("acme", "waits")));
    for _ in 0..3 {
        assert!(call.as_mut().poll(&mut context).is_pending());
        for _ in 0..2 {
            recording.assert_in_progress(&[("tenant", "acme")], 1);
            recording.assert_requests(&[], 0);
        }
    }
    let before = recording.snapshot();
    assert_eq!(before, recording.snapshot());
    drop(call);
    recording.assert_in_progress(&[("tenant", "acme")], 0);
    assert_eq!(before.in_progress(&[]), 1, "a snapshot stays as it was");
}

/// The call belongs to its recording even if it is dropped outside the recording, on
/// another thread, or with its runtime.
#[test]
fn a_future_dropped_half_way_is_cancelled() {
    let cancelled = [("outcome", "cancelled"), ("http_status", "499")];
    let mut context = Context::from_waker(Waker::noop());

    let recording = Recording::new();
    let mut call = Box::pin(recording.scope(user("acme", "waits")));
    assert!(call.as_mut().poll(&mut context).is_pending());
    drop(call);
    recording.assert_requests(&cancelled, 1);
    assert_eq!(recording.latency(&cancelled[..1]).count, 1);

    let recording = Recording::new();
    let mut call = Box::pin(recording.scope(user("acme", "waits")));
    assert!(call.as_mut().poll(&mut context).is_pending());
    thread::spawn(move || drop(call)).join().expect("no panic");
    recording.assert_requests(&cancelled, 1);

    let recording = Recording::new();
    let runtime = multi_thread().build().expect("a runtime");
    let tasks = (0..50).map(|_| runtime.spawn(recording.scope(user("acme", "waits"))));
    let aborted: Vec<_> = tasks.collect();
    instrument_tests::wait_for("the tasks", || {
        (recording.in_progress(&[]) == 50).then_some(())
    });
    for task in aborted.iter().take(20) {
        task.abort();
    }
    instrument_tests::wait_for("the aborted", || {
        (recording.requests(&cancelled) == 20).then_some(())
    });
    drop(runtime);
    recording.assert_requests(&cancelled, 50);
    recording.assert_in_progress(&[], 0);

    let recording = Recording::new();
    drop(recording.scope(user("acme", "waits")));
    assert!(recording.snapshot().is_empty(), "it never started");
}

#[test]
fn a_panic_is_counted_and_leaves_the_recording() {
    let outer = Recording::new();
    let inner = Recording::new();
    let runtime = current_thread();
    outer.run(|| {
        let task = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(inner.scope(user("acme", "panics")))
        }));
        assert!(task.is_err());
        runtime.block_on(user("initech", "")).expect("a user");
    });
    inner.assert_requests(&[("outcome", "panicked"), ("http_status", "500")], 1);
    inner.assert_requests(&[], 1);
    inner.assert_in_progress(&[], 0);
    outer.assert_requests(&[("outcome", "ok"), ("tenant", "initech")], 1);
    outer.assert_requests(&[], 1);
}

#[test]
fn tasks_on_many_threads_add_up() {
    const TASKS: u64 = 200;
    let recording = Recording::new();
    multi_thread().build().expect("a runtime").block_on(async {
        let fates = ["", "", "fails", "panics"];
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| tokio::spawn(recording.scope(user("acme", fates[task as usize % 4]))))
            .collect();
        for task in tasks {
            let _ = task.await;
        }
    });
    for (outcome, times) in [
        ("ok", TASKS / 2),
        ("error", TASKS / 4),
        ("panicked", TASKS / 4),
    ] {
        recording.assert_requests(&[("outcome", outcome)], times);
        assert_eq!(recording.latency(&[("outcome", outcome)]).count, times);
    }
    recording.assert_in_progress(&[], 0);
}

#[test]
fn a_current_thread_runtime_is_recorded_with_all_its_tasks() {
    let recording = Recording::new();
    recording.run(|| current_thread().block_on(spawns()));
    recording.assert_requests(&[("tenant", "spawned")], 1);
    recording.assert_requests(&[("endpoint", "spawns")], 1);
}

#[test]
fn a_runtimes_threads_are_recorded_with_all_their_tasks() {
    let recordings = [Recording::new(), Recording::new()];
    let start = Barrier::new(recordings.len());
    thread::scope(|scope| {
        for (index, recording) in recordings.iter().enumerate() {
            let start = &start;
            scope.spawn(move || {
                let threads = recording.clone();
                let runtime = multi_thread()
                    .on_thread_start(move || threads.record_thread())
                    .build()
                    .expect("a runtime");
                start.wait();
                runtime.block_on(async {
                    for _ in 0..=index {
                        tokio::spawn(spawns()).await.expect("no panic");
                    }
                });
            });
        }
    });
    for (recording, times) in recordings.iter().zip([1, 2]) {
        recording.assert_requests(&[("tenant", "spawned")], times);
        recording.assert_requests(&[("endpoint", "spawns")], times);
    }
}

#[test]
fn a_scope_leaves_out_the_tasks_that_its_future_spawns() {
    let recording = Recording::new();
    current_thread().block_on(recording.scope(spawns()));
    recording.assert_requests(&[], 1);
    recording.assert_requests(&[("endpoint", "spawns")], 1);
}

#[test]
fn recordings_at_the_same_time_do_not_see_each_other() {
    const CALLS: u64 = 200;
    let recordings: Vec<_> = (0..4).map(|_| Recording::new()).collect();
    let start = Barrier::new(recordings.len());
    thread::scope(|scope| {
        for (index, recording) in recordings.iter().enumerate() {
            let start = &start;
            scope.spawn(move || {
                let runtime = current_thread();
                start.wait();
                for _ in 0..CALLS + index as u64 {
                    let _ = runtime.block_on(recording.scope(user("same", "")));
                }
            });
        }
    });
    for (recording, calls) in recordings.iter().zip(CALLS..) {
        recording.assert_requests(&[("tenant", "same")], calls);
        recording.assert_requests(&[], calls);
    }
}

#[tokio::test]
async fn the_inner_of_two_recordings_takes_the_call() {
    let outer = Recording::new();
    let inner = Recording::new();
    outer
        .scope(async {
            let _ = user("before", "").await;
            inner
                .scope(async {
                    let _ = user("within", "").await;
                    yield_now().await;
                    let _ = user("within", "").await;
                })
                .await;
            let _ = user("after", "").await;
            inner.run(|| {
                let mut context = Context::from_waker(Waker::noop());
                let _ = pin!(user("run", "")).poll(&mut context);
            });
            let _ = user("after", "").await;
        })
        .await;
    for (tenant, times) in [("before", 1), ("within", 0), ("after", 2), ("run", 0)] {
        outer.assert_requests(&[("tenant", tenant)], times);
    }
    for (tenant, times) in [("before", 0), ("within", 2), ("after", 0), ("run", 1)] {
        inner.assert_requests(&[("tenant", tenant)], times);
    }
    assert_eq!((outer.requests(&[]), inner.requests(&[])), (3, 3));
}

#[instrumented(endpoint = "/blocks")]
async fn blocks(time: Duration) {
    thread::sleep(time);
}

#[tokio::test]
async fn a_latency_is_the_time_that_passed() {
    let recording = Recording::new();
    let started = Instant::now();
    let times = [Duration::from_millis(20), Duration::from_millis(30)];
    recording
        .scope(async {
            for time in times {
                blocks(time).await;
            }
        })
        .await;
    let at_most = started.elapsed();
    let latency = recording.latency(&[("endpoint", "/blocks"), ("outcome", "ok")]);
    assert_eq!(latency.count, 2);
    assert!(
        (times[0] + times[1]..=at_most).contains(&latency.sum),
        "{:?} of {at_most:?}",
        latency.sum
    );
}

#[test]
fn sums_of_seconds_are_exact() {
    let recording = Recording::new();
    recording.run(|| {
        let latency = metrics::histogram!("request_latency_seconds", "endpoint" => "/exact");
        latency.record(1e6);
        for _ in 0..1_000 {
            latency.record(0.000_000_1);
        }
        latency.record(Duration::from_nanos(1));
    });
    let before = recording.snapshot();
    let latency = before.latency(&[]);
    assert_eq!(latency.count, 1_002);
    assert_eq!(latency.sum, Duration::new(1_000_000, 100_001));
    recording.run(|| {
        metrics::histogram!("request_latency_seconds", "endpoint" => "/exact").record(2e-9);
    });
    let added = recording.snapshot().since(&before).latency(&[]);
    assert_eq!((added.count, added.sum), (1, Duration::from_nanos(2)));
}

#[test]
fn the_applications_own_metrics_are_there_too() {
    let recording = Recording::new();
    recording.run(|| {
        metrics::counter!("mails_total", "kind" => "bill").increment(2);
        metrics::counter!("mails_total", "kind" => "news").increment(3);
        metrics::gauge!("queue_length").set(2.5);
        metrics::gauge!("queue_length").decrement(4);
        let size = metrics::histogram!("mail_bytes");
        size.record(f64::INFINITY);
        size.record(7);
    });
    assert_eq!(recording.counter("mails_total", &[]), 5);
    assert_eq!(recording.counter("mails_total", &[("kind", "news")]), 3);
    assert_eq!(recording.counter("queue_length", &[]), 0, "of another kind");
    assert_eq!(recording.gauge("queue_length", &[]), -1.5);
    let size = recording.histogram("mail_bytes", &[]);
    assert_eq!((size.count, size.sum), (2, f64::INFINITY));
    assert_eq!(
        recording.to_string(),
        "mail_bytes count 2, sum inf\n\
         mails_total{kind=\"bill\"} 2\n\
         mails_total{kind=\"news\"} 3\n\
         queue_length -1.5"
    );
}

#[test]
fn a_difference_has_what_was_added_and_gauges_as_they_are() {
    let recording = Recording::new();
    let runtime = current_thread();
    let call = |tenant: &'static str| {
        let _ = runtime.block_on(recording.scope(user(tenant, "")));
    };
    let mut context = Context::from_waker(Waker::noop());
    let mut waits = Box::pin(recording.scope(user("early", "waits")));
    assert!(waits.as_mut().poll(&mut context).is_pending());
    call("early");
    call("both");
    let before = recording.snapshot();
    call("both");
    call("both");
    call("late");
    let after = recording.snapshot();

    let added = after.since(&before);
    for (tenant, times) in [("early", 0), ("both", 2), ("late", 1)] {
        added.assert_requests(&[("tenant", tenant)], times);
        assert_eq!(added.latency(&[("tenant", tenant)]).count, times);
    }
    added.assert_in_progress(&[("tenant", "early")], 1);
    let text = added.to_string();
    let mut counters = text.lines().filter(|l| l.starts_with("requests_total"));
    assert!(
        counters.all(|line| !line.contains("early")),
        "unchanged counters are left out:\n{added}"
    );
    after.since(&after).assert_requests(&[], 0);
    assert_eq!(after.since(&Snapshot::default()), after);
}

#[test]
fn a_failed_assertion_shows_what_was_recorded() {
    let recording = Recording::new();
    let _ = current_thread().block_on(recording.scope(user("a\"b", "fails")));
    let sum = recording.histogram("request_latency_seconds", &[]).sum;
    let labels = r#"endpoint="/users/{id}",method="GET""#;
    let recorded = format!(
        "recorded:\n  \
         request_latency_seconds{{{labels},outcome=\"error\",tenant=\"a\\\"b\"}} count 1, sum {sum}\n  \
         requests_in_progress{{{labels},tenant=\"a\\\"b\"}} 0\n  \
         requests_total{{{labels},outcome=\"error\",tenant=\"a\\\"b\"}} 1"
    );
    assert_eq!(
        panic_of(|| recording.assert_requests(&[("method", "GET"), ("outcome", "ok")], 1)),
        format!(
            "requests_total{{method=\"GET\",outcome=\"ok\"}} is 0, not 1\n\
             no requests_total series has outcome=\"ok\"; recorded values: \"error\"\n{recorded}"
        )
    );
    assert_eq!(
        panic_of(|| recording.assert_in_progress(&[("tennant", "x")], 1)),
        format!(
            "requests_in_progress{{tennant=\"x\"}} is 0, not 1\n\
             no requests_in_progress series has tennant=\"x\"; recorded labels: endpoint, method, tenant\n\
             {recorded}"
        )
    );
    assert_eq!(
        panic_of(|| recording.assert_requests(&[], 2)),
        format!(
            "requests_total is 1, not 2\n\
             a spawned task is recorded only if it is wrapped in its own `scope`\n{recorded}"
        )
    );
    assert_eq!(
        panic_of(|| recording.assert_requests(&[], 0)),
        format!("requests_total is 1, not 0\n{recorded}")
    );
    let both = Recording::new();
    let _ = current_thread().block_on(both.scope(user("a", "fails")));
    let _ = current_thread().block_on(both.scope(user("b", "works")));
    let message = panic_of(|| both.assert_requests(&[("tenant", "a"), ("outcome", "ok")], 1));
    assert!(
        message.contains(" is 0, not 1\nno single series has all of these labels\nrecorded:"),
        "{message}"
    );
    assert_eq!(recording.to_string(), recorded.replace("\n  ", "\n")[10..]);

    let empty = panic_of(|| Recording::new().assert_requests(&[], 1));
    assert!(
        empty.starts_with("requests_total is 0, not 1\nnothing was recorded: "),
        "{empty}"
    );
}

/// The location in the panic message is in the test, not in the library.
#[test]
fn a_failed_assertion_points_at_the_test() {
    static PLACES: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if let Some(place) = info.location() {
            let mut places = PLACES.lock().expect("no panic in a hook");
            places.push(format!("{}:{}", place.file(), place.line()));
        }
        default(info);
    }));
    let line = line!() + 1;
    panic_of(|| Recording::new().assert_requests(&[], 71));
    let place = format!("{}:{line}", file!());
    assert!(
        PLACES.lock().expect("no panic in a hook").contains(&place),
        "{place}"
    );
}

#[tokio::test]
async fn a_request_through_a_layer_is_recorded() {
    #[instrumented]
    async fn teapot() -> StatusCode {
        yield_now().await;
        StatusCode::IM_A_TEAPOT
    }
    let app: Router = Router::new()
        .route("/tea/{kind}", get(teapot))
        .layer(instrument_runtime::axum::layer());
    let recording = Recording::new();
    for path in ["/tea/green", "/tea/black", "/coffee"] {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let Ok(_response) = recording.scope(app.clone().oneshot(request)).await;
    }
    let tea = [("endpoint", "/tea/{kind}"), ("http_status", "418")];
    recording.assert_requests(&tea, 2);
    recording.assert_requests(&[("endpoint", "unmatched"), ("http_status", "404")], 1);
    recording.assert_requests(&[], 3);
    assert_eq!(recording.latency(&[]).count, 3);
    recording.assert_in_progress(&[], 0);
}
