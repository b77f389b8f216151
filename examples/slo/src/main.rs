//! Breaks an objective on purpose, waits until the person on call is paged, heals the
//! service, and waits until the alert is resolved.
//!
//! The program starts a shop whose checkout has an objective, a Prometheus server with the
//! rules in `deploy/prometheus/slo.yml`, and Alertmanager. The windows of the rules are 300
//! times shorter than in production, so that 30 days become about two and a half hours. In the
//! end, the program prints the part of the error budget that the rules say was spent, beside
//! the requests that have really failed. All processes stop when the program exits.
//!
//! `cargo run -p slo -- --stay` keeps everything running after that, until Ctrl+C.
//!
//! The program needs prometheus and prometheus-alertmanager
//! (`apt install prometheus prometheus-alertmanager`).

mod alertmanager;
mod scale;
mod shop;
mod traffic;

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use alertmanager::Alertmanager;
use anyhow::{Context, bail, ensure};
use fleet::{Prometheus, is_stopped, missing, on_signals, program, wait_for};
use serde_json::Value;
use shop::{BUDGET, Shop};
use traffic::Seen;

/// The windows of the rules are shorter by this factor: 5 minutes become a second.
const FACTOR: u64 = 300;
/// Every step takes a few seconds. This is enough for a busy machine.
const AT_MOST: Duration = Duration::from_secs(60);
/// How long the repair takes.
const REPAIR: Duration = Duration::from_secs(20);
/// How far the rules may be from the truth. They estimate the number of calls in a window from
/// the scrapes in it, of which there are only ten here.
const TOLERANCE: f64 = 0.05;
/// How many of 100 checkouts fail while the shop is broken.
const FAULTS: u64 = 20;

fn main() -> anyhow::Result<()> {
    let stay = match &std::env::args().skip(1).collect::<Vec<_>>()[..] {
        [] => false,
        [stay] if stay == "--stay" => true,
        _ => bail!("usage: slo [--stay]"),
    };
    let missing = missing(&["prometheus", alertmanager::PROGRAM]);
    if !missing.is_empty() {
        bail!(
            "not installed: {0}. On Debian, run `apt install {0}`",
            missing.join(" ")
        );
    }
    on_signals()?;
    let runtime = tokio::runtime::Runtime::new()?;
    // Declared before the processes that write into it, so that it is dropped after them.
    let folder = tempfile::tempdir()?;
    let shop = runtime.block_on(shop::open())?;
    let alertmanager = runtime.block_on(Alertmanager::start(&folder.path().join("alerts")))?;
    let prometheus = start_prometheus(&folder.path().join("prometheus"), &shop, &alertmanager)?;
    println!("Prometheus    http://{}/alerts", prometheus.addr);
    println!("Alertmanager  http://{}/", alertmanager.addr);

    // Prometheus does not know of calls before its first scrape.
    let (objective, _) = wait_for("the objective", AT_MOST, || {
        prometheus
            .number("slo:request_objective:ratio{slo='checkout',sli='success'}")
            .ok()
    })?;
    println!("\nThe objective of the checkout is on the page: {objective} must succeed.");

    let seen = Arc::new(Seen::default());
    let customers = {
        let (addr, seen) = (shop.addr, Arc::clone(&seen));
        thread::spawn(move || traffic::run(addr, &seen))
    };
    let told = tell_the_story(&prometheus, &alertmanager, &seen);
    while stay && told.is_ok() && !is_stopped() {
        thread::sleep(Duration::from_millis(100));
    }
    seen.end();
    ensure!(customers.join().is_ok(), "the customers panicked");
    told
}

