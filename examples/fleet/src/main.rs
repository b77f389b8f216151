//! Runs a fleet on one machine and prints the metrics that Prometheus collects from it.
//!
//! The program starts four instances of the web application behind nginx, and a Prometheus
//! server that discovers the instances through their target files. It sends 1,000 requests,
//! kills one instance, and starts two more. Then it sends another 1,000 requests, and shuts
//! one instance down meanwhile. Finally it prints the targets, rates, latencies and totals
//! that Prometheus reports. All processes stop when the program exits.
//!
//! `cargo run -p fleet -- --stay` only sends requests until Ctrl+C. Use it to look at the
//! web pages of Prometheus.
//!
//! The program needs nginx and prometheus (`apt install nginx prometheus`).

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use fleet::{
    Instance, Prometheus, Proxy, Sent, build_webapp, is_stopped, missing, on_signals, send,
};

/// The maximum time that Prometheus may take to notice a change of the fleet. Prometheus's
/// service discovery and scrape manager each apply changes every five seconds.
const NOTICED: Duration = Duration::from_secs(15);
/// Requests per second.
const RATE: u32 = 75;

fn main() -> anyhow::Result<()> {
    let stay = match &std::env::args().skip(1).collect::<Vec<_>>()[..] {
        [] => false,
        [stay] if stay == "--stay" => true,
        _ => bail!("usage: fleet [--stay]"),
    };
    let missing = missing(&["nginx", "prometheus"]);
    if !missing.is_empty() {
        bail!(
            "not installed: {0}. On Debian, run `apt install {0}`",
            missing.join(" ")
        );
    }
    on_signals()?;
    let started = Instant::now();
    let program = build_webapp()?;
    // Declared before the processes that write into it, so that it is dropped after them.
    let folder = tempfile::tempdir()?;
    let targets = folder.path().join("targets");
    std::fs::create_dir(&targets)?;

    let mut instances = Vec::new();
    for _ in 0..4 {
        instances.push(Instance::start(&program, &targets, 0)?);
    }
    let mut proxy = Proxy::start(&folder.path().join("nginx"), &instances)?;
    let prometheus = Prometheus::start(&folder.path().join("prometheus"), &targets, "")?;
    println!("nginx       http://{}/test", proxy.addr);
    println!("Prometheus  http://{}/graph", prometheus.addr);
    println!("targets     {}", targets.display());
    let took = prometheus.wait_for_targets(&instances, NOTICED)?;
    println!(
        "all 4 instances are scraped, {} after Prometheus was ready",
        seconds(took)
    );
    if stay {
        println!("sending requests until Ctrl+C");
        // The rate changes every twenty seconds, which shows in the graph.
        for rate in [60, 90, 30].into_iter().cycle() {
            match send(proxy.addr, rate * 20, rate) {
                _ if is_stopped() => break,
                answered => answered?,
            };
        }
        return Ok(());
    }

    let first = send(proxy.addr, 1_000, RATE)?;
    prometheus.wait_for_number("sum(requests_total)", 1_000.0, NOTICED)?;
    println!("1,000 requests sent, and Prometheus has counted 1,000");

    let mut killed = instances.remove(0);
    killed.kill()?;
    println!("killed {} (SIGKILL)", killed.metrics);
    for _ in 0..2 {
        instances.push(Instance::start(&program, &targets, 0)?);
    }
    proxy.set_instances(&instances)?;
    let took = prometheus.wait_for_targets(&instances, NOTICED)?;
    println!(
        "started two instances, which removed the target file of the killed instance; \
         Prometheus noticed after {}",
        seconds(took)
    );

    let mut leaving = instances.remove(0);
    let second = thread::scope(|scope| {
        let traffic = scope.spawn(|| send(proxy.addr, 1_000, RATE));
        let left = leave_under_traffic(&mut leaving, &prometheus, &instances);
        let sent = traffic.join();
        left?;
        sent.unwrap_or_else(|_| bail!("the traffic panicked"))
    })?;

    // An instant query leaves out the series of an instance that no longer exists. A query
    // over a range includes them.
    let all = "sum(last_over_time(requests_total[10m]))";
    prometheus.wait_for_number(all, 2_000.0, NOTICED)?;
    let sent = total(&[first, second]);
    print_all(&prometheus)?;
    println!("\nrequests sent           {sent}");
    println!("  logged by nginx       {}", proxy.requests()?);
    println!("  summed by Prometheus  {}", prometheus.number(all)?);
    println!("\nthe whole run took {}", seconds(started.elapsed()));
    Ok(())
}

/// Shuts an instance down under traffic, and waits until Prometheus has dropped its target.
fn leave_under_traffic(
    leaving: &mut Instance,
    prometheus: &Prometheus,
    others: &[Instance],
) -> anyhow::Result<()> {
    // Gives the instance time to handle some of the requests.
    thread::sleep(Duration::from_secs(3));
    leaving.terminate()?;
    println!("sent SIGTERM to {}", leaving.metrics);
    let told = Instant::now();
    let status = leaving.wait()?;
    ensure!(status.success(), "the instance exited with {status}");
    println!(
        "the instance waited for one more scrape and exited after {}",
        seconds(told.elapsed())
    );
    prometheus.wait_for_targets(others, NOTICED)?;
    println!(
        "Prometheus dropped the target of the instance after {}",
        seconds(told.elapsed())
    );
    Ok(())
}

/// Prints tables of the targets, rates, latencies and calls in flight.
fn print_all(prometheus: &Prometheus) -> anyhow::Result<()> {
    println!("\ntarget                 health  version  process id");
    for target in prometheus.targets()? {
        let label = |name: &str| target.labels.get(name).map_or("", String::as_str);
        println!(
            "{:<21}  {:<6}  {:<7}  {}",
            target.instance,
            target.health,
            label("version"),
            label("__meta_pid")
        );
    }
    for (title, label, query) in [
        (
            "requests per second",
            "endpoint",
            "sum by (endpoint) (rate(requests_total[15s]))",
        ),
        (
            "requests per second",
            "instance",
            "sum by (instance) (rate(requests_total[15s]))",
        ),
        (
            "p95 latency, ms",
            "endpoint",
            "1000 * histogram_quantile(0.95, sum by (le, endpoint) \
             (rate(request_latency_seconds_bucket[1m])))",
        ),
        (
            "in flight now",
            "endpoint",
            "sum by (endpoint) (requests_in_progress)",
        ),
        (
            "most in flight within the last minute",
            "endpoint",
            "max_over_time(sum by (endpoint) (requests_in_progress)[1m:1s])",
        ),
    ] {
        println!("\n{label:<21}  {title}");
        let mut rows: Vec<_> = prometheus
            .query(query)?
            .into_iter()
            .map(|(labels, value)| (labels.get(label).cloned().unwrap_or_default(), value))
            .collect();
        rows.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, value) in rows {
            println!("{name:<21}  {value:.2}");
        }
    }
    Ok(())
}

fn total(parts: &[Sent]) -> u32 {
    parts.iter().flat_map(Sent::values).sum()
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
