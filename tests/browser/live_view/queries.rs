//! The queries that the numbers show, in a real Prometheus.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use instrument_browser::Browser;
use instrument_runtime::{MetricNames, Objective, builder, instrumented};
use instrument_tests::alone;
use instrument_tests::prometheus_server::{Job, Release, Server};

use crate::{open, wait_for_next_page};

#[instrumented(endpoint = "/users/{id} \"quoted\" \\ back", method = "GET", labels(tenant = tenant))]
async fn user(tenant: &str, how: u32) -> Result<(), &'static str> {
    match how {
        0 => Err("on purpose"),
        1 => std::future::poll_fn(|_| Poll::Pending).await,
        _ => Ok(()),
    }
}

const OBJECTIVE: Objective = Objective::new("users")
    .success(99.5)
    .latency(Duration::from_millis(30), 99.0);

#[instrumented(endpoint = "/one", method = "GET", objective = OBJECTIVE)]
async fn one(is_ok: bool) -> Result<(), &'static str> {
    if is_ok { Ok(()) } else { Err("on purpose") }
}

#[instrumented(endpoint = "/other", method = "PUT", objective = OBJECTIVE)]
async fn other() {}

#[instrumented]
async fn job() {}

/// Polls a call once, and drops it.
fn call(call: impl Future) {
    let mut context = Context::from_waker(Waker::noop());
    let _ = pin!(call).poll(&mut context);
}

fn traffic() {
    for tenant in ["acme", "glob\"ex\\", "two\nlines 🦀 \u{fffd}"] {
        for how in 0..20 {
            call(user(tenant, how));
        }
    }
    for number in 0..30 {
        call(one(number != 0));
        call(other());
    }
    call(job());
}

#[test]
fn each_query_gives_its_number() {
    alone("queries::each_query_gives_its_number", || {
        gives_its_number(MetricNames::default())
    });
}

#[test]
fn each_query_gives_its_number_with_the_conventions() {
    alone(
        "queries::each_query_gives_its_number_with_the_conventions",
        || {
            gives_its_number(MetricNames::opentelemetry());
        },
    );
}

fn gives_its_number(names: MetricNames) {
    let Some(release) = Release::installed() else {
        return;
    };
    let exporter = builder("queried")
        .names(names)
        .listen(([127, 0, 0, 1], 0))
        .install();
    let addr = exporter
        .expect("installs")
        .local_addr()
        .expect("a TCP listener");
    let Some(browser) = Browser::start(1200, 900) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    instrument_runtime::tokio::watch("tested", runtime.handle());
    traffic();
    let mut held = pin!(user("acme", 1));
    let mut context = Context::from_waker(Waker::noop());
    assert!(held.as_mut().poll(&mut context).is_pending());
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&release, folder.path(), &[], &Job::new(addr, "1s"));
    server.wait_until("instrument_scrapes_total", |found| !found.is_empty());
    browser.open(&format!("http://{addr}/"));
    browser.wait_for("page >= 0");
    traffic();
    wait_for_next_page(&browser);
    let names = browser
        .run("return [...rows.values()].filter(({ opener }) => opener).map(({ name }) => name)");
    for name in names.as_array().expect("names") {
        open(&browser, name.as_str().expect("a name"));
    }
    wait_for_next_page(&browser);

    // What each number is, its text, and its query. Totals and gauges rest, rates move.
    let numbers = browser.run(
        "return [...document.querySelectorAll('.number')].filter(({ query }) => query)
           .map(({ of, textContent, query }) => [of, textContent, query()])",
    );
    let numbers = numbers.as_array().expect("numbers");
    assert!(numbers.len() > 40, "{} numbers", numbers.len());
    // Prometheus has scraped the last calls.
    let scraped = server.query("instrument_scrapes_total").expect("scrapes")[0].1;
    server.wait_until("instrument_scrapes_total", |found| {
        found
            .first()
            .is_some_and(|(_, scrapes)| *scrapes > scraped + 2.0)
    });
    let (mut exact, mut alike, mut shares) = (0, 0, 0);
    for number in numbers {
        let [of, text, query] = [0, 1, 2].map(|at| crate::plain(&number[at]));
        let found = server
            .query(&query)
            .unwrap_or_else(|error| panic!("{of}: {query}: {error:#}"));
        assert!(found.len() <= 1, "{of} is one number: {query}: {found:?}");
        let value = found.first().map(|(_, value)| *value);
        let moves = query.contains("[1m]")
            || ["CPU", "Memory", "Descriptors", "Threads", "Up"].contains(&&*of)
            || of.starts_with("tokio");
        // Functions of other tests, which nothing calls here.
        let is_called = !of.ends_with("/cart") && !of.ends_with("/pay");
        if text == "–" || !is_called {
            continue;
        }
        let value = value
            .unwrap_or_else(|| panic!("{of} is {text}, but Prometheus finds nothing: {query}"));
        if of == "Warning" {
            continue;
        }
        let digits: String = text
            .chars()
            .filter(|digit| digit.is_ascii_digit() || *digit == '.' || *digit == '-')
            .collect();
        let shown: f64 = digits
            .parse()
            .unwrap_or_else(|error| panic!("{of}: {text}: {error}"));
        let shown = if text.contains('%') {
            shown / 100.0
        } else if text.ends_with(" ms") {
            shown / 1_000.0
        } else {
            shown
        };
        if moves {
            alike += 1;
            assert!(
                value.is_finite() || shown == 0.0,
                "{of}: {text} in the view, {value} in Prometheus: {query}"
            );
            // Both have seen the same calls in the last minute, so their shares and their
            // quantiles are the same, even if the times between the pages are not.
            let is_share = ["Errors", "p50", "p95", "p99"]
                .iter()
                .any(|name| of.starts_with(name));
            if is_share && shown > 0.0 {
                shares += 1;
                assert!(
                    (value - shown).abs() <= shown * 0.01 + 1e-4,
                    "{of}: {text} in the view, {value} in Prometheus: {query}"
                );
            }
        } else {
            exact += 1;
            assert!(
                (value - shown).abs() <= 1e-4,
                "{of}: {text} in the view, {value} in Prometheus: {query}"
            );
        }
    }
    for part in [
        "Error budget left, users: latency",
        "Met, users: success",
        "tokio workers busy",
        "In flight, GET /users",
    ] {
        let is_there = |number: &serde_json::Value| crate::plain(&number[0]).contains(part);
        assert!(numbers.iter().any(is_there), "{part}");
    }
    println!("{exact} numbers are equal, {alike} depend on the time");
    assert!(exact > 20 && alike > 20, "{exact} and {alike}");
    assert!(shares >= 10, "{shares} shares and quantiles");
}
