//! `slo-opentelemetry.yml`.

use crate::text::{between, change_operands, replace, replace_all, with_title};

/// The labels of calls by which `slo.yml` joins.
const LABELS: &str = "method, endpoint, exported_endpoint";

const TITLE: &str = "\
# Recording and alert rules for objectives, with the metrics of `MetricNames::opentelemetry()`.
# Install this file instead of slo.yml. It also contains the rules for the metrics of
# `MetricNames::default()`: functions that are neither HTTP requests nor RPCs have these
# metrics, and other applications may have them.
#
# Generated from slo.yml. To generate it again:
# `UPDATE_RULES=1 cargo test -p instrument-tests --test rule_files`.
";

const MEANING: &str = "\
#   sli   what it measures. For `success`, a call with the outcome `error` or `panicked` is
#         an error. For `latency`, a call that takes longer than the threshold is an error.
";
const MEANING_HERE: &str = "\
#   sli   what it measures. For `success`, a call is an error if it has an `error_type` other
#         than `cancelled`, or the outcome `error` or `panicked`. For `latency`, a call that
#         takes longer than the threshold is an error.
";

/// Metrics that count calls, and how a ratio finds them.
struct Family {
    /// The labels of calls.
    labels: &'static str,
    /// Selects the objectives of these calls.
    objectives: &'static str,
    /// The counter, and its selector for errors.
    calls: &'static str,
    errors: &'static str,
    latency: &'static str,
}

/// `error_type` is missing from successes and from the client's errors.
const ERRORS: &str = r#"{error_type!="", error_type!="cancelled"}"#;

const FAMILIES: [Family; 3] = [
    Family {
        labels: LABELS,
        objectives: r#"http_route="", rpc_method="", "#,
        calls: "requests_total",
        errors: r#"{outcome=~"error|panicked"}"#,
        latency: "request_latency_seconds",
    },
    Family {
        labels: "http_request_method, http_route",
        objectives: r#"http_route!="", "#,
        calls: "http_server_request_duration_seconds_count",
        errors: ERRORS,
        latency: "http_server_request_duration_seconds",
    },
    Family {
        labels: "rpc_method",
        objectives: r#"rpc_method!="", "#,
        calls: "rpc_server_call_duration_seconds_count",
        errors: ERRORS,
        latency: "rpc_server_call_duration_seconds",
    },
];

pub(crate) fn rules(slo: &str) -> String {
    let text = change_operands(slo, "instance_slo:requests:sum", operands);
    let text = change_operands(&text, "instance_slo:request_errors:sum", operands);
    let text = with_queries(&text);
    let text = replace_all(
        &text,
        &[
            (
                &format!("le, {LABELS}, "),
                &format!("le, {LABELS}, http_request_method, http_route, rpc_method, "),
            ),
            (
                "requests_total, request_latency_seconds\n",
                "the metrics of calls\n",
            ),
            (MEANING, MEANING_HERE),
            (
                "# in its code. Check the file with `promtool check rules slo.yml` and\n\
                 # `promtool test rules slo_test.yml`. README.md",
                "# in its code. Check the file with `promtool check rules slo-opentelemetry.yml` and\n\
                 # `promtool test rules slo-opentelemetry_test.yml`. README.md",
            ),
            (
                "install slo-native.yml instead of slo.yml.",
                "let Prometheus store the classic buckets, too.",
            ),
        ],
    );
    with_title(&text, TITLE)
}

/// Returns the operands of a sum for each family, instead of an operand for the metrics of
/// `MetricNames::default()`.
fn operands(operand: &str) -> Vec<String> {
    // The objectives without calls.
    if operand == "              request_objective_ratio * 0\n" {
        return vec![operand.to_owned()];
    }
    if operand.contains("group_left") {
        return FAMILIES
            .iter()
            .map(|family| family.operand(operand))
            .collect();
    }
    // The objectives without errors. They get no value instead of 0 if they have calls that the
    // other operands do not measure.
    let (zero, unless) = operand.split_once('\n').expect("a line");
    let mut zero = format!("{zero}\n");
    for family in FAMILIES {
        if !unless.is_empty() {
            zero += &replace_all(
                unless,
                &[(LABELS, family.labels), ("requests_total", family.calls)],
            );
        }
        // Without its classic buckets, such a histogram has no counter either.
        if family.calls != "requests_total" {
            zero += &format!(
                "                unless on (job, instance, app_name, {})\n\
                 \x20             ({latency} unless {latency}_count)\n",
                family.labels,
                latency = family.latency
            );
        }
    }
    vec![zero]
}

impl Family {
    /// Returns an operand of `slo.yml` with the metrics of this family.
    fn operand(&self, text: &str) -> String {
        let mut text = replace_all(
            text,
            &[
                (LABELS, self.labels),
                (
                    "request_objective_ratio{",
                    &format!("request_objective_ratio{{{}", self.objectives),
                ),
            ],
        );
        let errors = r#"requests_total{outcome=~"error|panicked"}"#;
        text = text.replace(errors, &format!("{}{}", self.calls, self.errors));
        if self.calls != "requests_total" {
            text = text.replace("requests_total", self.calls);
        }
        text.replace("request_latency_seconds", self.latency)
    }
}

/// Shows the calls of all families in the queries of the alerts.
fn with_queries(text: &str) -> String {
    let [before, query, after] = between(text, "          query: >-\n", "{{- end }}\n");
    let mut lines: Vec<String> = query.lines().map(str::to_owned).collect();
    for line in &mut lines {
        if !line.contains('(') {
            continue;
        }
        let queries: Vec<String> = FAMILIES
            .iter()
            .map(|family| {
                let mut query = line.trim().to_owned();
                let labels = family.labels.replace(", exported_endpoint", "");
                query = replace(&query, "method, endpoint", &labels);
                let status = match family.calls {
                    "requests_total" => "http_status",
                    _ => "error_type",
                };
                query = query.replace("http_status", status);
                let errors = r#"requests_total{outcome=~"error|panicked"}"#;
                query = query.replace(errors, &format!("{}{}", family.calls, family.errors));
                query.replace("request_latency_seconds", family.latency)
            })
            .collect();
        *line = format!("            {}", queries.join(" or "));
    }
    format!("{before}{}{after}", lines.join("\n"))
}