/// Breaks the shop, waits for the page, heals the shop, and waits until the alert is resolved.
fn tell_the_story(
    prometheus: &Prometheus,
    alertmanager: &Alertmanager,
    seen: &Seen,
) -> anyhow::Result<()> {
    let started = Instant::now();
    // A window of an hour is full of successes.
    wait_for("an hour without an error", AT_MOST, || {
        let calls = "slo:requests:increase1h{sli='success'}";
        (prometheus.number(calls).ok()? > 2_000.0).then_some(())
    })?;
    ensure!(
        alertmanager.active()?.is_empty(),
        "an alert without a cause"
    );
    println!("All requests succeed, and no alert is active.");

    shop::break_checkouts(FAULTS);
    println!("\n{FAULTS} of 100 checkouts fail from now on.");
    let (page, took) = alertmanager.wait_for_page("firing", AT_MOST)?;
    println!(
        "The person on call is paged after {} (in production: {}).",
        seconds(took),
        minutes(took)
    );
    ensure!(page["labels"]["slo"] == "checkout", "another page: {page}");
    print_page(&page)?;
    let query = text(&page["annotations"]["query"])?;
    println!("  the query finds:");
    for (labels, value) in prometheus.query(query)? {
        println!("    {labels:?} {value:.1} per second");
    }

    // The longer the shop is broken, the less do the windows at the two edges matter.
    thread::sleep(REPAIR);
    shop::break_checkouts(0);
    println!("\nAfter {}, no checkout fails any more.", seconds(REPAIR));
    let (_, took) = alertmanager.wait_for_page("resolved", AT_MOST)?;
    println!(
        "The alert is resolved after {} (in production: {}).",
        seconds(took),
        minutes(took)
    );

    print_budget(prometheus, seen)?;
    println!("\nThe whole run took {}.", seconds(started.elapsed()));
    Ok(())
}

/// Prints the spent part of the budget, as the rules see it and as the customers have.
fn print_budget(prometheus: &Prometheus, seen: &Seen) -> anyhow::Result<()> {
    let spent = |totals: (u64, u64)| totals.1 as f64 / totals.0 as f64 / BUDGET;
    let by_rules = "1 - slo:request_error_budget_left:ratio30d{slo='checkout',sli='success'}";
    // The rules look at whole steps of five minutes, a second here.
    let mut last = None;
    let waited = wait_for("the rules to agree", AT_MOST, || {
        let by_rules = prometheus.number(by_rules).ok()?;
        let really = spent(seen.totals());
        last = Some((by_rules, really));
        ((by_rules / really - 1.0).abs() < TOLERANCE).then_some((by_rules, really))
    });
    let ((by_rules, really), _) = waited.with_context(|| format!("the last numbers: {last:?}"))?;
    let (requests, failures) = seen.totals();
    println!("\nrequests                            {requests}");
    println!("  that have failed                  {failures}");
    println!(
        "error budget that was really spent  {:.1} %",
        100.0 * really
    );
    println!(
        "  that the rules say was spent      {:.1} %",
        100.0 * by_rules
    );
    Ok(())
}

fn start_prometheus(
    folder: &Path,
    shop: &Shop,
    alertmanager: &Alertmanager,
) -> anyhow::Result<Prometheus> {
    let rules = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../deploy/prometheus/slo.yml"
    );
    let rules = std::fs::read_to_string(rules).with_context(|| format!("cannot read {rules}"))?;
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("slo.yml"), scale::shorten(&rules, FACTOR))?;
    let metrics = shop.exporter.local_addr().context("no listener")?;
    // As long as the interval of the rules, or a window would miss or repeat a scrape.
    let configuration = format!(
        "global: {{scrape_interval: 100ms, evaluation_interval: 100ms}}\n\
         rule_files: [slo.yml]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\n\
         scrape_configs:\n\
         - job_name: shop\n\
         \x20 static_configs: [{{targets: ['{metrics}']}}]\n",
        alertmanager.addr
    );
    let lookback = "--query.lookback-delta=5s".to_owned();
    Prometheus::start_with(&program("prometheus")?, folder, &configuration, &[lookback])
}

fn print_page(page: &Value) -> anyhow::Result<()> {
    let (labels, annotations) = (&page["labels"], &page["annotations"]);
    println!(
        "  {} ({})",
        text(&labels["alertname"])?,
        text(&labels["severity"])?
    );
    for annotation in ["summary", "description", "query"] {
        println!("  {annotation}: {}", text(&annotations[annotation])?);
    }
    Ok(())
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value
        .as_str()
        .with_context(|| format!("not a text: {value}"))
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// The time that would have passed with windows of the usual length.
fn minutes(duration: Duration) -> String {
    let minutes = duration.as_secs_f64() * FACTOR as f64 / 60.0;
    format!("{minutes:.0} min")
}
