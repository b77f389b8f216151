//! The names of the three metrics, of their labels, and of the exporter's own metrics.

use std::borrow::Cow;

use metrics::{Recorder, Unit};

/// The names of the three metrics and of their labels.
///
/// The argument of [`Builder::names`](crate::Builder::names). There are three presets:
///
/// - [`MetricNames::default`] follows Prometheus's
///   [naming guide](https://prometheus.io/docs/practices/naming/): base units, and `_total`
///   on counters only.
/// - [`MetricNames::article`] uses the names of the article that inspired this library.
/// - [`MetricNames::opentelemetry`] follows OpenTelemetry's
///   [semantic conventions](https://opentelemetry.io/docs/specs/semconv/http/http-metrics/)
///   for HTTP servers. The names are written in Prometheus's form (`_` instead of `.`, and the unit
///   as a suffix).
///
/// The other methods replace single metric names of a preset.
///
/// # Examples
///
/// ```
/// use instrument_runtime::MetricNames;
///
/// let names = MetricNames::default().requests_total("shop_requests_total");
/// assert_ne!(names, MetricNames::default());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetricNames {
    pub(crate) requests_total: Cow<'static, str>,
    pub(crate) request_latency_seconds: Cow<'static, str>,
    pub(crate) requests_in_progress: Cow<'static, str>,
    pub(crate) labels: LabelNames,
}

/// The label names of one preset. The meaning of the label values is the same in all
/// presets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LabelNames {
    pub(crate) method: &'static str,
    pub(crate) endpoint: &'static str,
    pub(crate) http_status: &'static str,
    pub(crate) grpc_status: &'static str,
    pub(crate) outcome: &'static str,
}

const PROMETHEUS_LABELS: LabelNames = LabelNames {
    method: "method",
    endpoint: "endpoint",
    http_status: "http_status",
    grpc_status: "grpc_status",
    outcome: "outcome",
};

impl MetricNames {
    pub(crate) const DEFAULT: Self = Self {
        requests_total: Cow::Borrowed("requests_total"),
        request_latency_seconds: Cow::Borrowed("request_latency_seconds"),
        requests_in_progress: Cow::Borrowed("requests_in_progress"),
        labels: PROMETHEUS_LABELS,
    };

    /// Returns the names of the article that inspired this library.
    ///
    /// The names are `requests_total`, `request_latency_seconds` and
    /// `requests_in_progress_total`. The article is "Monitoring Your Asynchronous Python
    /// Web Applications Using Prometheus" by Amit Saha, which instruments an aiohttp
    /// application.
    ///
    /// `requests_in_progress_total` is a gauge, but Prometheus's naming guide reserves the
    /// suffix `_total` for counters. `promtool check metrics` therefore reports this name.
    #[must_use]
    pub fn article() -> Self {
        Self {
            requests_in_progress: Cow::Borrowed("requests_in_progress_total"),
            ..Self::DEFAULT
        }
    }

    /// Returns the names of OpenTelemetry's semantic conventions for HTTP servers.
    ///
    /// The metrics are `http_server_request_duration_seconds` and
    /// `http_server_active_requests`; the labels are `http_request_method`, `http_route`,
    /// `http_response_status_code` and `rpc_grpc_status_code`.
    ///
    /// The conventions do not define a counter of requests or an outcome. For these, the
    /// preset uses the metric `http_server_requests_total` and the label `outcome`.
    #[must_use]
    pub fn opentelemetry() -> Self {
        Self {
            requests_total: Cow::Borrowed("http_server_requests_total"),
            request_latency_seconds: Cow::Borrowed("http_server_request_duration_seconds"),
            requests_in_progress: Cow::Borrowed("http_server_active_requests"),
            labels: LabelNames {
                method: "http_request_method",
                endpoint: "http_route",
                http_status: "http_response_status_code",
                grpc_status: "rpc_grpc_status_code",
                outcome: "outcome",
            },
        }
    }

