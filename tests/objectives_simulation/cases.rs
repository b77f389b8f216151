//! Test cases for promtool.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::MINUTE;
use crate::traffic::{Application, Clock, Counters, Indicator, Instance};
use crate::workbook::{ALERTS, Calls, REMEMBERED, Verdict};

/// The time between two checks of the alerts.
const CHECKED_EVERY: usize = 3 * MINUTE;

/// The applications, and when their alerts must fire.
#[derive(Debug)]
pub(crate) struct Cases {
    applications: Vec<Application>,
    clock: Clock,
    /// For each alert.
    pub(crate) verdicts: [Verdicts; ALERTS.len()],
    checks: String,
}

/// The names of the metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Metrics {
    Default,
    OpenTelemetry,
}

impl Metrics {
    /// Returns the file with the rules for these metrics.
    pub(crate) fn rules(self) -> &'static str {
        match self {
            Self::Default => "slo.yml",
            Self::OpenTelemetry => "slo-opentelemetry.yml",
        }
    }
}

/// The number of verdicts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdicts {
    pub(crate) fires: usize,
    pub(crate) silent: usize,
    pub(crate) open: usize,
}

impl Cases {
    pub(crate) fn new(applications: Vec<Application>, clock: Clock) -> Self {
        let calls: Vec<Calls> = applications
            .iter()
            .map(|application| Calls::of(application, clock))
            .collect();
        let mut counts = [Verdicts::default(); ALERTS.len()];
        let mut checks = String::new();
        for (alert, counts) in ALERTS.iter().zip(&mut counts) {
            let verdicts: Vec<Vec<Verdict>> =
                calls.iter().map(|calls| calls.verdicts(alert)).collect();
            for time in (0..=clock.duration).step_by(CHECKED_EVERY) {
                let mut firing = Vec::new();
                let mut decided = BTreeSet::new();
                for (application, verdicts) in applications.iter().zip(&verdicts) {
                    let job = application.job.as_str();
                    match verdicts[time / clock.evaluation] {
                        Verdict::Open => {
                            counts.open += 1;
                            continue;
                        }
                        Verdict::Fires => {
                            counts.fires += 1;
                            firing.push(job);
                        }
                        Verdict::Silent => counts.silent += 1,
                    }
                    decided.insert(job);
                }
                let decided: Vec<&str> = decided.into_iter().collect();
                let query = format!(
                    "count by (job) (ALERTS{{alertname=\"ErrorBudgetBurn\", alertstate=\"firing\", \
                     window=\"{}\", job=~\"{}\"}})",
                    alert.window,
                    decided.join("|")
                );
                check(&mut checks, &query, time, &firing);
            }
        }
        for (application, calls) in applications.iter().zip(&calls) {
            let job = application.job.as_str();
            let (low, high) = calls.budget_left();
            let left = format!("slo:request_error_budget_left:ratio30d{{job=\"{job}\"}}");
            let query = format!("count by (job) ({left} > {low} - 1e-9 < {high} + 1e-9)");
            if calls.without_instances(clock.duration) < REMEMBERED {
                check(&mut checks, &query, clock.duration, &[job]);
            }
        }
        Self {
            applications,
            clock,
            verdicts: counts,
            checks,
        }
    }

    /// Returns the test file for promtool. The applications have these metrics.
    pub(crate) fn to_yaml(&self, metrics: Metrics) -> String {
        let mut yaml = format!(
            "rule_files: [{}]\n\
             evaluation_interval: {}s\n\
             group_eval_order: [slo, slo-increases, slo-windows]\n\
             tests:\n\
             - interval: {}s\n\
             \x20 input_series:\n",
            metrics.rules(),
            self.clock.evaluation,
            self.clock.scrape
        );
        for application in &self.applications {
            for (number, instance) in application.instances.iter().enumerate() {
                write_series(&mut yaml, metrics, application, number, instance);
            }
        }
        yaml + "  promql_expr_test:\n" + &self.checks
    }
}

