//! The rule files that are generated from `slo.yml` and `rules.yml`.
//!
//! - [`opentelemetry`]: `slo-opentelemetry.yml`, for `MetricNames::opentelemetry()`.
//! - [`native`]: `slo-native.yml`, for native histograms without classic buckets.
//! - [`operator`]: `kubernetes/prometheusrule.yml`, for the Prometheus Operator.
//!
//! The generators change parts of the text, so that its comments stay. A generator panics if it
//! does not find such a part.
//!
//! To write the files: `UPDATE_RULES=1 cargo test -p instrument-tests --test rule_files`.

mod native;
mod opentelemetry;
mod operator;
mod text;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use instrument_tests::program::is_installed;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn read(file: &str) -> String {
    fs::read_to_string(deploy().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Compares a file with its generated text, or writes the file.
fn hold(file: &str, generated: &str) {
    if std::env::var_os("UPDATE_RULES").is_some() {
        fs::write(deploy().join(file), generated).expect("written");
        return;
    }
    let written = fs::read_to_string(deploy().join(file)).unwrap_or_default();
    let difference = written
        .lines()
        .zip(generated.lines())
        .find(|(written, generated)| written != generated);
    assert!(
        written == generated,
        "{file} is not what its sources generate. First difference: {difference:#?}\n\
         Run `UPDATE_RULES=1 cargo test -p instrument-tests --test rule_files`."
    );
}

fn promtool(arguments: &[&str]) {
    if !is_installed("promtool") {
        return;
    }
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(deploy().join("prometheus"))
        .output()
        .expect("promtool runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[test]
fn the_rules_for_opentelemetry_come_from_slo_yml() {
    let generated = opentelemetry::rules(&read("prometheus/slo.yml"));
    hold("prometheus/slo-opentelemetry.yml", &generated);
    promtool(&["check", "rules", "--lint-fatal", "slo-opentelemetry.yml"]);
    promtool(&["test", "rules", "slo-opentelemetry_test.yml"]);
}

#[test]
fn the_rules_for_native_histograms_come_from_slo_yml() {
    let generated = native::rules(&read("prometheus/slo.yml"));
    hold("prometheus/slo-native.yml", &generated);
    promtool(&["check", "rules", "--lint-fatal", "slo-native.yml"]);
}

#[test]
fn the_manifest_for_the_operator_comes_from_the_rules() {
    let generated = operator::manifest(&[
        ("rules.yml", &read("prometheus/rules.yml")),
        ("slo.yml", &read("prometheus/slo.yml")),
    ]);
    hold("kubernetes/prometheusrule.yml", &generated);
}
