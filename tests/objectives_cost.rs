//! What the rules for objectives cost a Prometheus server: recorded series, and the time of an
//! evaluation. Takes about ten minutes. Run it on an otherwise idle machine:
//!
//! `cargo test --release -p instrument-tests --test objectives_cost -- --ignored --nocapture`
//!
//! The server gets the recorded series of 30 days beforehand, so that the long windows are
//! full. It then scrapes instances and evaluates `slo.yml` at its own intervals.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fleet::{Labels, Prometheus};
use instrument_tests::page::scrape;
use instrument_tests::page_server::{self, TEXT};
use instrument_tests::program::is_installed;
use instrument_tests::prometheus_server::Release;

const OBJECTIVES: usize = 500;
const INSTANCES: usize = 3;
const BOUNDS: [&str; 18] = [
    "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5",
    "0.75", "1.0", "2.5", "5.0", "7.5", "10.0", "+Inf",
];
const WITHOUT_RULES: Duration = Duration::from_secs(2 * 60);
/// Each group is evaluated at least once in this time.
const WITH_RULES: Duration = Duration::from_secs(6 * 60);

/// Returns the page of an instance: for each objective, an endpoint with calls that have ended
/// in two ways.
fn page(started: Instant) -> Vec<u8> {
    let calls = 1 + started.elapsed().as_millis();
    let mut page = String::new();
    for number in 0..OBJECTIVES {
        let call = format!("app_name=\"app\",method=\"GET\",endpoint=\"/{number}\"");
        write!(
            page,
            "request_objective_ratio{{{call},slo=\"slo{number}\",sli=\"success\"}} 0.999\n\
             request_objective_ratio{{{call},slo=\"slo{number}\",sli=\"latency\",le=\"0.25\"}} 0.99\n"
        )
        .expect("written");
        for (outcome, status, calls) in [("ok", 200, calls), ("error", 500, calls / 1000)] {
            let ended = format!("{call},outcome=\"{outcome}\"");
            writeln!(
                page,
                "requests_total{{{ended},http_status=\"{status}\"}} {calls}"
            )
            .expect("written");
            for (index, le) in BOUNDS.iter().enumerate() {
                let fast = calls * (index as u128 + 1) / BOUNDS.len() as u128;
                let bucket = "request_latency_seconds_bucket";
                writeln!(page, "{bucket}{{{ended},le=\"{le}\"}} {fast}").expect("written");
            }
            write!(
                page,
                "request_latency_seconds_sum{{{ended}}} {calls}\n\
                 request_latency_seconds_count{{{ended}}} {calls}\n"
            )
            .expect("written");
        }
    }
    page.into_bytes()
}

/// Writes what the rules have recorded before the test: the increases of 30 days, and the
/// counters of the last hour.
fn write_history(file: &Path, instances: &[SocketAddr]) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(file)?);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let now = now / 300 * 300;
    let slis = ["success", "latency"];
    for (name, value) in [
        ("slo:requests:increase5m", 300),
        ("slo:request_errors:increase5m", 1),
    ] {
        for number in 0..OBJECTIVES {
            for sli in slis {
                for tile in (0..30 * 24 * 12).rev() {
                    let time = now - tile * 300;
                    writeln!(
                        file,
                        "{name}{{job=\"app\",slo=\"slo{number}\",sli=\"{sli}\"}} {value} {time}"
                    )?;
                }
            }
        }
    }
    for (name, step) in [
        ("instance_slo:requests:sum", 30),
        ("instance_slo:request_errors:sum", 1),
    ] {
        for number in 0..OBJECTIVES {
            for (sli, instance) in slis
                .iter()
                .flat_map(|sli| instances.iter().map(move |i| (sli, i)))
            {
                for evaluation in 0..120 {
                    let time = now - (120 - evaluation) * 30;
                    writeln!(
                        file,
                        "{name}{{job=\"app\",instance=\"{instance}\",slo=\"slo{number}\",sli=\"{sli}\"}} \
                         {} {time}",
                        step * evaluation
                    )?;
                }
            }
        }
    }
    writeln!(file, "# EOF")?;
    file.flush()
}

