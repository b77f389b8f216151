//! Validation of a [`Builder`]'s settings.

use std::sync::Arc;
use std::time::Duration;

use crate::builder::objectives::Objectives;
use crate::builder::resource::{Resource, resource};
use crate::builder::{Builder, environment};
use crate::call::clock;
use crate::conventions::{BUCKETS, HTTP_RESPONSE_SIZE, METRICS};
use crate::discovery::Discovery;
use crate::error::InitError;
use crate::exporter::allow_list::AllowList;
use crate::exporter::listener::Target;
use crate::names::{MetricNames, is_name, label_problem, own};
use crate::push::Push;
use crate::recorder;
use crate::settings::{DEFAULT_BUCKETS, DEFAULT_SIZE_BUCKETS, Settings};
use crate::url::without_password;

/// The settings of a [`Builder`] after validation.
pub(super) struct Checked {
    pub(super) app_name: String,
    pub(super) settings: Arc<Settings>,
    pub(super) target: Target,
    pub(super) allow: AllowList,
    pub(super) live_view: bool,
    pub(super) discovery: Discovery,
    pub(super) last_scrape: Duration,
    pub(super) push: Option<Push>,
    pub(super) diagnostics: bool,
}

/// Returns the methods that the application or the environment sets. `None` stands for the
/// standard methods.
fn known_methods(of_application: Option<Vec<String>>) -> Result<Option<Vec<String>>, InitError> {
    if let Some(methods) = of_application {
        if let Some(method) = methods.iter().find(|method| !is_method(method)) {
            return Err(InitError::KnownMethod {
                method: method.clone(),
            });
        }
        return Ok(Some(methods));
    }
    let Some(value) = environment::read(environment::KNOWN_METHODS)? else {
        return Ok(None);
    };
    let methods = value.split(',').map(str::trim);
    let methods: Vec<&str> = methods.filter(|method| !method.is_empty()).collect();
    match methods.iter().find(|method| !is_method(method)) {
        None => Ok(Some(methods.into_iter().map(str::to_owned).collect())),
        Some(method) => {
            let problem = format!(
                "contains {method:?}, which is not an HTTP method; separate methods by commas"
            );
            Err(InitError::Environment {
                variable: environment::KNOWN_METHODS,
                value,
                problem,
            })
        }
    }
}

fn is_method(method: &str) -> bool {
    http::Method::from_bytes(method.as_bytes()).is_ok()
}

impl Builder {
    /// Validates the settings, except those of service discovery. Reads the environment
    /// variables and may resolve a host name, but changes nothing.
    pub(super) fn check(self) -> Result<Checked, InitError> {
        let allow = AllowList::parse(&self.allow)?;
        if let Some(bounds) = &self.buckets {
            check_buckets("`.buckets(…)`", bounds)?;
        }
        for (metric, bounds) in &self.other_buckets {
            check_other_buckets(metric, bounds, &self.names)?;
        }
        check_labels(&self.global_labels, &self.names)?;
        check_names(&self.names, self.oldest_in_progress)?;
        if self.max_series == 0 {
            return Err(InitError::MaxSeries);
        }
        let objectives = Objectives::check(self.objectives, &self.names)?;
        let prometheus_url = self
            .prometheus_url
            .as_deref()
            .map(checked_url)
            .transpose()?;
        let Resource {
            service_name: app_name,
            labels: target_info,
        } = resource(self.app_name, self.version.as_deref())?;
        let push = self.push.check(&app_name, |name| {
            if self.global_labels.iter().any(|(label, _)| label == name) {
                Some(
                    "is also a global label, which the gateway would overwrite; remove one of them",
                )
            } else {
                label_problem(name, &self.names)
            }
        })?;
        let target = match self.target {
            Some(target) => target,
            None => Target::Tcp(environment::listen_addrs()?),
        };
        let known_methods = known_methods(self.known_methods)?;
        let mut global_labels = Vec::new();
        let has_app_name = self.app_name_label;
        if has_app_name.unwrap_or(!self.names.has_conventions) {
            global_labels.push(("app_name".to_owned(), app_name.clone()));
        }
        global_labels.extend(self.global_labels);
        let buckets = self.buckets.as_deref().map(without_negative_zero);
        let mut other_buckets = self.other_buckets.iter().rev();
        let size_buckets = other_buckets.find(|(metric, _)| is_response_size(metric, &self.names));
        let size_buckets = size_buckets.map_or(DEFAULT_SIZE_BUCKETS, |(_, bounds)| bounds);
        let with_thresholds =
            |default| objectives.add_bounds(buckets.as_deref().unwrap_or(default));
        Ok(Checked {
            app_name,
            settings: Arc::new(Settings {
                names: self.names,
                latency_buckets: with_thresholds(DEFAULT_BUCKETS),
                convention_buckets: with_thresholds(BUCKETS),
                buckets: buckets.unwrap_or_else(|| DEFAULT_BUCKETS.to_vec()),
                size_buckets: without_negative_zero(size_buckets),
                other_buckets: self.other_buckets,
                global_labels,
                target_info,
                max_series: self.max_series,
                known_methods,
                objectives: objectives.known,
                objectives_of_routes: objectives.of_routes,
                native_histograms: self.native_histograms,
                exemplars: self.exemplars,
                oldest_in_progress: self.oldest_in_progress.then_some(clock::nanos_since),
                prometheus_url,
            }),
            last_scrape: match target {
                // Nothing can scrape an exporter without a listener.
                Target::None => Duration::ZERO,
                _ => self.last_scrape,
            },
            target,
            allow,
            live_view: self.live_view,
            discovery: Discovery {
                version: self.version,
                ..self.discovery
            },
            push,
            diagnostics: self.diagnostics,
        })
    }
}

