//! Property test of the alert `ErrorBudgetBurn`: random traffic fires exactly the alerts that
//! the arithmetic of the SRE workbook demands.
//!
//! - [`traffic`] makes up applications: instances that start, restart and die, with random
//!   errors near the thresholds of the alerts.
//! - [`workbook`] computes from their calls when each alert must fire, without looking at the
//!   rules.
//! - [`cases`] writes both as test cases for promtool, which evaluates `slo.yml`.
//!
//! The rules see calls only as samples. So the verdict is left open where it depends on
//! less than [`workbook::MARGIN`], on the calls of a few minutes at the edges of a long window,
//! or on how `increase` extrapolates to the start and the end of a series. The test also
//! requires that most verdicts are not left open.
//!
//! With `LONG_TESTS=1`, the simulations take days instead of hours, and use other intervals. CI
//! tries one other interval.

mod cases;
mod traffic;
mod workbook;

use std::path::Path;
use std::time::Instant;
use std::{fs, process::Command};

use instrument_tests::program::is_installed;
use instrument_tests::random::Random;
use instrument_tests::runs_long;

use crate::cases::{Cases, Metrics};
use crate::traffic::{Application, Clock};
use crate::workbook::ALERTS;

const MINUTE: usize = 60;
const HOUR: usize = 60 * MINUTE;

/// Writes the rules, changed by `change`, and the cases into a folder, and runs promtool on
/// them. Returns what promtool prints if it finds a difference.
fn check(cases: &Cases, metrics: Metrics, change: impl Fn(String) -> String) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
    let rules = fs::read_to_string(all.join(metrics.rules())).expect("the rules");
    fs::write(folder.path().join(metrics.rules()), change(rules)).expect("written");
    fs::write(folder.path().join("test.yml"), cases.to_yaml(metrics)).expect("written");
    let output = Command::new("promtool")
        .args(["test", "rules", "test.yml"])
        .current_dir(folder.path())
        .output()
        .expect("promtool runs");
    match output.status.success() {
        true => Ok(()),
        false => Err([output.stdout, output.stderr]
            .iter()
            .map(|text| String::from_utf8_lossy(text))
            .collect()),
    }
}

fn simulate(seed: u64, clock: Clock, applications: usize) -> Cases {
    let mut random = Random::new(seed);
    let applications: Vec<Application> = (0..applications)
        .map(|number| Application::random(&mut random, &format!("app{number}"), clock))
        .collect();
    let cases = Cases::new(applications, clock);
    println!("seed {seed}: {:?}", cases.verdicts);
    for (alert, verdicts) in ALERTS.iter().zip(&cases.verdicts) {
        let window = alert.window;
        assert!(verdicts.fires >= 15, "{window}: {verdicts:?}");
        assert!(verdicts.silent >= 15, "{window}: {verdicts:?}");
        let all = verdicts.fires + verdicts.silent + verdicts.open;
        assert!(verdicts.open * 10 < all, "{window}: {verdicts:?}");
    }
    cases
}

