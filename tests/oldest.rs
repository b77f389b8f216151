//! The age of the oldest call in flight, of annotated functions.

mod exporter_promtool;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::channel::oneshot;
use futures::executor::block_on;
use instrument_runtime::{Builder, Exporter, MetricNames, instrumented};
use instrument_tests::ages::{Within, assert_age, pass};
use instrument_tests::allocations::{Counting, allocations};
use instrument_tests::page::{Page, scrape_as};
use instrument_tests::random::Random;
use instrument_tests::{alone, protobuf};
use metrics::gauge;
use metrics_exporter_prometheus::PrometheusBuilder;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NAME: &str = "requests_oldest_in_progress_seconds";

fn builder() -> Builder {
    instrument_runtime::builder("oldest")
        .without_listener()
        .oldest_in_progress()
}

static EXPORTER: LazyLock<Exporter> = LazyLock::new(|| builder().install().expect("installs"));

/// Returns the age on a page, and when the page was rendered.
fn age_of(exporter: &Exporter, labels: &[(&str, &str)]) -> (Option<f64>, Within) {
    let (text, read) = Within::of(|| exporter.render());
    (Page::parse(&text).value(NAME, labels), read)
}

fn age(endpoint: &str) -> f64 {
    let (age, _) = age_of(&EXPORTER, &[("endpoint", endpoint)]);
    age.expect("the series")
}

fn assert_started(endpoint: &str, start: Within) {
    let (age, read) = age_of(&EXPORTER, &[("endpoint", endpoint)]);
    assert_age(age.expect("the series"), start, read);
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// How a call ends.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Returns,
    Panics,
}

async fn waits(fate: oneshot::Receiver<Fate>) {
    match fate.await {
        Ok(Fate::Panics) => panic!("on purpose"),
        Ok(Fate::Returns) | Err(_) => {}
    }
}

#[instrumented(endpoint = "/simple", method = "GET")]
async fn simple(fate: oneshot::Receiver<Fate>) {
    waits(fate).await;
}

#[test]
fn a_call_is_as_old_as_the_time_since_its_first_poll() {
    LazyLock::force(&EXPORTER);
    // From the start, because endpoint and method are known.
    assert_eq!(age("/simple"), 0.0);
    let (ends, fate) = oneshot::channel();
    let mut call = Box::pin(simple(fate));
    pass(Duration::from_millis(2));
    assert_eq!(age("/simple"), 0.0, "it was not polled");
    let (_, start) = Within::of(|| poll(call.as_mut()));
    let mut before = 0.0;
    for _ in 0..5 {
        pass(Duration::from_millis(1));
        assert_started("/simple", start);
        // Later polls do not change the start.
        assert!(poll(call.as_mut()).is_pending());
        let now = age("/simple");
        assert!(now > before, "{now} after {before}");
        before = now;
    }
    ends.send(Fate::Returns).expect("it waits");
    assert!(poll(call.as_mut()).is_ready());
    assert_eq!(age("/simple"), 0.0);
    drop(call);
    assert_eq!(age("/simple"), 0.0);
}

/// Threads that run closures.
struct Workers(Vec<Sender<Box<dyn FnOnce() + Send>>>);

impl Workers {
    fn start(number: usize) -> Self {
        let workers = (0..number).map(|_| {
            let (send, closures) = channel::<Box<dyn FnOnce() + Send>>();
            thread::spawn(move || closures.into_iter().for_each(|run| run()));
            send
        });
        Self(workers.collect())
    }

    /// Runs a closure on a random thread, and waits for it.
    fn run<T: Send + 'static>(
        &self,
        random: &mut Random,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let (send, value) = channel();
        let worker = &self.0[random.below(self.0.len() as u64) as usize];
        let sent = worker.send(Box::new(move || send.send(run()).expect("received")));
        sent.expect("the thread runs");
        value.recv().expect("no panic")
    }
}

#[instrumented(endpoint = "/random", method = "GET")]
async fn random(fate: oneshot::Receiver<Fate>) {
    waits(fate).await;
}

