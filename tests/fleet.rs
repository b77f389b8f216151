//! Instances start and stop behind a proxy. Prometheus finds and loses them, and its sums
//! equal the number of requests sent.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fleet::{Instance, Labels, Prometheus, Proxy, Sent, build_webapp, registry, send, wait_for};
use instrument_tests::program::{Program, build, is_installed};
use instrument_tests::runs_long;
use serde_json::Value;

/// The time within which Prometheus must notice a change.
const NOTICED: Duration = Duration::from_secs(15);
/// Requests per second.
const RATE: u32 = 200;

#[test]
fn prometheus_adds_up_a_fleet_that_changes() {
    if !runs_long() {
        return;
    }
    if !is_installed("nginx") || !is_installed("prometheus") {
        return;
    }
    let program = build_webapp().expect("builds");
    let folder = tempfile::tempdir().expect("a folder");
    let targets = folder.path().join("targets");
    fs::create_dir(&targets).expect("a folder");
    let start = |port| Instance::start(&program, &targets, port).expect("an instance");

    let mut instances: Vec<Instance> = (0..4).map(|_| start(0)).collect();
    let mut proxy = Proxy::start(&folder.path().join("nginx"), &instances).expect("nginx");
    let registry = registry::spawn(&targets).expect("a registry");
    let prometheus = Prometheus::start(
        &folder.path().join("prometheus"),
        &targets,
        // A second job finds the same targets over HTTP. It scrapes once per hour and
        // drops all metrics.
        &format!(
            "- job_name: over-http\n\
             \x20 honor_labels: true\n\
             \x20 scrape_interval: 1h\n\
             \x20 http_sd_configs: [{{url: 'http://{registry}/targets', refresh_interval: 1s}}]\n\
             \x20 metric_relabel_configs: [{{regex: .+, source_labels: [__name__], action: drop}}]\n"
        ),
    )
    .expect("Prometheus");
    prometheus
        .wait_for_targets(&instances, NOTICED)
        .expect("4 targets");
    for target in prometheus.targets().expect("targets") {
        let label = |name: &str| target.labels.get(name).map(String::as_str);
        assert_eq!(label("app_name"), Some("webapp"), "{target:?}");
        assert_eq!(label("version"), Some("0.1.0"), "{target:?}");
        assert_eq!(label("instance"), label("__address__"), "{target:?}");
        assert!(label("__meta_pid").is_some(), "{target:?}");
    }

    // All instances are alive: the sum equals the requests sent, by endpoint and in
    // total.
    let mut sent = vec![send(proxy.addr, 1_000, RATE).expect("answers")];
    prometheus
        .wait_for_number("sum(requests_total)", 1_000.0, NOTICED)
        .expect("each once");
    assert_counted(&prometheus, &total(&sent), "requests_total");
    assert_counted(&prometheus, &total(&sent), "request_latency_seconds_count");
    let exported = prometheus.query(r#"{exported_app_name!=""}"#);
    assert_eq!(exported.expect("an answer"), []);

    // The file of a killed instance stays. It is not served over HTTP, and is removed when
    // the next instance starts.
    let mut killed = instances.remove(0);
    killed.kill().expect("killed");
    assert_eq!(files(&targets), 4, "it had no time to remove its file");
    assert_eq!(served(registry), addresses(&instances));
    instances.extend([start(0), start(0)]);
    let replaced = Instant::now();
    assert_eq!(
        files(&targets),
        5,
        "the dead instance's file is gone, and there are two new files"
    );
    assert_eq!(served(registry), addresses(&instances));
    proxy.set_instances(&instances).expect("nginx reloads");
    prometheus
        .wait_for_targets(&instances, NOTICED)
        .expect("one target less, two more");
    println!(
        "killed and replaced: noticed after {:?}",
        replaced.elapsed()
    );
    wait_for("the same targets over HTTP", NOTICED, || {
        let targets = prometheus.targets().ok()?;
        let mut found: Vec<String> = targets
            .into_iter()
            .filter(|target| target.job == "over-http")
            .map(|target| target.instance)
            .collect();
        found.sort();
        (found == addresses(&instances)).then_some(())
    })
    .expect("the same targets");

    // A graceful shutdown under traffic: no request is lost or counted twice.
    let mut leaving = instances.remove(0);
    let (answers, took) = thread::scope(|scope| {
        let traffic = scope.spawn(|| send(proxy.addr, 1_000, RATE));
        prometheus
            .wait_for_number("sum(requests_total) > bool 1200", 1.0, NOTICED)
            .expect("traffic");
        let told = Instant::now();
        leaving.terminate().expect("told");
        assert!(leaving.wait().expect("ends").success());
        assert_eq!(files(&targets), 4, "the instance has removed its file");
        prometheus
            .wait_for_targets(&instances, NOTICED.saturating_sub(told.elapsed()))
            .expect("one target less");
        (traffic.join().expect("no panic"), told.elapsed())
    });
    sent.push(answers.expect("answers"));
    println!("ended under traffic: noticed after {took:?}");
    let all = "sum(last_over_time(requests_total[10m]))";
    prometheus
        .wait_for_number(all, 2_000.0, NOTICED)
        .expect("each once");
    assert_counted(
        &prometheus,
        &total(&sent),
        "last_over_time(requests_total[10m])",
    );
    assert_eq!(proxy.requests().expect("a log"), 2_000);

    // A restart at the same address: the counters begin at 0 again.
    let mut restarting = instances.remove(0);
    let port = restarting.metrics.port();
    restarting.terminate().expect("told");
    assert!(restarting.wait().expect("ends").success());
    instances.push(start(port));
    let restarted = instances.last().expect("just pushed").metrics;
    assert_eq!(restarted, restarting.metrics);
    proxy.set_instances(&instances).expect("nginx reloads");
    prometheus
        .wait_for_targets(&instances, NOTICED)
        .expect("the same targets");
    sent.push(send(proxy.addr, 400, RATE).expect("answers"));

    documented_queries(&prometheus, &instances, &sent, &restarted.to_string());
}

/// Checks the result of each query in `deploy/queries.md`, by its heading.
fn documented_queries(
    prometheus: &Prometheus,
    instances: &[Instance],
    sent: &[Sent],
    restarted: &str,
) {
    let in_all: f64 = sum(&total(sent));
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/queries.md");
    let queries = queries(&fs::read_to_string(document).expect("the document"));
    assert_eq!(queries.len(), 14, "a new query needs a check of its own");
    // Waits for a scrape after the last answer.
    prometheus
        .wait_for_number("sum(requests_in_progress)", 0.0, NOTICED)
        .expect("nothing in flight");
    let scrapes = "min(count_over_time(up{job='webapp'}[3s])) >= bool 3";
    prometheus
        .wait_for_number(scrapes, 1.0, NOTICED)
        .expect("scrapes");

    for (heading, query) in &queries {
        let answer = prometheus.query(query).expect(heading);
        println!("{heading}: {answer:?}");
        let one = || match &answer[..] {
            [(_, value)] => *value,
            _ => panic!("{heading}: {answer:?}"),
        };
        let by = |label: &str| -> Vec<(String, f64)> {
            let name = |labels: &Labels| labels.get(label).cloned().unwrap_or_default();
            let mut found: Vec<_> = answer.iter().map(|(l, value)| (name(l), *value)).collect();
            found.sort_by(|one, other| one.0.cmp(&other.0));
            found
        };
        let names =
            |label: &str| -> Vec<String> { by(label).into_iter().map(|(name, _)| name).collect() };
        let endpoints = ["/slow", "/test", "/test1", "unmatched"];
        // The rate over the last minute must be plausible.
        let plausible = |rate: f64| (0.5..=f64::from(RATE)).contains(&rate);
        match heading.as_str() {
            "Requests per second" => assert!(plausible(one()), "{answer:?}"),
            "Requests per second by endpoint" => {
                assert_eq!(names("endpoint"), endpoints);
                let sum = by("endpoint").iter().map(|(_, rate)| rate).sum();
                assert!(plausible(sum), "{answer:?}");
            }
            "Requests per second by instance" => {
                for address in addresses(instances) {
                    let rate = by("instance")
                        .into_iter()
                        .find(|(name, _)| *name == address);
                    assert!(rate.is_some_and(|(_, rate)| rate > 0.0), "{answer:?}");
                }
            }
            // 14 of 100 requests fail.
            "Error ratio" => assert!((0.12..0.16).contains(&one()), "{answer:?}"),
            "p95 latency by endpoint, over all instances" => {
                assert_eq!(names("endpoint"), endpoints);
                for (endpoint, p95) in by("endpoint") {
                    let bounds = if endpoint == "/slow" {
                        1.0..=5.0
                    } else {
                        0.0..=0.5
                    };
                    assert!(bounds.contains(&p95), "{endpoint}: {p95}");
                }
            }
            "Mean latency by endpoint" => {
                let slow = &by("endpoint")[0];
                assert!((2.0..4.0).contains(&slow.1), "{slow:?}");
            }
            "Requests in flight" => assert_eq!(one(), 0.0),
            "What is stuck right now" => {
                assert_eq!(answer.len(), 5, "{answer:?}");
                assert!(answer.iter().all(|(_, age)| *age == 0.0), "{answer:?}");
            }
            "Longest time in flight by endpoint over a time range" => {
                assert_eq!(names("endpoint"), endpoints);
                // `/slow` takes 2 s, and there is a scrape in each second.
                let slow = by("endpoint")[0].1;
                assert!((1.0..5.0).contains(&slow), "{slow}");
            }
            "Requests over a time range, including restarts" => {
                // `increase` extrapolates, and the fleet is only a minute old.
                assert!((one() / in_all - 1.0).abs() < 0.1, "{} of {in_all}", one());
            }
            // Here one address was reused, which hides the counts of its first instance.
            "Exact number of requests, including instances that have left" => {
                assert!(one() < in_all, "{} of {in_all}", one());
            }
            "Requests counted by instances that have left" => assert!(one() > 0.0),
            "Instances that answer scrapes" => assert_eq!(one(), instances.len() as f64),
            "Restarts on the same address" => {
                let expected: Vec<(String, f64)> = addresses(instances)
                    .into_iter()
                    .map(|address| (address == restarted, address))
                    .map(|(was, address)| (address, f64::from(u8::from(was))))
                    .collect();
                let alive = |name: &String| expected.iter().any(|(alive, _)| alive == name);
                let found: Vec<_> = by("instance")
                    .into_iter()
                    .filter(|(name, _)| alive(name))
                    .collect();
                assert_eq!(found, expected);
            }
            other => panic!("no check for {other:?}"),
        }
    }
}

/// Returns the headings with the queries below them.
fn queries(document: &str) -> Vec<(String, String)> {
    let mut heading = "";
    let mut found = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("## ") {
            heading = text;
        } else if line == "```promql" {
            let query: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            found.push((heading.to_owned(), query.join("\n")));
        }
    }
    found
}

