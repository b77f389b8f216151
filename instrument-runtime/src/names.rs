//! What the three metrics and their labels are called.

use std::borrow::Cow;

use metrics::{Recorder, Unit};

/// The names of the three metrics and of their labels: a setting of
/// [`Builder::names`](crate::Builder::names).
///
/// [`MetricNames::default`] follows Prometheus's naming guide (base units,
/// `_total` on counters only), [`MetricNames::article`] is what the aiohttp
/// monitoring article used, and [`MetricNames::opentelemetry`] follows the
/// semantic conventions for HTTP servers as a Prometheus exporter writes them.
/// Each can be the start of names of your own:
///
/// ```
/// use instrument_runtime::MetricNames;
///
/// let names = MetricNames::default().requests_total("shop_requests_total");
/// assert_ne!(names, MetricNames::default());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricNames {
    pub(crate) requests_total: Cow<'static, str>,
    pub(crate) request_latency_seconds: Cow<'static, str>,
    pub(crate) requests_in_progress: Cow<'static, str>,
    pub(crate) labels: LabelNames,
}

/// The label names of a convention; the values mean the same under each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// The names of the article that this library began with: `requests_total`,
    /// `request_latency_seconds` and `requests_in_progress_total`.
    ///
    /// The article is "Monitoring Your Asynchronous Python Web Applications Using
    /// Prometheus" by Amit Saha, which instruments an aiohttp application. Its third
    /// name is that of a gauge. Prometheus's naming guide keeps `_total` for counters,
    /// so `promtool check metrics` remarks on it.
    #[must_use]
    pub fn article() -> Self {
        Self {
            requests_in_progress: Cow::Borrowed("requests_in_progress_total"),
            ..Self::DEFAULT
        }
    }

    /// OpenTelemetry's semantic conventions for HTTP servers:
    /// `http_server_request_duration_seconds` and
    /// `http_server_active_requests`, labelled `http_request_method`,
    /// `http_route`, `http_response_status_code` and `rpc_grpc_status_code`.
    ///
    /// The conventions have no counter of requests and no outcome; those are
    /// `http_server_requests_total` and the label `outcome`.
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

    /// Names the counter of requests.
    #[must_use]
    pub fn requests_total(mut self, name: impl Into<String>) -> Self {
        self.requests_total = Cow::Owned(name.into());
        self
    }

    /// Names the latency histogram; its unit is seconds whatever its name.
    #[must_use]
    pub fn request_latency_seconds(mut self, name: impl Into<String>) -> Self {
        self.request_latency_seconds = Cow::Owned(name.into());
        self
    }

    /// Names the gauge of requests in flight.
    #[must_use]
    pub fn requests_in_progress(mut self, name: impl Into<String>) -> Self {
        self.requests_in_progress = Cow::Owned(name.into());
        self
    }
}

impl Default for MetricNames {
    /// `requests_total`, `request_latency_seconds`, `requests_in_progress`.
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The text of each metric's HELP.
const HELP: [&str; 3] = [
    "Calls that started and have ended, by how they ended.",
    "Time from a call's start (its first poll) to its end, in seconds.",
    "Calls that have started and not ended yet.",
];

/// Describes the three metrics: their unit and their meaning.
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

/// The names of the exporter's own metrics and of their samples, sorted as on the page.
pub(crate) mod own {
    pub(crate) const PUSHES: &str = "instrument_pushes_total";
    pub(crate) const PANICS: &str = "instrument_render_panics_total";
    pub(crate) const DURATION: &str = "instrument_scrape_duration_seconds";
    pub(crate) const DURATION_SUM: &str = "instrument_scrape_duration_seconds_sum";
    pub(crate) const DURATION_COUNT: &str = "instrument_scrape_duration_seconds_count";
    pub(crate) const SCRAPES: &str = "instrument_scrapes_total";
    pub(crate) const SERIES: &str = "instrument_series";

    pub(crate) const ALL: [&str; 7] = [
        PUSHES,
        PANICS,
        DURATION,
        DURATION_SUM,
        DURATION_COUNT,
        SCRAPES,
        SERIES,
    ];

    /// Whether a metric of this name would collide with one of them on the page.
    pub(crate) fn is_taken(name: &str) -> bool {
        ALL.contains(&name)
    }
}