/// Calls start, go on and end at random, on random threads. After each step, the age is that
/// of the oldest of them.
#[test]
fn the_age_is_that_of_the_oldest_call() {
    LazyLock::force(&EXPORTER);
    // Enough threads that some have no shard of their own.
    let workers = Workers::start(80);
    let mut numbers = Random::new(7);
    let mut live = BTreeMap::new();
    let mut ends = BTreeSet::new();
    for step in 0..400_u32 {
        let starts_more = step / 50 % 2 == 0;
        if live.is_empty() || (numbers.below(3) > 0) == starts_more {
            let (send, fate) = oneshot::channel();
            let (call, start) = workers.run(&mut numbers, || {
                let mut call = random(fate).boxed();
                let (polled, start) = Within::of(|| poll(call.as_mut()));
                assert!(polled.is_pending());
                (call, start)
            });
            live.insert(step, (call, start, send));
        } else {
            let chosen = numbers.below(live.len() as u64) as usize;
            let step = *live.keys().nth(chosen).expect("not empty");
            let (mut call, start, fate) = live.remove(&step).expect("live");
            let kind = numbers.below(4);
            ends.insert(kind);
            match kind {
                0 => {
                    fate.send(Fate::Returns).expect("it waits");
                    let polled = workers.run(&mut numbers, move || poll(call.as_mut()));
                    assert!(polled.is_ready());
                }
                1 => {
                    fate.send(Fate::Panics).expect("it waits");
                    let unwound = workers.run(&mut numbers, move || {
                        catch_unwind(AssertUnwindSafe(move || poll(call.as_mut()))).is_err()
                    });
                    assert!(unwound);
                }
                2 => workers.run(&mut numbers, move || drop(call)),
                _ => {
                    // Goes on.
                    let (call, polled) = workers.run(&mut numbers, move || {
                        let polled = poll(call.as_mut());
                        (call, polled)
                    });
                    assert!(polled.is_pending());
                    live.insert(step, (call, start, fate));
                }
            }
        }
        // Never polled, so it never starts.
        drop(random(oneshot::channel().1));
        match live.values().next() {
            Some((_, start, _)) => assert_started("/random", *start),
            None => assert_eq!(age("/random"), 0.0),
        }
        // Otherwise, the starts would be too close to tell one call from the next.
        pass(Duration::from_micros(200));
    }
    assert_eq!(ends.len(), 4);
    drop(live);
    assert_eq!(age("/random"), 0.0);
}

#[instrumented(endpoint = "/many", method = "GET")]
async fn many() {
    std::future::pending().await
}

#[test]
fn ten_thousand_calls_are_in_flight() {
    const CALLS: usize = 10_000;
    LazyLock::force(&EXPORTER);
    let mut numbers = Random::new(11);
    let mut wave = || {
        let mut calls: Vec<_> = (0..CALLS).map(|_| Some(Box::pin(many()))).collect();
        let mut starts = Vec::with_capacity(CALLS);
        let before = allocations();
        for (number, call) in calls.iter_mut().flatten().enumerate() {
            let (_, start) = Within::of(|| poll(call.as_mut()));
            starts.push(start);
            if number % 1_000 == 0 {
                pass(Duration::from_millis(1));
            }
        }
        let allocated = allocations() - before;
        let mut order: Vec<usize> = (0..CALLS).collect();
        for last in (1..CALLS).rev() {
            order.swap(last, numbers.below(last as u64 + 1) as usize);
        }
        for (ended, chosen) in order.into_iter().enumerate() {
            if ended % 500 == 0 {
                let oldest = calls.iter().position(Option::is_some).expect("one");
                assert_started("/many", starts[oldest]);
            }
            calls[chosen] = None;
        }
        assert_eq!(age("/many"), 0.0);
        allocated
    };
    // The test would see an allocation.
    assert_ne!(wave(), 0);
    assert_eq!(wave(), 0, "allocations for as many calls as before");
}

#[instrumented(endpoint = "/short", method = "GET")]
async fn short() {}

#[instrumented(endpoint = "/short_plain", method = "GET")]
fn short_plain() {}

#[instrumented(endpoint = "/short_labelled", method = "GET", labels(shard = number % 4))]
async fn short_labelled(number: u64) {
    let _ = number;
}

#[test]
fn short_calls_allocate_nothing() {
    LazyLock::force(&EXPORTER);
    const CALLS: u64 = if cfg!(debug_assertions) {
        100_000
    } else {
        3_000_000
    };
    let calls = |calls: u64| {
        for number in 0..calls {
            assert!(poll(std::pin::pin!(short())).is_ready());
            short_plain();
            assert!(poll(std::pin::pin!(short_labelled(number))).is_ready());
        }
    };
    calls(4);
    let before = allocations();
    calls(CALLS);
    assert_eq!(allocations() - before, 0);
    assert_eq!(age("/short"), 0.0);
}

thread_local! {
    /// When the call begins that this thread is about to make.
    static CALLED: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
}

