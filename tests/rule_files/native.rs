//! `slo-native.yml`.

use crate::text::{between, change_operands, replace, replace_all, with_title};

const LABELS: &str = "job, instance, app_name, method, endpoint, exported_endpoint";

/// The bounds of `instrument_runtime`'s latency histogram, as in the label `le`. A query for
/// native histograms cannot take its threshold from a label.
const BOUNDS: [&str; 17] = [
    "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5",
    "0.75", "1.0", "2.5", "5.0", "7.5", "10.0",
];

const TITLE: &str = "\
# Recording and alert rules for objectives, for native histograms without classic buckets.
# Install this file instead of slo.yml. Targets that have classic buckets are measured with
# these buckets.
#
# The file has one rule for each default bound of the latency histogram. If an objective has
# another threshold, add a rule for it. The alert `ObjectiveNotMeasured` names the threshold.
# Within a native bucket, which is 9 % wide, Prometheus estimates how many calls are above the
# threshold.
#
# Generated from slo.yml. To generate it again:
# `UPDATE_RULES=1 cargo test -p instrument-tests --test rule_files`.
";

const SLOW: &str = "      # The calls that took longer than the threshold of an objective.\n";

/// `histogram_fraction` estimates, so a counter of slow calls may decrease a little, for
/// example when the resolution of a histogram is reduced. `increase` would take this for a
/// restart.
const NEVER_DECREASES: &str = "
      # The number of slow calls is an estimate, which may decrease a little. `increase` would
      # take this for a restart, so the counter keeps its value until the estimate is larger. In
      # a restart, the number of all calls decreases, too.
      - record: instance_slo:request_errors:sum
        expr: |
          instance_slo:request_errors:estimate > instance_slo:request_errors:sum
            or
          instance_slo:request_errors:sum{sli=\"latency\"}
            and instance_slo:request_errors:estimate
            and instance_slo:requests:sum >= instance_slo:requests:sum offset 30s
            or
          instance_slo:request_errors:estimate
";

pub(crate) fn rules(slo: &str) -> String {
    let text = change_operands(slo, "instance_slo:requests:sum", |operand| {
        with_native(operand, "request_latency_seconds_count", |operand| {
            let classic = format!("sum by ({LABELS}) (request_latency_seconds_count)");
            let native = format!("histogram_count(sum by ({LABELS}) (request_latency_seconds))");
            replace(operand, &classic, &native)
        })
    });
    let text = change_operands(&text, "instance_slo:request_errors:sum", |operand| {
        with_native(operand, "request_latency_seconds_bucket", |_| {
            format!(
                "              request_objective_ratio{{sli=\"latency\"}} ^ 0\n\
                 \x20               * on ({LABELS}, le) group_left\n\
                 \x20             instance_endpoint:slow_requests:sum\n"
            )
        })
    });
    let text = with_title(&with_slow_requests(&text), TITLE);
    let query = "histogram_quantile(0.99, sum by (instance, method, endpoint, le) (rate(request_latency_seconds_bucket[5m])";
    let native = "histogram_quantile(0.99, sum by (instance, method, endpoint) (rate(request_latency_seconds[5m])";
    replace_all(
        &text,
        &[
            (query, native),
            (
                "# in its code. Check the file with `promtool check rules slo.yml` and\n\
                 # `promtool test rules slo_test.yml`. README.md describes",
                "# in its code. Check the file with `promtool check rules slo-native.yml`. README.md\n\
                 # describes",
            ),
            (
                "there is no histogram bucket with le=",
                "there is neither a histogram bucket nor a rule in this file for the threshold le=",
            ),
            (
                "A relabelling rule drops it, or Prometheus stores native histograms only. In the second case, install slo-native.yml instead of slo.yml.",
                "Add the rule for this threshold to instance_endpoint:slow_requests:sum.",
            ),
        ],
    )
}

/// Returns an operand of a sum and, if it queries the classic `metric`, the same for native
/// histograms. Operands before others take precedence.
fn with_native(operand: &str, metric: &str, native: impl Fn(&str) -> String) -> Vec<String> {
    let mut operands = vec![operand.to_owned()];
    if operand.contains(metric) {
        operands.push(native(operand));
    }
    operands
}

/// Adds the rules for each bound, and the rule that makes a counter of their estimates.
fn with_slow_requests(text: &str) -> String {
    let of_bound = |le: &&str| {
        let seconds = le.trim_end_matches(".0");
        let histogram = format!(
            "            sum by ({LABELS}) (\n\
             \x20             request_latency_seconds\n\
             \x20               and on ({LABELS})\n\
             \x20             request_objective_ratio{{le=\"{le}\"}}\n\
             \x20           )\n"
        );
        format!(
            "      - record: instance_endpoint:slow_requests:sum\n\
             \x20       expr: |\n\
             \x20         histogram_count(\n{histogram}          )\n\
             \x20           * histogram_fraction({seconds}, Inf,\n{histogram}          ) >= 0\n\
             \x20       labels: {{ le: \"{le}\" }}\n"
        )
    };
    let rules: String = BOUNDS.iter().map(of_bound).collect();
    let record = "      - record: instance_slo:request_errors:sum\n";
    let estimate = "      - record: instance_slo:request_errors:estimate\n";
    let comment = "      # A latency objective that has calls";
    let [before, errors, after] = between(text, "\n", "\n\n      # While a deployment");
    let [head, errors, _] = match errors.find(comment) {
        Some(at) => [&errors[..at], &errors[at..], ""],
        None => panic!("there is no {comment:?}"),
    };
    let errors = replace(errors, record, estimate);
    format!(
        "{before}{head}{SLOW}{rules}{errors}\n{}{after}",
        NEVER_DECREASES.trim_end()
    )
}
