//! No count is lost, and no page is inconsistent, while many threads count and a scraper
//! reads pages.
//!
//! `EXACT_CALLS` sets the number of calls. Defaults to 2,000,000.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use instrument_runtime::instrumented;
use instrument_tests::page::Page;

const THREADS: u64 = 4;

#[instrumented(endpoint = "/exact", method = "POST")]
async fn exact(number: u64) -> Result<(), ()> {
    if number.is_multiple_of(7) {
        Err(())
    } else {
        Ok(())
    }
}

#[instrumented(labels(shard = number % 3))]
async fn sharded(number: u64) -> u64 {
    number
}

fn ready<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it has nothing to wait for"),
    }
}

/// Returns every counter and bucket of a page.
fn counts(page: &Page) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::new();
    for name in [
        "requests_total",
        "request_latency_seconds_bucket",
        "request_latency_seconds_count",
    ] {
        for labels in page.labels(name) {
            let pairs: Vec<(&str, &str)> = labels
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str()))
                .collect();
            let values = page.exactly(name, &pairs);
            counts.insert(format!("{name}{labels:?}"), values);
        }
    }
    counts
}

/// Checks that buckets do not decrease and that the last one equals the count.
fn check_histograms(page: &Page) {
    for labels in page.labels("request_latency_seconds_count") {
        let mut of_series: Vec<(f64, f64)> = page
            .labels("request_latency_seconds_bucket")
            .filter(|bucket| {
                labels
                    .iter()
                    .all(|(name, value)| bucket.get(name) == Some(value))
            })
            .map(|bucket| {
                let bound = bucket["le"]
                    .replace("+Inf", "inf")
                    .parse()
                    .expect("a bound");
                let pairs: Vec<(&str, &str)> = bucket
                    .iter()
                    .map(|(k, v)| (k.as_str(), v.as_str()))
                    .collect();
                (
                    bound,
                    page.exactly("request_latency_seconds_bucket", &pairs),
                )
            })
            .collect();
        of_series.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert!(
            of_series.is_sorted_by(|one, other| one.1 <= other.1),
            "{of_series:?}"
        );
        let pairs: Vec<(&str, &str)> = labels
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        let count = page.exactly("request_latency_seconds_count", &pairs);
        assert_eq!(of_series.last().map(|last| last.1), Some(count));
    }
}

#[test]
fn every_call_is_counted_and_no_scrape_is_wrong() {
    let calls: u64 = std::env::var("EXACT_CALLS").map_or(2_000_000, |calls| {
        calls.parse().expect("EXACT_CALLS is a number")
    });
    let each = calls / THREADS / 2;
    let exporter = instrument_runtime::builder("exact")
        .without_listener()
        .install()
        .expect("installs");
    let done = AtomicBool::new(false);
    let mut scrapes = 0;
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    for number in 0..each {
                        let _ = ready(exact(number));
                        ready(sharded(number));
                    }
                })
            })
            .collect();
        let scraper = scope.spawn(|| {
            let mut scrapes = 0;
            let mut before = BTreeMap::new();
            loop {
                let last = done.load(Ordering::Acquire);
                let page = Page::parse(&exporter.render());
                check_histograms(&page);
                for labels in page.labels("requests_in_progress") {
                    let pairs: Vec<(&str, &str)> = labels
                        .iter()
                        .map(|(k, v)| (k.as_str(), v.as_str()))
                        .collect();
                    let in_progress = page.exactly("requests_in_progress", &pairs);
                    assert!(in_progress >= 0.0, "{labels:?}: {in_progress}");
                }
                let now = counts(&page);
                for (series, count) in &before {
                    let later = now
                        .get(series)
                        .unwrap_or_else(|| panic!("{series} has gone"));
                    assert!(later >= count, "{series} went from {count} to {later}");
                }
                before = now;
                scrapes += 1;
                if last {
                    return scrapes;
                }
            }
        });
        for caller in callers {
            caller.join().expect("no panic");
        }
        done.store(true, Ordering::Release);
        scrapes = scraper.join().expect("no scrape is wrong");
    });

    let page = Page::parse(&exporter.render());
    let all = (each * THREADS * 2) as f64;
    assert_eq!(page.sum("requests_total", &[]), all);
    assert_eq!(page.sum("request_latency_seconds_count", &[]), all);
    assert_eq!(page.sum("requests_in_progress", &[]), 0.0);
    let failed = (each.div_ceil(7) * THREADS) as f64;
    assert_eq!(page.sum("requests_total", &[("outcome", "error")]), failed);
    println!("{all} calls beside {scrapes} scrapes");
}