fn assert_counted(prometheus: &Prometheus, sent: &Sent, series: &str) {
    for (endpoint, expected) in sent {
        let labels = format!("{{endpoint='{endpoint}'}}");
        let of_endpoint = match series.split_once('[') {
            Some((start, rest)) => format!("{start}{labels}[{rest}"),
            None => format!("{series}{labels}"),
        };
        let found = prometheus.number(&format!("sum({of_endpoint})"));
        assert_eq!(
            found.expect(endpoint),
            f64::from(*expected),
            "{of_endpoint}"
        );
    }
}

fn total(parts: &[Sent]) -> Sent {
    let mut total = Sent::new();
    for (endpoint, requests) in parts.iter().flatten() {
        *total.entry(endpoint).or_default() += requests;
    }
    total
}

fn sum(sent: &Sent) -> f64 {
    sent.values().copied().map(f64::from).sum()
}

fn files(targets: &Path) -> usize {
    fs::read_dir(targets).expect("a folder").count()
}

fn addresses(instances: &[Instance]) -> Vec<String> {
    let mut addresses: Vec<String> = instances
        .iter()
        .map(|instance| instance.metrics.to_string())
        .collect();
    addresses.sort();
    addresses
}

/// Returns the targets in the registry's answer.
fn served(registry: std::net::SocketAddr) -> Vec<String> {
    let mut answer = ureq::get(&format!("http://{registry}/targets"))
        .call()
        .expect("200");
    assert_eq!(answer.headers()["content-type"], "application/json");
    let text = answer.body_mut().read_to_string().expect("text");
    let groups: Value = serde_json::from_str(&text).expect("JSON");
    let mut found: Vec<String> = groups
        .as_array()
        .expect("a list")
        .iter()
        .map(|group| group["targets"][0].as_str().expect("a target").to_owned())
        .collect();
    found.sort();
    found
}