/// Turns -0 into 0, which has another label.
fn without_negative_zero(bounds: &[f64]) -> Vec<f64> {
    bounds.iter().map(|bound| bound + 0.0).collect()
}

/// Returns whether a metric is the histogram of response sizes.
fn is_response_size(metric: &str, names: &MetricNames) -> bool {
    recorder::is_written_as(metric, &names.response_size_bytes)
        || names.has_conventions && recorder::is_written_as(metric, HTTP_RESPONSE_SIZE)
}

/// Checks the URL of Prometheus. Returns it without slashes at its end.
fn checked_url(url: &str) -> Result<String, InitError> {
    let refuse = |problem| {
        Err(InitError::PrometheusUrl {
            url: without_password(url),
            problem,
        })
    };
    const EXAMPLE: &str = "give a URL such as http://prometheus:9090";
    let uri = url.parse::<http::Uri>().ok();
    let parts = uri
        .as_ref()
        .and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
    // The string is checked, because `Uri` drops a fragment silently.
    match parts {
        Some((_, authority)) if authority.as_str().contains('@') => refuse(
            "contains a user name or a password, which everyone who opens the live view could \
             read; remove them"
                .to_owned(),
        ),
        Some(("http" | "https", authority)) if !authority.host().is_empty() => {
            if url.contains(['?', '#']) {
                return refuse("has a query or a fragment; remove it".to_owned());
            }
            Ok(url.trim_end_matches('/').to_owned())
        }
        Some((scheme, _)) if !matches!(scheme, "http" | "https") => refuse(format!(
            "has the scheme {scheme:?}, which is not http or https; {EXAMPLE}"
        )),
        _ => refuse(format!("is not the URL of a server; {EXAMPLE}")),
    }
}

/// Checks bucket bounds. `setting` is the builder call that the error names.
fn check_buckets(setting: &str, bounds: &[f64]) -> Result<(), InitError> {
    let refuse = |problem| {
        Err(InitError::Buckets {
            problem: format!("{setting}: {problem}"),
        })
    };
    if bounds.is_empty() {
        return refuse("there is no bound; give at least one upper bound".to_owned());
    }
    if let Some(bound) = bounds.iter().find(|bound| !bound.is_finite()) {
        return refuse(format!(
            "the bound {bound} is not finite; remove it (`+Inf` is added)"
        ));
    }
    match bounds.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some([bound, again]) if bound == again => refuse(format!(
            "the bound {bound} is given twice; remove one of them"
        )),
        Some([before, bound]) => refuse(format!(
            "the bound {bound} comes after {before}; sort the bounds in increasing order"
        )),
        _ => Ok(()),
    }
}

