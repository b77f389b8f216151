//! Without scrapes, the memory for observed samples must not grow.
#![cfg(target_os = "linux")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use instrument_runtime::{Exporter, instrumented};
use instrument_tests::page::Page;
use instrument_tests::runs_long;
use metrics::{counter, gauge, histogram};

#[instrumented(endpoint = "/soak", method = "GET")]
async fn soak(number: u64) -> Result<u64, u64> {
    if number.is_multiple_of(10) {
        Err(number)
    } else {
        Ok(number)
    }
}

#[instrumented(endpoint = "/tenant", method = "GET", labels(tenant = tenant))]
async fn labelled(tenant: u64) -> u64 {
    tenant
}

fn rss_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).expect("VmRSS")
}

/// Makes `calls` calls on two threads. Two of ten calls have a new label value, so the
/// label sets soon exceed `max_series`.
fn observe(from: u64, calls: u64) {
    thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                for number in (from + thread..from + calls).step_by(2) {
                    if number % 10 < 2 {
                        block_on(labelled(number));
                    } else {
                        let _ = block_on(soak(number));
                    }
                }
            });
        }
    });
}

fn install() -> Exporter {
    instrument_runtime::builder("soak")
        .listen(([127, 0, 0, 1], 0))
        .install()
        .expect("installs")
}

fn stays_flat(calls: u64, most_kb: u64) {
    let exporter = install();
    // Fills up all label sets and the shards of both threads.
    let warm = 100_000;
    observe(0, warm);
    let before = rss_kb();
    let (began, mut peak) = (Instant::now(), before);
    let rounds = 10;
    for round in 0..rounds {
        observe(warm + round * (calls / rounds), calls / rounds);
        peak = peak.max(rss_kb());
    }
    println!(
        "{calls} calls in {:.1?} without a scrape: RSS {before} kB before, {peak} kB at most",
        began.elapsed()
    );
    assert!(peak <= before + most_kb, "{before} kB became {peak} kB");

    let page = Page::parse(&exporter.render());
    let all = (warm + calls) as f64;
    assert_eq!(page.sum("requests_total", &[]), all);
    assert_eq!(page.sum("request_latency_seconds_count", &[]), all);
    assert_eq!(page.sum("requests_in_progress", &[]), 0.0);
}

#[test]
fn two_million_calls_leave_nothing_behind() {
    if !runs_long() {
        return;
    }
    child("child_calls_for_a_while");
}

/// The stock recorder stores the application's own histograms. It keeps each sample until
/// the exporter's upkeep, which runs every 5 seconds, with or without scrapes.
#[test]
fn the_applications_own_samples_are_folded() {
    if !runs_long() {
        return;
    }
    child("child_records_for_a_while");
}

fn child(test: &str) {
    let status = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--ignored", "--nocapture"])
        .status()
        .expect("runs");
    assert!(status.success(), "{test}: {status}");
}

#[test]
#[ignore = "run by two_million_calls_leave_nothing_behind in a separate process"]
fn child_calls_for_a_while() {
    stays_flat(2_000_000, 2 * 1024);
}

#[test]
#[ignore = "takes minutes without --release: cargo test --release --test exporter_soak -- \
            --ignored --exact fifty_million_calls_leave_nothing_behind --nocapture"]
fn fifty_million_calls_leave_nothing_behind() {
    stays_flat(50_000_000, 2 * 1024);
}

#[test]
#[ignore = "run by the_applications_own_samples_are_folded in a separate process"]
fn child_records_for_a_while() {
    let _exporter = install();
    let before = rss_kb();
    let began = Instant::now();
    let mut samples = 0_u64;
    let mut peak = before;
    // Long enough for four rounds of upkeep.
    while began.elapsed().as_secs() < 21 {
        for _ in 0..1_000 {
            counter!("of_the_application_total").increment(1);
            gauge!("of_the_application").set(1.0);
            histogram!("of_the_application_seconds").record(0.25);
            samples += 1;
        }
        peak = peak.max(rss_kb());
        thread::sleep(Duration::from_millis(30));
    }
    println!("{samples} samples of the application's own: RSS {before} kB, at most {peak} kB");
    // Each sample takes at least 16 bytes until it is folded.
    let kept_kb = samples * 16 / 1024;
    assert!(
        peak < before + kept_kb,
        "{peak} kB, of which {kept_kb} kB samples"
    );
}