#[test]
#[ignore = "measures for ten minutes"]
fn what_the_rules_cost() {
    let Some(release) = Release::installed().filter(|_| is_installed("promtool")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let started = Instant::now();
    let instances: Vec<SocketAddr> = (0..INSTANCES)
        .map(|_| page_server::serve(TEXT, move || page(started)))
        .collect();

    let history = folder.path().join("history");
    write_history(&history, &instances).expect("written");
    let output = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
        .args(["--max-block-duration", "256h"])
        .args([&history, &folder.path().join("data")])
        .output()
        .expect("promtool runs");
    assert!(output.status.success(), "{output:?}");
    println!("created the history in {:?}", started.elapsed());

    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus/slo.yml");
    let rules = rules.canonicalize().expect("slo.yml");
    let targets: Vec<String> = instances.iter().map(|addr| format!("'{addr}'")).collect();
    let scraping = format!(
        "global: {{scrape_interval: 15s}}\n\
         scrape_configs: [{{job_name: app, static_configs: [{{targets: [{}]}}]}}]\n",
        targets.join(", ")
    );
    let start = |folder: &Path, configuration: &str| {
        let retention = ["--storage.tsdb.retention.time=31d".to_owned()];
        Prometheus::start_with(&release.program, folder, configuration, &retention)
            .expect("Prometheus")
    };

    println!("{OBJECTIVES} objectives, each for success and latency, on {INSTANCES} instances");
    println!("Prometheus {}", release.version);
    let prometheus = start(&folder.path().join("without"), &scraping);
    let (cores, _) = measure(&prometheus, WITHOUT_RULES);
    println!("without rules: {:.1} % of a core", 100.0 * cores);
    drop(prometheus);

    let with_rules = format!("{scraping}rule_files: ['{}']\n", rules.display());
    let prometheus = start(folder.path(), &with_rules);
    let (cores, groups) = measure(&prometheus, WITH_RULES);
    println!("with rules: {:.1} % of a core", 100.0 * cores);
    for (group, seconds) in &groups {
        println!("longest evaluation of {group}: {seconds:.2} s");
    }
    let count = |selector: &str| {
        prometheus
            .number(&format!("count({selector})"))
            .expect(selector)
    };
    println!("scraped series: {}", count(r#"{__name__=~"request.*"}"#));
    println!(
        "recorded series of instances: {}",
        count(r#"{__name__=~"instance_slo:.*"}"#)
    );
    println!(
        "recorded series of objectives: {}",
        count(r#"{__name__=~"slo:.*"}"#)
    );

    let failures = own(&prometheus, "prometheus_rule_evaluation_failures_total");
    assert!(
        failures.iter().all(|(_, failures)| *failures == 0.0),
        "{failures:?}"
    );
    assert_eq!(groups.len(), 3, "{groups:?}");
    assert!(groups.values().all(|seconds| *seconds > 0.0), "{groups:?}");
    let left = prometheus
        .query("slo:request_error_budget_left:ratio30d")
        .expect("budgets");
    assert_eq!(left.len(), 2 * OBJECTIVES);
}

/// Returns how many cores the server uses, and the longest evaluation of each rule group, in
/// seconds.
fn measure(prometheus: &Prometheus, time: Duration) -> (f64, BTreeMap<String, f64>) {
    let cpu = || own(prometheus, "process_cpu_seconds_total")[0].1;
    let (started, cpu_before) = (Instant::now(), cpu());
    let mut groups: BTreeMap<String, f64> = BTreeMap::new();
    while started.elapsed() < time {
        thread::sleep(Duration::from_secs(5));
        for (labels, seconds) in own(prometheus, "prometheus_rule_group_last_duration_seconds") {
            let (_, group) = labels["rule_group"]
                .rsplit_once(';')
                .expect("a file and a group");
            let longest = groups.entry(group.to_owned()).or_default();
            *longest = longest.max(seconds);
        }
    }
    let cores = (cpu() - cpu_before) / started.elapsed().as_secs_f64();
    (cores, groups)
}

/// Returns samples of the server's own metrics.
fn own(prometheus: &Prometheus, name: &str) -> Vec<(Labels, f64)> {
    let page = scrape(prometheus.addr).expect("its own page");
    let samples = page.samples(name);
    samples
        .map(|(labels, value)| (labels.clone(), value))
        .collect()
}