fn check_other_buckets(metric: &str, bounds: &[f64], names: &MetricNames) -> Result<(), InitError> {
    let setting = format!("`.buckets_for({metric:?}, …)`");
    let of_conventions = names.has_conventions.then_some(METRICS);
    let mut of_calls = of_conventions.iter().flatten().copied();
    let is_latency = recorder::is_written_as(metric, &names.request_latency_seconds)
        || of_calls.any(|ours| recorder::is_written_as(metric, ours));
    if is_latency && !is_response_size(metric, names) {
        let problem = format!(
            "{setting}: this is the latency histogram of calls; set its bounds with `.buckets(…)`"
        );
        return Err(InitError::Buckets { problem });
    }
    check_buckets(&setting, bounds)
}

fn check_labels(labels: &[(String, String)], names: &MetricNames) -> Result<(), InitError> {
    for (index, (name, _)) in labels.iter().enumerate() {
        let twice = labels[..index].iter().any(|(other, _)| other == name);
        let problem =
            label_problem(name, names).or(twice.then_some("is given twice; remove one of them"));
        if let Some(problem) = problem {
            return Err(InitError::GlobalLabel {
                name: name.clone(),
                problem: problem.to_owned(),
            });
        }
    }
    Ok(())
}

/// Returns whether the samples of a histogram have this suffix.
fn is_of_histogram(suffix: &str) -> bool {
    matches!(suffix, "_bucket" | "_sum" | "_count")
}

