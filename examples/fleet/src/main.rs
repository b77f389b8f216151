//! A fleet in one command: four instances of the web application behind nginx, a
//! Prometheus that finds them by the files they write, 2,000 requests. One
//! instance is killed, two more start, one is told to end under traffic; then it
//! prints what Prometheus saw of all that. Everything stops with the program.
//!
//! `cargo run -p fleet -- --stay` sends requests until Ctrl+C instead, so that
//! one can look at Prometheus's pages meanwhile.
//!
//! Needs nginx and prometheus (`apt install nginx prometheus`).

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use fleet::{
    Instance, Prometheus, Proxy, Sent, build_webapp, is_stopped, missing, on_signals, send,
};

/// Within this a change of the fleet is to be in Prometheus's targets. It looks
/// at what its discovery says every five seconds, twice on the way.
const NOTICED: Duration = Duration::from_secs(15);
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
            "{0} is not installed; on Debian: apt install {0}",
            missing.join(" ")
        );
    }
    on_signals()?;
    let started = Instant::now();
    let program = build_webapp()?;
    // Declared first, so that it goes last, after all who write into it.
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
    println!("4 instances are up, {} after Prometheus", seconds(took));
    if stay {
        println!("requests until Ctrl+C");
        // Twenty seconds at each of these rates, so that there is something to see.
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
    println!("1,000 requests are sent, and Prometheus has 1,000");

    let mut killed = instances.remove(0);
    killed.kill()?;
    println!("{} is killed (SIGKILL)", killed.metrics);
    for _ in 0..2 {
        instances.push(Instance::start(&program, &targets, 0)?);
    }
    proxy.set_instances(&instances)?;
    let took = prometheus.wait_for_targets(&instances, NOTICED)?;
    println!(
        "two more have started, and one removed its file: seen after {}",
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

    // A series that has ended is in no instant query, but it is in a range.
    let all = "sum(last_over_time(requests_total[10m]))";
    prometheus.wait_for_number(all, 2_000.0, NOTICED)?;
    let sent = total(&[first, second]);
    print_all(&prometheus)?;
    println!("\nrequests sent        {sent}");
    println!("  as nginx has it    {}", proxy.requests()?);
    println!("  summed over all    {}", prometheus.number(all)?);
    println!("\nall of it took {}", seconds(started.elapsed()));
    Ok(())
}

fn leave_under_traffic(
    leaving: &mut Instance,
    prometheus: &Prometheus,
    others: &[Instance],
) -> anyhow::Result<()> {
    // Its share of the requests is on it by then.
    thread::sleep(Duration::from_secs(3));
    leaving.terminate()?;
    println!("{} is told to end (SIGTERM)", leaving.metrics);
    let told = Instant::now();
    let status = leaving.wait()?;
    ensure!(status.success(), "it ended with {status}");
    println!(
        "it has ended after {}, scraped once more",
        seconds(told.elapsed())
    );
    prometheus.wait_for_targets(others, NOTICED)?;
    println!("it has left the targets after {}", seconds(told.elapsed()));
    Ok(())
}

/// What Prometheus sees, as tables.
fn print_all(prometheus: &Prometheus) -> anyhow::Result<()> {
    println!("\ntarget                 health  version  found as");
    for target in prometheus.targets()? {
        let label = |name: &str| target.labels.get(name).map_or("", String::as_str);
        println!(
            "{:<21}  {:<6}  {:<7}  process {}",
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
            "in flight, now",
            "endpoint",
            "sum by (endpoint) (requests_in_progress)",
        ),
        (
            "in flight, most within a minute",
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