/// Writes the check that the query yields 1 for these jobs, and nothing for others.
fn check(checks: &mut String, query: &str, time: usize, jobs: &[&str]) {
    let samples: Vec<String> = jobs
        .iter()
        .map(|job| format!("{{labels: '{{job=\"{job}\"}}', value: 1}}"))
        .collect();
    writeln!(
        checks,
        "  - expr: '{query}'\n    eval_time: {time}s\n    exp_samples: [{}]",
        samples.join(", ")
    )
    .expect("written");
}

fn write_series(
    yaml: &mut String,
    metrics: Metrics,
    application: &Application,
    number: usize,
    instance: &Instance,
) {
    let Application { job, objective, .. } = application;
    let calls = match metrics {
        Metrics::Default => "method=\"GET\", endpoint=\"/x\"",
        Metrics::OpenTelemetry => "http_request_method=\"GET\", http_route=\"/x\"",
    };
    let labels = format!("job=\"{job}\", instance=\"{number}\", {calls}");
    let latency = match metrics {
        Metrics::Default => "request_latency_seconds",
        Metrics::OpenTelemetry => "http_server_request_duration_seconds",
    };
    let mut write = |name: &str, more: &str, value: &dyn Fn(Counters) -> Option<u64>| {
        let values = values(instance, |now| value(now).map(|value| value.to_string()));
        let series = format!("{name}{{{labels}{more}}}");
        writeln!(yaml, "  - {{series: '{series}', values: '{values}'}}").expect("written");
    };
    // A series with errors appears with its first error.
    let panics = |now: Counters| Some(now.errors / 3).filter(|panics| *panics > 0);
    let errors = |now: Counters| Some(now.errors - now.errors / 3).filter(|errors| *errors > 0);
    let good = |now: Counters| Some(now.calls - now.errors);
    let sli = match (application.indicator, metrics) {
        (Indicator::Success, Metrics::Default) => {
            let requests = "requests_total";
            write(requests, ", outcome=\"ok\"", &good);
            write(requests, ", outcome=\"panicked\"", &panics);
            write(
                requests,
                ", outcome=\"error\", http_status=\"500\"",
                &errors,
            );
            "sli=\"success\""
        }
        (Indicator::Success, Metrics::OpenTelemetry) => {
            let requests = format!("{latency}_count");
            write(&requests, "", &good);
            write(&requests, ", error_type=\"panic\"", &panics);
            write(&requests, ", error_type=\"500\"", &errors);
            "sli=\"success\""
        }
        (Indicator::Latency, _) => {
            let bucket = format!("{latency}_bucket");
            write(&format!("{latency}_count"), "", &|now| Some(now.calls));
            write(&bucket, ", le=\"0.1\"", &|now| {
                Some((now.calls - now.errors) / 2)
            });
            write(&bucket, ", le=\"0.25\"", &good);
            write(&bucket, ", le=\"1.0\"", &|now| Some(now.calls));
            "sli=\"latency\", le=\"0.25\""
        }
    };
    let objectives = values(instance, |_| Some(objective.to_string()));
    let series = format!("request_objective_ratio{{{labels}, slo=\"x\", {sli}}}");
    writeln!(yaml, "  - {{series: '{series}', values: '{objectives}'}}").expect("written");
}

/// Returns the values of a series, in promtool's notation.
fn values(instance: &Instance, value: impl Fn(Counters) -> Option<String>) -> String {
    let mut was_there = false;
    let text = |sample: &Option<Counters>| {
        let value = sample.and_then(&value);
        let is_there = value.is_some();
        let text = value.unwrap_or_else(|| match was_there {
            // Prometheus marks a series that a page no longer has as stale.
            true => "stale".to_owned(),
            false => "_".to_owned(),
        });
        was_there = is_there;
        text
    };
    let values: Vec<String> = instance.samples.iter().map(text).collect();
    values.join(" ")
}