/// `has_oldest` is whether the age of the oldest call in progress is turned on. Otherwise, its
/// name is not used.
fn check_names(names: &MetricNames, has_oldest: bool) -> Result<(), InitError> {
    let mut all = vec![
        &names.requests_total,
        &names.request_latency_seconds,
        &names.requests_in_progress,
        &names.response_size_bytes,
    ];
    if has_oldest {
        all.push(&names.requests_oldest_in_progress_seconds);
    }
    let of_conventions = |name: &str| {
        names.has_conventions
            && METRICS.iter().any(|ours| {
                let suffix = name.strip_prefix(ours);
                suffix.is_some_and(|suffix| suffix.is_empty() || is_of_histogram(suffix))
            })
    };
    let is_sample = |name: &str, histogram: &str| {
        let suffix = name.strip_prefix(histogram);
        suffix.is_some_and(is_of_histogram)
    };
    for (index, &name) in all.iter().enumerate() {
        let problem = if !is_name(name, "_:") {
            "is not valid; use ASCII letters, digits, `_` and `:`, not starting with a digit"
        } else if all[..index].contains(&name) {
            "is given to two metrics; choose another name for one of them"
        } else if is_sample(name, &names.request_latency_seconds) {
            "is used by the samples of the latency histogram; choose another name"
        } else if is_sample(name, &names.response_size_bytes) {
            "is used by the samples of the histogram of response sizes; choose another name"
        } else if of_conventions(name) {
            "is used by OpenTelemetry's conventions; choose another name"
        } else if own::is_taken(name) {
            "is used by the exporter's own metrics; choose another name"
        } else {
            continue;
        };
        return Err(InitError::MetricName {
            name: name.clone().into_owned(),
            problem: problem.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T>(result: Result<T, InitError>) -> String {
        result.err().expect("refused").to_string()
    }

    #[test]
    fn a_bad_bucket_is_named() {
        for (bounds, named) in [
            (&[][..], "no bound"),
            (&[1.0, 0.5], "0.5 comes after 1"),
            (&[0.5, 0.5], "0.5 is given twice"),
            (&[1.0, f64::NAN], "NaN"),
            (&[1.0, f64::INFINITY], "inf"),
        ] {
            let message = message(check_buckets("", bounds));
            assert!(message.contains(named), "{message}");
        }
        assert!(check_buckets("", DEFAULT_BUCKETS).is_ok());
    }

    #[test]
    fn a_bad_label_is_named() {
        let names = MetricNames::default();
        let label = |name: &str| vec![(name.to_owned(), String::new())];
        for name in ["", "1st", "a-b", "é", "__name", "app_name", "le", "outcome"] {
            let message = message(check_labels(&label(name), &names));
            assert!(message.contains(&format!("{name:?}")), "{message}");
        }
        assert!(check_labels(&label("region"), &names).is_ok());
        let route = label("http_route");
        assert!(check_labels(&route, &names).is_ok());
        assert!(check_labels(&route, &MetricNames::opentelemetry()).is_err());
        let twice = [label("a"), label("a")].concat();
        assert!(message(check_labels(&twice, &names)).contains("twice"));
    }

    #[test]
    fn a_bad_url_of_prometheus_is_named() {
        for (url, problem) in [
            ("", "is not the URL of a server"),
            ("prometheus", "is not the URL of a server"),
            ("/graph", "is not the URL of a server"),
            ("http://", "is not the URL of a server"),
            ("http://:9090", "is not the URL of a server"),
            ("http://a b", "is not the URL of a server"),
            ("prometheus:9090", "is not the URL of a server"),
            ("javascript:alert(1)", "is not the URL of a server"),
            (
                "javascript://x/%0aalert(1)",
                "has the scheme \"javascript\"",
            ),
            ("ftp://prometheus", "has the scheme \"ftp\""),
            ("http://prometheus:9090/?a=b", "has a query or a fragment"),
            ("http://prometheus:9090/#a", "has a query or a fragment"),
        ] {
            let message = message(checked_url(url));
            assert!(message.contains(problem), "{url}: {message}");
            assert!(
                message.contains(&format!("prometheus_url({url:?})")),
                "{message}"
            );
        }
        let message = message(checked_url("https://admin:secret@prometheus:9090/x"));
        assert!(
            message.contains("\"https://…@prometheus:9090/x\""),
            "{message}"
        );
        assert!(message.contains("a user name or a password"), "{message}");
        // Not a URL, because the password is not percent-encoded.
        let message = self::message(checked_url("http://admin:sec ret@prometheus"));
        assert!(message.contains("is not the URL of a server"), "{message}");
        assert!(message.contains("\"http://…@prometheus\""), "{message}");
        for (url, expected) in [
            ("http://prometheus:9090", "http://prometheus:9090"),
            ("http://prometheus:9090/", "http://prometheus:9090"),
            ("HTTPS://[::1]:9090/prefix/", "HTTPS://[::1]:9090/prefix"),
        ] {
            assert_eq!(checked_url(url).expect(url), expected);
        }
    }

    #[test]
    fn a_bad_metric_name_is_named() {
        let names = |name: &str| MetricNames::default().requests_total(name);
        for name in [
            "",
            "9s",
            "a b",
            "requests_in_progress",
            "request_latency_seconds_count",
            "response_size_bytes_sum",
            "instrument_series",
            "instrument_scrape_duration_seconds_sum",
        ] {
            let message = message(check_names(&names(name), false));
            assert!(message.contains("metric name"), "{message}");
        }
        let oldest = "requests_oldest_in_progress_seconds";
        assert!(message(check_names(&names(oldest), true)).contains("two metrics"));
        assert!(check_names(&names(oldest), false).is_ok());
        for name in [
            "",
            "requests_total",
            "request_latency_seconds_sum",
            "target_info",
        ] {
            let names = MetricNames::default().requests_oldest_in_progress_seconds(name);
            assert!(message(check_names(&names, true)).contains("metric name"));
        }
        for taken in [METRICS[0], "rpc_server_call_duration_seconds_sum"] {
            let names = MetricNames::opentelemetry().requests_total(taken);
            let message = message(check_names(&names, false));
            assert!(message.contains("OpenTelemetry"), "{message}");
        }
        for fine in [
            MetricNames::default(),
            MetricNames::article(),
            MetricNames::opentelemetry(),
            names("app:requests"),
        ] {
            assert!(check_names(&fine, true).is_ok(), "{fine:?}");
        }
    }
}