#[test]
fn the_alerts_fire_as_the_workbook_demands() {
    if !is_installed("promtool") {
        return;
    }
    let clock = Clock {
        scrape: MINUTE,
        evaluation: MINUTE,
        duration: 8 * HOUR,
    };
    let started = Instant::now();
    let cases = simulate(1, clock, 12);
    if let Err(differences) = check(&cases, Metrics::Default, |rules| rules) {
        panic!("{differences}");
    }
    println!("took {:?}", started.elapsed());
    // The test notices if one factor is wrong.
    let wrong = check(&cases, Metrics::Default, |rules| {
        replaced(&rules, "> 14.4", "> 12")
    });
    let differences = wrong.expect_err("a wrong factor passes");
    assert!(differences.contains(r#"window=\"1h\""#), "{differences}");
    println!("took {:?}", started.elapsed());
}

#[test]
fn the_alerts_fire_as_the_workbook_demands_with_the_metrics_of_opentelemetry() {
    if !is_installed("promtool") {
        return;
    }
    let clock = Clock {
        scrape: MINUTE,
        evaluation: MINUTE,
        duration: 4 * HOUR,
    };
    let cases = simulate(8, clock, 10);
    if let Err(differences) = check(&cases, Metrics::OpenTelemetry, |rules| rules) {
        panic!("{differences}");
    }
}

/// Other intervals, and longer times.
#[test]
fn the_alerts_fire_as_the_workbook_demands_at_other_intervals() {
    if !runs_long() || !is_installed("promtool") {
        return;
    }
    let mut runs = vec![(4, MINUTE / 2, MINUTE / 2, 10)];
    // These take several minutes, so CI does not run them.
    if std::env::var_os("LONG_TESTS").is_some() {
        runs.extend([
            (2, MINUTE, MINUTE, 80),
            (3, MINUTE, MINUTE / 2, 10),
            (5, MINUTE / 4, MINUTE / 2, 10),
            (6, MINUTE / 4, MINUTE, 10),
        ]);
    }
    for (seed, scrape, evaluation, hours) in runs {
        let clock = Clock {
            scrape,
            evaluation,
            duration: hours * HOUR,
        };
        let cases = simulate(seed, clock, 10);
        if let Err(differences) = check(&cases, Metrics::Default, |rules| rules) {
            panic!("scraped each {scrape} s, evaluated each {evaluation} s: {differences}");
        }
    }
}

/// Each of these mistakes in the rules changes a verdict.
#[test]
fn a_mistake_in_the_rules_is_found() {
    // Takes several minutes, so CI does not run it.
    if std::env::var_os("LONG_TESTS").is_none() || !is_installed("promtool") {
        return;
    }
    let clock = Clock {
        scrape: MINUTE,
        evaluation: MINUTE,
        duration: 12 * HOUR,
    };
    let cases = simulate(7, clock, 16);
    assert_eq!(check(&cases, Metrics::Default, |rules| rules), Ok(()));
    for (right, wrong) in [
        ("burn_rate1h > 14.4", "burn_rate1h > 12"),
        ("burn_rate5m > 14.4", "burn_rate5m > 18"),
        ("burn_rate6h > 6", "burn_rate6h > 7"),
        ("burn_rate30m > 6", "burn_rate30m > 5"),
        ("burn_rate1d > 3", "burn_rate1d > 2.5"),
        ("burn_rate2h > 3", "burn_rate2h > 4"),
        ("burn_rate3d > 1", "burn_rate3d > 1.2"),
        ("burn_rate6h > 1\n", "burn_rate6h > 0.8\n"),
        ("for: 1m", "for: 10m"),
        (
            "for: 5m\n        labels: { severity: page",
            "for: 30m\n        labels: { severity: page",
        ),
        ("for: 15m", "for: 1m"),
        ("for: 1h", "for: 30m"),
        ("increase1h >= 5", "increase1h >= 50"),
        ("[6h:5m]) >= 5", "[6h:5m]) >= 50"),
        ("request_errors:sum[1h]", "request_errors:sum[90m]"),
        ("request_errors:sum[30m]", "request_errors:sum[20m]"),
        ("increase5m[2h:5m]", "increase5m[3h:5m]"),
        ("increase5m[6h:5m]) / (", "increase5m[5h:5m]) / ("),
        (
            "{outcome=~\"error|panicked\"})\n            or",
            "{outcome=\"error\"})\n            or",
        ),
        ("without (instance)", "without (slo)"),
        (
            "(request_latency_seconds_bucket)",
            "(request_latency_seconds_bucket offset 10m)",
        ),
    ] {
        let found = check(&cases, Metrics::Default, |rules| {
            replaced(&rules, right, wrong)
        });
        assert!(found.is_err(), "{wrong} instead of {right} passes");
    }
}

fn replaced(rules: &str, right: &str, wrong: &str) -> String {
    let changed = rules.replace(right, wrong);
    assert_ne!(changed, rules, "the rules do not contain {right}");
    changed
}