/// How the running example is stopped.
#[derive(Clone, Copy, Debug)]
enum End {
    /// By the signal of this name.
    Signal(&'static str),
    /// By a signal, after nginx and Prometheus were killed: the workers of nginx, which
    /// are not the example's children, remain to be stopped.
    Crippled,
}

#[test]
fn the_example_stops_all_it_started() {
    if !runs_long() {
        return;
    }
    if !is_installed("nginx") || !is_installed("prometheus") {
        return;
    }
    let program = build("fleet");
    thread::scope(|scope| {
        for end in [
            End::Signal("INT"),
            End::Signal("TERM"),
            End::Signal("HUP"),
            End::Crippled,
        ] {
            let program = &program;
            scope.spawn(move || stops(program, end));
        }
    });
}

fn stops(program: &str, end: End) {
    let mut fleet = Program::start(
        Command::new(program)
            .arg("--stay")
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    );
    let mut folder = None;
    let mut lines = fleet.lines();
    for line in lines.by_ref() {
        if let Some(targets) = line.strip_prefix("targets") {
            folder = Path::new(targets.trim()).parent().map(Path::to_owned);
        }
        if line.starts_with("sending requests until") {
            break;
        }
    }
    let folder = folder.expect("the example prints its folder");
    assert!(folder.exists());
    // The example starts four instances, nginx with its worker, and Prometheus.
    let started = descendants(fleet.id());
    let is = |name: &str| started.iter().filter(|found| found.name == name).count();
    assert_eq!((is("webapp"), is("prometheus")), (4, 1), "{started:?}");
    assert!(is("nginx") >= 2, "{started:?}");

    let status = match end {
        End::Signal(signal) => fleet.end(signal),
        End::Crippled => {
            for name in ["nginx", "prometheus"] {
                // Kills the nginx master, whose workers keep running.
                let first = started.iter().find(|found| found.name == name);
                let id = first.expect("just counted").id.to_string();
                let killed = Command::new("kill").args(["-KILL", &id]).status();
                assert!(killed.is_ok_and(|status| status.success()));
            }
            fleet.end("TERM")
        }
    };
    assert!(status.success(), "{end:?}: {status}");
    let left: Vec<_> = started.iter().filter(|found| found.is_alive()).collect();
    assert!(left.is_empty(), "{end:?}: {left:?}");
    assert!(!folder.exists(), "{end:?}: {folder:?}");
}

#[derive(Debug)]
struct Found {
    id: u32,
    parent: u32,
    name: String,
    /// The start time, which together with the id identifies a process.
    since: String,
}

impl Found {
    fn read(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        // A zombie: it has ended, and its parent has not waited for it.
        if fields[0] == "Z" {
            return None;
        }
        Some(Self {
            id,
            parent: fields[1].parse().ok()?,
            name: name.to_owned(),
            since: fields[19].to_owned(),
        })
    }

    fn is_alive(&self) -> bool {
        Self::read(self.id).is_some_and(|found| found.since == self.since)
    }
}

/// Returns all descendants of a process, in the order in which they started.
fn descendants(of: u32) -> Vec<Found> {
    let mut all: Vec<Found> = fs::read_dir("/proc")
        .expect("Linux")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Found::read)
        .collect();
    all.sort_by_key(|found| found.since.parse::<u64>().expect("a number"));
    let mut of = vec![of];
    all.retain(|found| {
        let is_one = of.contains(&found.parent);
        if is_one {
            of.push(found.id);
        }
        is_one
    });
    all
}

#[test]
fn the_example_says_what_is_missing() {
    let output = Command::new(build("fleet"))
        // `cargo` is missing too: the example reports nginx before it builds anything.
        .env("PATH", "/nonexistent")
        .output()
        .expect("runs");
    assert!(!output.status.success());
    let says = String::from_utf8_lossy(&output.stderr);
    assert!(says.contains("not installed: "), "{says}");
    assert!(
        says.contains("prometheus. On Debian, run `apt install "),
        "{says}"
    );
    assert_eq!(
        fleet::missing(&["no-such-program", "sh"]),
        ["no-such-program"]
    );
}