    /// Sets the name of the counter of calls.
    #[must_use]
    pub fn requests_total(mut self, name: impl Into<String>) -> Self {
        self.requests_total = Cow::Owned(name.into());
        self
    }

    /// Sets the name of the latency histogram. Its unit is always seconds.
    #[must_use]
    pub fn request_latency_seconds(mut self, name: impl Into<String>) -> Self {
        self.request_latency_seconds = Cow::Owned(name.into());
        self
    }

    /// Sets the name of the gauge of calls in flight.
    #[must_use]
    pub fn requests_in_progress(mut self, name: impl Into<String>) -> Self {
        self.requests_in_progress = Cow::Owned(name.into());
        self
    }
}

impl Default for MetricNames {
    /// Returns `requests_total`, `request_latency_seconds` and `requests_in_progress`.
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The HELP text of each metric.
const HELP: [&str; 3] = [
    "Total number of calls that have ended, by outcome.",
    "Latency of calls in seconds, from the start of the call to its end.",
    "Number of calls that have started but not ended.",
];

/// Describes the three metrics to a recorder: their units and their HELP texts.
pub(crate) fn describe(recorder: &dyn Recorder, names: &MetricNames) {
    recorder.describe_counter(
        names.requests_total.clone().into(),
        Some(Unit::Count),
        HELP[0].into(),
    );
    recorder.describe_histogram(
        names.request_latency_seconds.clone().into(),
        Some(Unit::Seconds),
        HELP[1].into(),
    );
    recorder.describe_gauge(
        names.requests_in_progress.clone().into(),
        Some(Unit::Count),
        HELP[2].into(),
    );
}

/// The names of the exporter's own metrics and of their samples, in the order of the
/// page.
pub(crate) mod own {
    pub(crate) const PUSHES: &str = "instrument_pushes_total";
    pub(crate) const PANICS: &str = "instrument_render_panics_total";
    pub(crate) const DURATION: &str = "instrument_scrape_duration_seconds";
    pub(crate) const DURATION_SUM: &str = "instrument_scrape_duration_seconds_sum";
    pub(crate) const DURATION_COUNT: &str = "instrument_scrape_duration_seconds_count";
    pub(crate) const SCRAPES: &str = "instrument_scrapes_total";
    pub(crate) const SERIES: &str = "instrument_series";

    pub(crate) const TARGET_INFO: &str = "target_info";

    pub(crate) const ALL: [&str; 8] = [
        PUSHES,
        PANICS,
        DURATION,
        DURATION_SUM,
        DURATION_COUNT,
        SCRAPES,
        SERIES,
        TARGET_INFO,
    ];

    /// Returns whether a metric of this name would collide with the exporter's own
    /// metrics.
    pub(crate) fn is_taken(name: &str) -> bool {
        ALL.contains(&name)
    }
}

/// Returns why a label on every series cannot have this name, or `None` if it can.
pub(crate) fn label_problem(name: &str, names: &MetricNames) -> Option<&'static str> {
    const RESERVED: [&str; 9] = [
        "app_name",
        "method",
        "endpoint",
        "http_status",
        "grpc_status",
        "outcome",
        "overflow",
        "le",
        "quantile",
    ];
    let LabelNames {
        method,
        endpoint,
        http_status,
        grpc_status,
        outcome,
    } = names.labels;
    let of_calls = [method, endpoint, http_status, grpc_status, outcome];
    if !is_name(name, "_") {
        Some("is not a label name; use ASCII letters, digits and `_`, not starting with a digit")
    } else if name.starts_with("__") {
        Some("starts with `__`, which Prometheus reserves; choose another name")
    } else if RESERVED.contains(&name) || of_calls.contains(&name) {
        Some("is set by the exporter itself; choose another name")
    } else {
        None
    }
}

/// Returns whether `name` is a valid name in Prometheus's data model: not empty, and not
/// starting with a digit. `signs` are the characters that are allowed in addition to ASCII
/// letters and digits.
pub(crate) fn is_name(name: &str, signs: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || signs.contains(c))
}
