//! Runs every query of the dashboards, and every rule, on a real Prometheus that has
//! scraped calls with every outcome.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fleet::{Prometheus, wait_for};
use futures::FutureExt;
use instrument_runtime::{HttpStatus, instrumented};
use instrument_tests::fast_rules::fast;
use instrument_tests::page_server::{self, TEXT};
use instrument_tests::program::is_installed;
use instrument_tests::prometheus_server::Release;
use serde_json::Value;

#[derive(HttpStatus)]
enum Refusal {
    #[http_status(404)]
    Unknown,
    #[http_status(503)]
    Broken,
}

#[instrumented(endpoint = "/items/{id}", method = "GET")]
async fn item(number: u32) -> Result<(), Refusal> {
    match number % 4 {
        0 => Err(Refusal::Unknown),
        1 => Err(Refusal::Broken),
        _ => Ok(()),
    }
}

#[instrumented(endpoint = "/panics", method = "POST")]
async fn panics() {
    std::panic::resume_unwind(Box::new("as asked"));
}

#[instrumented(endpoint = "/hangs", method = "GET")]
async fn hangs() {
    std::future::pending().await
}

#[instrumented(labels(tenant = tenant))]
async fn of_tenant(tenant: u32) {}

/// Makes calls with every outcome until `stop` is set, with one call in progress.
async fn traffic(stop: &AtomicBool) {
    let mut in_flight = Box::pin(hangs());
    assert!(in_flight.as_mut().now_or_never().is_none());
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // The result does not matter here: the call counts by its outcome.
        let _ = item(number).await;
        assert!(AssertUnwindSafe(panics()).catch_unwind().await.is_err());
        assert!(hangs().now_or_never().is_none(), "dropped after one poll");
        of_tenant(number % 30).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn every_query_and_every_rule_has_an_answer() {
    if !is_installed("prometheus") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let exporter = instrument_runtime::builder("webapp")
        .listen(([127, 0, 0, 1], 0))
        .max_series(20)
        .file_sd(folder.path())
        .install()
        .expect("installs");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let traffic = scope.spawn(|| runtime.block_on(traffic(&stop)));
        let asked = scope.spawn(|| {
            let data = folder.path().join("prometheus");
            let prometheus = Prometheus::start(&data, folder.path(), "").expect("Prometheus");
            // `rate` needs several scrapes.
            let scrapes = "count_over_time(up{job='webapp'}[1m]) >= bool 5";
            prometheus
                .wait_for_number(scrapes, 1.0, Duration::from_secs(30))
                .expect("scrapes");
            dashboard(&prometheus);
            rules(&prometheus);
        });
        let asked = asked.join();
        stop.store(true, Ordering::Relaxed);
        traffic.join().expect("the traffic does not panic");
        asked.expect("the answers");
    });

    runtime.block_on(exporter.shutdown());
    let left: Vec<_> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["prometheus"], "the target is gone");
}

/// Runs the queries of a dashboard, and returns them.
fn run(dashboard: &str, prometheus: &Prometheus) -> BTreeSet<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/grafana/dashboards");
    let text = fs::read_to_string(Path::new(folder).join(dashboard)).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let list = |value: &Value| value.as_array().expect("a list").clone();

    let mut variables = Vec::new();
    for variable in list(&dashboard["templating"]["list"]) {
        let name = variable["name"].as_str().expect("a name").to_owned();
        if variable["type"] == "query" {
            let query = variable["query"]["query"].as_str().expect("a query");
            let inner = query
                .strip_prefix("label_values(")
                .and_then(|query| query.strip_suffix(')'))
                .expect("label_values");
            let (series, label) = inner.rsplit_once(", ").expect("a label");
            let query = format!("group by ({label}) ({series})");
            let query = filled_in(&query, &variables);
            let values = prometheus.query(&query).expect(&name);
            assert!(values.iter().any(|(labels, _)| labels.contains_key(label)));
            variables.push(name);
        }
    }

    let mut queries = BTreeSet::new();
    for panel in list(&dashboard["panels"]) {
        if panel["type"] == "row" {
            continue;
        }
        for target in list(&panel["targets"]) {
            let query = target["expr"].as_str().expect("a query");
            let query = filled_in(query, &variables);
            assert!(!query.contains('$'), "{query}");
            let answer = prometheus.query(&query).expect(&query);
            let finite = answer.iter().any(|(_, value)| value.is_finite());
            assert!(finite, "no data: {query}\n{answer:?}");
            // The labels in the legend must exist.
            let legend = target["legendFormat"].as_str().expect("a legend");
            for part in legend.split("{{").skip(1) {
                let (label, _) = part.split_once("}}").expect("a label");
                let has_it = answer.iter().any(|(labels, _)| labels.contains_key(label));
                assert!(has_it, "no {label}: {query}\n{answer:?}");
            }
            queries.insert(query);
        }
    }
    println!("{} queries have an answer", queries.len());
    queries
}

