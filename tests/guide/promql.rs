//! The queries of the guide, with promtool.

use std::path::Path;
use std::process::Command;

use instrument_tests::program::is_installed;
use serde_json::{Value, json};

use crate::chapters::{blocks, chapter, chapters, read, section};

/// Runs promtool on a file with this content. JSON is YAML, too.
fn promtool(arguments: [&str; 2], content: &Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let file: &Path = &folder.path().join("guide.yml");
    std::fs::write(file, content.to_string()).expect("a file");
    let output = Command::new("promtool").args(arguments).arg(file).output();
    let output = output.expect("promtool runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}\n{content:#}");
}

#[test]
fn every_query_is_promql() {
    if !is_installed("promtool") {
        return;
    }
    let mut rules = Vec::new();
    for name in chapters() {
        for query in blocks(&chapter(&name), "promql") {
            let record = format!("guide:{name}:{}", rules.len());
            rules.push(json!({ "record": record, "expr": query }));
        }
    }
    // The README has one query in each line of its block.
    let readme = blocks(&read("README.md"), "promql").concat();
    let queries = readme.lines().enumerate();
    rules.extend(
        queries.map(|(at, query)| json!({ "record": format!("readme:{at}"), "expr": query })),
    );
    assert!(rules.len() > 10, "{rules:?}");
    let groups = json!({ "groups": [{ "name": "guide", "rules": rules }] });
    promtool(["check", "rules"], &groups);
}

/// Series, each with its first value and what it grows by in a minute.
type Series<'a> = [(&'a str, &'a str)];
/// The expected samples of a query.
type Samples<'a> = &'a [(&'a str, f64)];

/// Checks the results of queries after ten minutes.
fn results(series: &Series<'_>, queries: &[(&str, Samples<'_>)]) {
    if !is_installed("promtool") {
        return;
    }
    let series: Vec<Value> = series
        .iter()
        .map(|(series, values)| json!({ "series": series, "values": format!("{values}x10") }))
        .collect();
    let queries: Vec<Value> = queries
        .iter()
        .map(|(query, samples)| {
            let samples: Vec<Value> = samples
                .iter()
                .map(|(labels, value)| json!({ "labels": labels, "value": value }))
                .collect();
            json!({ "expr": query, "eval_time": "10m", "exp_samples": samples })
        })
        .collect();
    let test = json!({
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": queries,
    });
    promtool(["test", "rules"], &json!({ "tests": [test] }));
}

#[test]
fn a_missing_label_is_an_empty_one() {
    let section = section(&chapter("labels"), "Why an unknown label is absent");
    let queries = blocks(&section, "promql");
    let [empty, negative, grouped, errors] = queries[..] else {
        panic!("{queries:?}");
    };
    let with_status = r#"sum(rate(requests_total{http_status!="200", http_status!=""}[5m]))"#;
    assert!(section.contains(r#"`{http_status!="200", http_status!=""}`"#));
    results(
        &[
            (
                r#"requests_total{endpoint="/x",http_status="200",outcome="ok"}"#,
                "0+60",
            ),
            (
                r#"requests_total{endpoint="/x",http_status="500",outcome="error"}"#,
                "0+60",
            ),
            (r#"requests_total{endpoint="job",outcome="ok"}"#, "0+60"),
            (
                r#"requests_total{endpoint="job",outcome="panicked"}"#,
                "0+60",
            ),
        ],
        &[
            (
                empty,
                &[
                    (r#"requests_total{endpoint="job",outcome="ok"}"#, 600.0),
                    (
                        r#"requests_total{endpoint="job",outcome="panicked"}"#,
                        600.0,
                    ),
                ],
            ),
            (negative, &[("{}", 3.0)]),
            (with_status, &[("{}", 1.0)]),
            (
                grouped,
                &[
                    (r#"{http_status="200"}"#, 1.0),
                    (r#"{http_status="500"}"#, 1.0),
                    ("{}", 2.0),
                ],
            ),
            (errors, &[("{}", 0.5)]),
        ],
    );
}

#[test]
fn a_join_with_target_info_adds_the_version() {
    let section = section(&chapter("naming"), "The name of the application");
    let queries = blocks(&section, "promql");
    let [join] = queries[..] else {
        panic!("{queries:?}");
    };
    results(
        &[
            (
                r#"requests_total{job="j",instance="1",endpoint="/x",outcome="ok"}"#,
                "0+60",
            ),
            (
                r#"requests_total{job="j",instance="1",endpoint="/y",outcome="ok"}"#,
                "0+120",
            ),
            (
                r#"target_info{job="j",instance="1",service_name="shop",service_version="1.2.3"}"#,
                "1+0",
            ),
        ],
        &[(join, &[(r#"{service_version="1.2.3"}"#, 3.0)])],
    );
}

#[test]
fn the_queries_of_objectives_are_right() {
    let section = section(&chapter("objectives"), "Which calls are good");
    let queries = blocks(&section, "promql");
    let [success, latency] = queries[..] else {
        panic!("{queries:?}");
    };
    let of = r#"method="POST",endpoint="/cart""#;
    let requests = |outcome| format!(r#"requests_total{{{of},outcome="{outcome}"}}"#);
    let calls = format!("request_latency_seconds_count{{{of}}}");
    let within = format!(r#"request_latency_seconds_bucket{{{of},le="0.25"}}"#);
    results(
        &[
            (&requests("ok"), "0+90"),
            (&requests("client_error"), "0+4"),
            (&requests("cancelled"), "0+4"),
            (&requests("error"), "0+1"),
            (&requests("panicked"), "0+1"),
            (&calls, "0+100"),
            (&within, "0+95"),
        ],
        &[(success, &[("{}", 0.98)]), (latency, &[("{}", 0.95)])],
    );
}

#[test]
fn a_quantile_needs_le_and_two_samples() {
    let bucket = |endpoint, le| {
        format!(r#"request_latency_seconds_bucket{{endpoint="{endpoint}",le="{le}"}}"#)
    };
    let of = |endpoint: &str, labels: &str, range: &str| {
        let buckets = format!(r#"request_latency_seconds_bucket{{endpoint="{endpoint}"}}"#);
        format!("histogram_quantile(0.95, sum by ({labels}) (rate({buckets}[{range}])))")
    };
    let idle = of("/idle", "le", "5m");
    results(
        &[
            (&bucket("/x", "1.0"), "0+0"),
            (&bucket("/x", "10.0"), "0+60"),
            (&bucket("/x", "+Inf"), "0+60"),
            (&bucket("/idle", "1.0"), "0+0"),
            (&bucket("/idle", "+Inf"), "0+0"),
            (&bucket("/slow", "10.0"), "0+0"),
            (&bucket("/slow", "+Inf"), "0+60"),
        ],
        &[
            (
                &format!("{} > bool 9", of("/x", "le", "5m")),
                &[("{}", 1.0)],
            ),
            // Without `le`, and with a range that has only one sample.
            (&of("/x", "endpoint", "5m"), &[]),
            (&of("/x", "le", "30s"), &[]),
            // `NaN` is the only value that differs from itself.
            (&format!("{idle} != bool {idle}"), &[("{}", 1.0)]),
            // The highest bound.
            (&of("/slow", "le", "5m"), &[("{}", 10.0)]),
        ],
    );
}