fn calls<T>(call: impl FnOnce() -> T) -> T {
    CALLED.set(Some(Instant::now()));
    call()
}

/// Runs in the body of a call, and checks the age of the call.
fn inside(endpoint: &str) {
    let start = Within {
        from: CALLED.get().expect("called"),
        to: Instant::now(),
    };
    pass(Duration::from_millis(2));
    assert_started(endpoint, start);
}

#[instrumented(endpoint = "async")]
async fn asynchronous() {
    tokio::task::yield_now().await;
    inside("async");
}

#[instrumented(endpoint = "plain")]
fn plain(number: u32) -> Result<u32, std::num::TryFromIntError> {
    inside("plain");
    u8::try_from(number).map(u32::from)
}

#[instrumented(endpoint = "plain labels", labels(number = number))]
fn plain_labels(number: u32) {
    inside("plain labels");
}

#[instrumented(endpoint = "tracked")]
#[track_caller]
fn tracked() {
    inside("tracked");
}

#[instrumented(endpoint = "returned")]
fn returned() -> impl Future<Output = ()> {
    async { inside("returned") }
}

#[instrumented(endpoint = "returned labels", labels(number = number))]
fn returned_labels(number: u32) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move { inside("returned labels") })
}

#[instrumented(endpoint = "labels", labels(number = number))]
async fn labels(number: u32) {
    inside("labels");
}

#[instrumented(endpoint = "awaited", labels(number = { tokio::task::yield_now().await; number }))]
async fn awaited(number: u32) {
    inside("awaited");
}

/// The inner calls are younger.
#[instrumented(endpoint = "recursive")]
fn recursive(depth: u32) {
    if depth > 0 {
        recursive(depth - 1);
        pass(Duration::from_millis(1));
    }
    inside("recursive");
}

#[instrumented(endpoint = "unwinds")]
fn unwinds() {
    inside("unwinds");
    panic!("on purpose");
}

#[test]
fn every_kind_of_function_has_an_age() {
    LazyLock::force(&EXPORTER);
    calls(|| block_on(asynchronous()));
    calls(|| plain(7)).expect("in range");
    calls(|| plain(7_000)).expect_err("not in range");
    calls(|| plain_labels(7));
    calls(tracked);
    calls(|| block_on(returned()));
    calls(|| block_on(returned_labels(7)));
    calls(|| block_on(labels(7)));
    calls(|| block_on(awaited(7)));
    calls(|| recursive(3));
    assert!(calls(|| catch_unwind(unwinds)).is_err());
    for endpoint in [
        "async",
        "plain",
        "plain labels",
        "tracked",
        "returned",
        "returned labels",
        "labels",
        "awaited",
        "recursive",
        "unwinds",
    ] {
        assert_eq!(age(endpoint), 0.0, "{endpoint}");
    }
    // The labels are those of the gauge.
    let page = Page::parse(&EXPORTER.render());
    let labels = |name| page.labels(name).collect::<BTreeSet<_>>();
    assert_eq!(labels(NAME), labels("requests_in_progress"));
    let of_one = [
        ("app_name", "oldest"),
        ("endpoint", "labels"),
        ("number", "7"),
    ];
    assert_eq!(page.exactly(NAME, &of_one), 0.0);
}

#[instrumented(endpoint = "forgotten")]
async fn forgotten() {
    std::future::pending().await
}

#[test]
fn a_call_that_is_forgotten_is_in_flight_for_ever() {
    LazyLock::force(&EXPORTER);
    let mut call = Box::pin(forgotten());
    let (_, start) = Within::of(|| poll(call.as_mut()));
    std::mem::forget(call);
    block_on(async {
        let mut younger = Box::pin(forgotten());
        assert!(futures::poll!(&mut younger).is_pending());
    });
    assert_started("forgotten", start);
}

#[instrumented(endpoint = "/tenants", method = "GET", labels(tenant = tenant))]
async fn tenants(tenant: String) {
    std::future::pending().await
}