fn dashboard(prometheus: &Prometheus) {
    let queries = run("requests.json", prometheus);
    for by in ["endpoint", "instance"] {
        for what in [
            "sum by (BY) (rate(requests_total{",
            "sum by (BY) (requests_in_progress{",
            "outcome=\"cancelled\"",
            "outcome=\"panicked\"",
            "outcome=~\"error|panicked\"",
            "histogram_quantile(0.95, sum by (le, BY)",
        ] {
            let found = queries.iter().any(|query| {
                query.contains(&what.replace("BY", by)) && query.contains(&format!("{by})"))
            });
            assert!(found, "no panel of {what} by {by}");
        }
    }
}

/// Fills in a query as Grafana does, with all values selected and the smallest interval.
fn filled_in(query: &str, variables: &[String]) -> String {
    let mut query = query.replace("$__rate_interval", "20s");
    for variable in variables {
        query = query.replace(&format!("${variable}"), ".*");
    }
    query
}

fn rules(prometheus: &Prometheus) {
    let firing = evaluated(prometheus, 2);
    // Exactly the alerts that apply to this application.
    let names = firing
        .iter()
        .map(|alert| alert["labels"]["alertname"].as_str());
    let names: BTreeSet<_> = names.flatten().collect();
    assert!(
        names.iter().eq(&["Panics", "SeriesOverflow"]),
        "{firing:#?}"
    );
}

/// Waits until every rule is evaluated and `at_least` rules fire. Checks that every recording
/// rule has an answer, and returns the firing alerts.
fn evaluated(prometheus: &Prometheus, at_least: usize) -> Vec<Value> {
    let ask = || -> Option<Vec<Value>> {
        let answer = prometheus.ask("rules", &[]).ok()?;
        let groups = answer["groups"].as_array()?;
        Some(
            groups
                .iter()
                .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
                .collect(),
        )
    };
    let (rules, _) = wait_for("all rules", Duration::from_secs(30), || {
        let rules = ask()?;
        let evaluated = rules.iter().all(|rule| rule["health"] != "unknown");
        (!rules.is_empty() && evaluated).then_some(rules)
    })
    .expect("evaluated");
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        let name = rule["name"].as_str().expect("a name");
        if rule["type"] == "recording" {
            let answer = || {
                prometheus
                    .query(name)
                    .ok()
                    .filter(|answer| !answer.is_empty())
            };
            wait_for(name, Duration::from_secs(30), answer)
                .unwrap_or_else(|error| panic!("{name} records nothing: {error:#}"));
        }
    }
    println!("{} rules are evaluated", rules.len());
    let (firing, _) = wait_for("alerts", Duration::from_secs(30), || {
        let rules = ask()?;
        let firing = rules.iter().filter(|rule| rule["state"] == "firing");
        if firing.clone().count() < at_least {
            return None;
        }
        let alerts = firing.filter_map(|rule| rule["alerts"].as_array());
        let alerts = alerts.flatten().filter(|alert| alert["state"] == "firing");
        Some(alerts.cloned().collect())
    })
    .expect("the alerts fire");
    firing
}

