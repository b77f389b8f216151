//! Native histograms: the page in protobuf, read by a decoder that is not ours.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use futures::executor::block_on;
use instrument_runtime::instrumented;
use instrument_tests::page::{Page, scrape_as};
use instrument_tests::protobuf::{self, client};
use metrics::histogram;

#[instrumented(endpoint = "/busy", method = "GET")]
async fn busy() {}

#[instrumented(endpoint = "/idle", method = "GET")]
async fn idle() {}

/// Returns the latency histogram of an endpoint.
fn latency(families: &[client::MetricFamily], endpoint: &str) -> client::Histogram {
    let mut all = protobuf::metrics(families, "request_latency_seconds");
    let found = all.find(|metric| {
        protobuf::labels(&metric.label)
            .get("endpoint")
            .map(String::as_str)
            == Some(endpoint)
    });
    let found = found.and_then(|metric| metric.histogram.clone());
    found.unwrap_or_else(|| panic!("no latency of {endpoint}"))
}

/// Checks what Prometheus requires of a native histogram, and returns its count.
fn checked(histogram: &client::Histogram) -> u64 {
    let buckets = protobuf::native_buckets(histogram);
    let total: u64 = buckets.iter().map(|(_, count)| count).sum();
    assert_eq!(total + histogram.zero_count(), histogram.sample_count());
    assert!(
        buckets.len() <= 200,
        "160 buckets and the gaps between them"
    );
    assert_eq!(histogram.zero_threshold(), (-128_f64).exp2());
    let mut before = 0;
    for bucket in &histogram.bucket {
        assert!(bucket.cumulative_count() >= before);
        before = bucket.cumulative_count();
    }
    assert!(before <= histogram.sample_count());
    histogram.sample_count()
}

#[test]
fn native_buckets_agree_with_the_samples_and_with_the_classic_buckets() {
    let exporter = instrument_runtime::builder("native")
        .listen(([127, 0, 0, 1], 0))
        .native_histograms()
        .install()
        .expect("installs");
    let addr = exporter.local_addr().expect("an address");
    let protobuf = || protobuf::families(&scrape_as(addr, "application/vnd.google.protobuf"));

    // A handler that was not called yet is on the page, and is a native histogram.
    let unused = latency(&protobuf(), "/idle");
    assert_eq!((checked(&unused), unused.schema()), (0, 3));
    block_on(idle());
    assert_eq!(checked(&latency(&protobuf(), "/idle")), 1);

    // Known samples. Index i holds the samples up to 2^(i/8) seconds.
    let known = histogram!("request_latency_seconds", "endpoint" => "/known");
    let samples = [
        (0.0, None),
        (1e-9, Some(-239)),
        (0.001, Some(-79)),
        (0.5, Some(-8)),
        (0.500_000_001, Some(-7)),
        (1.0, Some(0)),
        (1.09, Some(1)),
        (1.1, Some(2)),
        (2.0, Some(8)),
        (100.0, Some(54)),
        (f64::INFINITY, Some(8193)),
    ];
    let mut expected: BTreeMap<i32, u64> = BTreeMap::new();
    for (times, (seconds, index)) in (1..).zip(samples) {
        known.record_many(seconds, times);
        if let Some(index) = index {
            *expected.entry(index).or_default() += times as u64;
        }
    }
    let histogram = latency(&protobuf(), "/known");
    assert_eq!(checked(&histogram), (1..=samples.len() as u64).sum::<u64>());
    assert_eq!(histogram.zero_count(), 1);
    let buckets = protobuf::native_buckets(&histogram);
    let found: BTreeMap<i32, u64> = buckets
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(found, expected);

    // More than 160 buckets.
    let wide = histogram!("request_latency_seconds", "endpoint" => "/wide");
    for index in 0..300 {
        wide.record((f64::from(index - 220) / 8.0).exp2());
    }
    let histogram = latency(&protobuf(), "/wide");
    assert_eq!((checked(&histogram), histogram.schema()), (300, 2));

    // Text formats have the classic buckets only, with the same counts.
    let text = scrape_as(addr, "text/plain");
    let text = Page::parse(std::str::from_utf8(&text).expect("text"));
    let of_scrapes = &["instrument_", "process_"];
    assert_eq!(
        protobuf::samples(&protobuf()).without(of_scrapes),
        text.without(of_scrapes)
    );

    // Scrapes beside calls on several threads.
    const EACH: u64 = 20_000;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut before = 0;
            while !done.load(Ordering::Acquire) {
                let count = checked(&latency(&protobuf(), "/busy"));
                assert!(count >= before, "{before} then {count}");
                before = count;
            }
        });
        let callers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..EACH).for_each(|_| block_on(busy()))))
            .collect();
        for caller in callers {
            caller.join().expect("no panic");
        }
        done.store(true, Ordering::Release);
        scraper.join().expect("no panic");
    });
    assert_eq!(checked(&latency(&protobuf(), "/busy")), 4 * EACH);
}