/// Beyond `max_series`, calls share a series. Each of them is its oldest call in turn.
#[test]
fn the_overflow_series_has_an_age() {
    alone("the_overflow_series_has_an_age", || {
        let exporter = builder().max_series(2).install().expect("installs");
        let calls: Vec<_> = ["a", "b", "c", "d"]
            // With values that are too long for the cache of the call site.
            .into_iter()
            .flat_map(|tenant| [tenant.to_owned(), tenant.repeat(2_000)])
            .map(|tenant| {
                let mut call = Box::pin(tenants(tenant));
                let (_, start) = Within::of(|| poll(call.as_mut()));
                pass(Duration::from_millis(1));
                (call, start)
            })
            .collect();
        // Two series of functions that are known from the start, and the overflow series.
        let page = Page::parse(&exporter.render());
        assert_eq!(page.series(NAME), 3);
        assert_eq!(page.series("requests_in_progress"), 3);
        let overflow = [("overflow", "true")];
        for (call, start) in calls {
            let (age, read) = age_of(&exporter, &overflow);
            assert_age(age.expect("the series"), start, read);
            drop(call);
        }
        assert_eq!(age_of(&exporter, &overflow).0, Some(0.0));
    });
}

#[test]
fn the_metric_is_on_the_page_only_if_it_is_turned_on() {
    alone("the_metric_is_on_the_page_only_if_it_is_turned_on", || {
        let exporter = instrument_runtime::builder("off").without_listener();
        let exporter = exporter.install().expect("installs");
        block_on(short());
        assert_eq!(age_of(&exporter, &[]).0, None);
        // The name is free.
        gauge!(NAME).set(7.0);
        assert_eq!(age_of(&exporter, &[]).0, Some(7.0));
    });
}

#[test]
fn the_name_can_be_changed_and_is_reserved() {
    let said = alone("the_name_can_be_changed_and_is_reserved", || {
        let names = MetricNames::article().requests_oldest_in_progress_seconds("hung_seconds");
        let exporter = builder().names(names).install().expect("installs");
        let mut call = Box::pin(many());
        let (_, start) = Within::of(|| poll(call.as_mut()));
        gauge!("hung.seconds").set(7.0);
        gauge!("hung_seconds", "endpoint" => "/many").set(7.0);
        gauge!(NAME).set(8.0);
        let (text, read) = Within::of(|| exporter.render());
        let page = Page::parse(&text);
        assert_eq!(
            page.series("hung_seconds"),
            page.series("requests_in_progress_total")
        );
        let age = page.value("hung_seconds", &[("endpoint", "/many")]);
        assert_age(age.expect("the series"), start, read);
        assert_eq!(page.value(NAME, &[]), Some(8.0));
    });
    if let Some(said) = said {
        assert!(said.contains("the gauge \"hung.seconds\""), "{said}");
    }
}

#[test]
fn another_recorder_has_no_such_metric() {
    alone("another_recorder_has_no_such_metric", || {
        let exporter = builder().install().expect("installs");
        let other = PrometheusBuilder::new().build_recorder();
        let mut call = Box::pin(many());
        metrics::with_local_recorder(&other, || {
            assert!(poll(call.as_mut()).is_pending());
        });
        let text = other.handle().render();
        assert!(text.contains("requests_in_progress{"), "{text}");
        assert!(!text.contains("oldest"), "{text}");
        assert_eq!(age_of(&exporter, &[("endpoint", "/many")]).0, Some(0.0));
        drop(call);
        assert!(!other.handle().render().contains("oldest"));
    });
}

#[test]
fn every_format_has_the_metric() {
    alone("every_format_has_the_metric", || {
        let exporter = builder().listen(([127, 0, 0, 1], 0)).install();
        let exporter = exporter.expect("installs");
        let addr = exporter.local_addr().expect("an address");
        let mut call = Box::pin(many());
        let (_, start) = Within::of(|| poll(call.as_mut()));
        let of_call = [("endpoint", "/many")];

        let text = |accept: &str| {
            let (page, read) = Within::of(|| scrape_as(addr, accept));
            (String::from_utf8(page).expect("text"), read)
        };
        for (accept, unit) in [
            ("text/plain", ""),
            (
                "application/openmetrics-text",
                "# UNIT requests_oldest_in_progress_seconds seconds\n",
            ),
        ] {
            let (text, read) = text(accept);
            let head = format!("# TYPE {NAME} gauge\n{unit}");
            assert!(
                text.contains(&format!("# HELP {NAME} Time since ")),
                "{text}"
            );
            assert!(text.contains(&head), "{text}");
            let age = Page::parse(&text).value(NAME, &of_call);
            assert_age(age.expect("the series"), start, read);
        }

        let (page, read) = Within::of(|| scrape_as(addr, "application/vnd.google.protobuf"));
        let page = protobuf::samples(&protobuf::families(&page));
        let age = page.value(NAME, &of_call).expect("the series");
        assert_age(age, start, read);

        let text = text("text/plain").0;
        assert_eq!(exporter_promtool::remarks(&text).unwrap_or_default(), "");
    });
}
