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

    pub(crate) fn to_yaml(&self) -> String {
        let mut yaml = format!(
            "rule_files: [slo.yml]\n\
             evaluation_interval: {}s\n\
             tests:\n\
             - interval: {}s\n\
             \x20 input_series:\n",
            self.clock.evaluation, self.clock.scrape
        );
        for application in &self.applications {
            for (number, instance) in application.instances.iter().enumerate() {
                write_series(&mut yaml, application, number, instance);
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

fn write_series(yaml: &mut String, application: &Application, number: usize, instance: &Instance) {
    let Application { job, objective, .. } = application;
    let labels = format!("job=\"{job}\", instance=\"{number}\", endpoint=\"/x\"");
    let ratio = format!("request_objective_ratio{{{labels}, slo=\"x\", sli=");
    let mut write = |name: &str, value: &dyn Fn(Counters) -> Option<String>| {
        let mut values = String::new();
        let mut was_there = false;
        for sample in &instance.samples {
            let value = sample.and_then(value);
            let text = match &value {
                Some(value) => value,
                // Prometheus marks a series that a page no longer has as stale.
                None if was_there => "stale",
                None => "_",
            };
            was_there = value.is_some();
            write!(values, "{text} ").expect("written");
        }
        writeln!(yaml, "  - {{series: '{name}', values: '{values}'}}").expect("written");
    };
    match application.indicator {
        Indicator::Success => {
            write(&format!("{ratio}\"success\"}}"), &|_| {
                Some(objective.to_string())
            });
            let requests = format!("requests_total{{{labels}, outcome=");
            write(&format!("{requests}\"ok\"}}"), &|now| {
                Some((now.calls - now.errors).to_string())
            });
            // A series with errors appears with its first error.
            let panics = |now: Counters| now.errors / 3;
            write(&format!("{requests}\"panicked\"}}"), &|now| {
                (panics(now) > 0).then(|| panics(now).to_string())
            });
            write(
                &format!("{requests}\"error\", http_status=\"500\"}}"),
                &|now| (now.errors > 0).then(|| (now.errors - panics(now)).to_string()),
            );
        }
        Indicator::Latency => {
            write(&format!("{ratio}\"latency\", le=\"0.25\"}}"), &|_| {
                Some(objective.to_string())
            });
            let latency = "request_latency_seconds";
            write(&format!("{latency}_count{{{labels}}}"), &|now| {
                Some(now.calls.to_string())
            });
            for (bound, is_fast) in [("0.1", 2), ("0.25", 1), ("1.0", 0)] {
                write(
                    &format!("{latency}_bucket{{{labels}, le=\"{bound}\"}}"),
                    &|now| {
                        let fast = match is_fast {
                            2 => (now.calls - now.errors) / 2,
                            1 => now.calls - now.errors,
                            _ => now.calls,
                        };
                        Some(fast.to_string())
                    },
                );
            }
        }
    }
}
