//! Runs every query of the dashboard, and every rule, on a real Prometheus that has
//! scraped calls with every outcome.

use std::collections::BTreeSet;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fleet::{Prometheus, wait_for};
use futures::FutureExt;
use instrument_runtime::{HttpStatus, instrumented};
use instrument_tests::program::is_installed;
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

fn dashboard(prometheus: &Prometheus) {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../deploy/grafana/dashboards/requests.json"
    );
    let text = fs::read_to_string(file).expect("the dashboard");
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
            if let Some((_, rest)) = legend.split_once("{{") {
                let label = rest.trim_end_matches("}}");
                let has_it = answer.iter().any(|(labels, _)| labels.contains_key(label));
                assert!(has_it, "no {label}: {query}\n{answer:?}");
            }
            queries.insert(query);
        }
    }
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
    println!("{} queries have an answer", queries.len());
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
    let ask = || -> Option<Vec<Value>> {
        let text = ureq::get(&format!("http://{}/api/v1/rules", prometheus.addr))
            .call()
            .ok()?
            .body_mut()
            .read_to_string()
            .ok()?;
        let answer: Value = serde_json::from_str(&text).ok()?;
        let groups = answer["data"]["groups"].as_array()?;
        Some(
            groups
                .iter()
                .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
                .collect(),
        )
    };
    let (rules, _) = wait_for("all rules", Duration::from_secs(20), || {
        let rules = ask()?;
        let evaluated = rules.iter().all(|rule| rule["health"] != "unknown");
        (!rules.is_empty() && evaluated).then_some(rules)
    })
    .expect("evaluated");
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        let name = rule["name"].as_str().expect("a name");
        if rule["type"] == "recording" {
            let answer = prometheus.query(name).expect(name);
            assert!(!answer.is_empty(), "{name} records nothing");
        }
    }
    // Exactly the alerts that apply to this application.
    let (firing, _) = wait_for("alerts", Duration::from_secs(20), || {
        let firing: BTreeSet<String> = ask()?
            .iter()
            .filter(|rule| rule["state"] == "firing")
            .filter_map(|rule| Some(rule["name"].as_str()?.to_owned()))
            .collect();
        (firing.len() >= 2).then_some(firing)
    })
    .expect("the alerts without a `for` duration fire");
    assert!(firing.iter().eq(["Panics", "SeriesOverflow"]), "{firing:?}");
    println!("{} rules are evaluated", rules.len());
}