/// Returns a page with objectives, in the text format. Every second call to `/bad` is an error,
/// and every second one is slow. There is no bucket for the threshold of `/unmeasured`.
fn page_with_objectives(started: Instant) -> String {
    let calls = started.elapsed().as_millis();
    let mut page = String::new();
    for (endpoint, threshold, is_bad) in [
        ("/good", "0.25", false),
        ("/bad", "0.25", true),
        ("/unmeasured", "0.3", false),
    ] {
        let labels = format!("app_name=\"shop_1\",method=\"GET\",endpoint=\"{endpoint}\"");
        let slo = endpoint.trim_start_matches('/');
        let errors = if is_bad { calls / 2 } else { 0 };
        let good = calls - errors;
        write!(
            page,
            "request_objective_ratio{{{labels},slo=\"{slo}\",sli=\"success\"}} 0.99\n\
             request_objective_ratio{{{labels},slo=\"{slo}\",sli=\"latency\",le=\"{threshold}\"}} 0.99\n\
             requests_total{{{labels},http_status=\"200\",outcome=\"ok\"}} {good}\n\
             requests_total{{{labels},http_status=\"500\",outcome=\"error\"}} {errors}\n\
             request_latency_seconds_bucket{{{labels},outcome=\"ok\",le=\"0.25\"}} {good}\n\
             request_latency_seconds_bucket{{{labels},outcome=\"ok\",le=\"+Inf\"}} {calls}\n\
             request_latency_seconds_sum{{{labels},outcome=\"ok\"}} {calls}\n\
             request_latency_seconds_count{{{labels},outcome=\"ok\"}} {calls}\n"
        )
        .expect("written");
    }
    page
}

#[test]
fn every_query_and_every_rule_about_objectives_has_an_answer() {
    for release in Release::all() {
        println!("Prometheus {}", release.version);
        objectives_have_answers(&release);
    }
}

fn objectives_have_answers(release: &Release) {
    let started = Instant::now();
    let addr = page_server::serve(TEXT, move || page_with_objectives(started).into_bytes());
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("slo.yml"), fast("slo.yml")).expect("written");
    let configuration = format!(
        "global: {{scrape_interval: 1s}}\n\
         rule_files: [slo.yml]\n\
         scrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{addr}']}}]}}]\n"
    );
    let prometheus = Prometheus::start_with(&release.program, folder.path(), &configuration, &[]);
    let prometheus = prometheus.expect("Prometheus");

    let firing = evaluated(&prometheus, 5);
    let mut found = BTreeSet::new();
    for alert in &firing {
        let label = |name: &str| alert["labels"][name].as_str().unwrap_or_default();
        found.insert((label("slo"), label("sli"), label("window")));
        assert_eq!(label("job"), "shop", "{alert}");
        // The query in the annotations shows the calls.
        if let Some(query) = alert["annotations"]["query"].as_str() {
            let calls = prometheus.query(query).expect(query);
            let is_bad = |endpoint: &String| endpoint == "/bad";
            assert!(
                calls
                    .iter()
                    .all(|(labels, _)| labels.get("endpoint").is_some_and(is_bad))
            );
            assert!(!calls.is_empty(), "{query}");
        }
    }
    let mut expected = BTreeSet::from([("unmeasured", "latency", "")]);
    for window in ["1h", "6h", "1d", "3d"] {
        expected.insert(("bad", "success", window));
        expected.insert(("bad", "latency", window));
    }
    assert_eq!(found, expected, "{firing:#?}");

    let queries = run("objectives.json", &prometheus);
    for what in [
        "slo:request_error_budget_left:ratio30d",
        "slo:request_errors:burn_rate1h",
        "slo:request_errors:burn_rate6h",
        "slo:request_errors:burn_rate1d",
        "slo:request_errors:burn_rate3d",
        "1 - slo:request_errors:ratio_rate1h",
        "slo:request_objective:ratio",
    ] {
        assert!(
            queries.iter().any(|query| query.contains(what)),
            "no panel of {what}"
        );
    }
}
