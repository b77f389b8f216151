//! The names of the three metrics, of their labels, and of the exporter's own metrics.

use std::borrow::Cow;

use metrics::{Recorder, Unit};

use crate::conventions;

/// The names of the three metrics and of their labels.
///
/// The argument of [`Builder::names`](crate::Builder::names). There are three presets:
///
/// - [`MetricNames::default`] follows Prometheus's
///   [naming guide](https://prometheus.io/docs/practices/naming/): base units, and `_total`
///   on counters only.
/// - [`MetricNames::article`] uses the names of the article that inspired this library.
/// - [`MetricNames::opentelemetry`] follows OpenTelemetry's semantic conventions for
///   [HTTP](https://opentelemetry.io/docs/specs/semconv/http/http-metrics/) and
///   [RPC](https://opentelemetry.io/docs/specs/semconv/rpc/rpc-metrics/) servers. This
///   preset changes which metrics and labels there are, too.
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
    pub(crate) response_size_bytes: Cow<'static, str>,
    pub(crate) requests_oldest_in_progress_seconds: Cow<'static, str>,
    /// Whether HTTP requests and RPCs have the metrics of OpenTelemetry's conventions, and
    /// only other calls have the three metrics.
    pub(crate) has_conventions: bool,
}

/// The labels of the three metrics.
pub(crate) mod label {
    pub(crate) const METHOD: &str = "method";
    pub(crate) const ENDPOINT: &str = "endpoint";
    pub(crate) const HTTP_STATUS: &str = "http_status";
    pub(crate) const GRPC_STATUS: &str = "grpc_status";
    pub(crate) const OUTCOME: &str = "outcome";
}

impl MetricNames {
    pub(crate) const DEFAULT: Self = Self {
        requests_total: Cow::Borrowed("requests_total"),
        request_latency_seconds: Cow::Borrowed("request_latency_seconds"),
        requests_in_progress: Cow::Borrowed("requests_in_progress"),
        response_size_bytes: Cow::Borrowed("response_size_bytes"),
        requests_oldest_in_progress_seconds: Cow::Borrowed("requests_oldest_in_progress_seconds"),
        has_conventions: false,
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

    /// Returns the names of OpenTelemetry's semantic conventions, version 1.44.0, for HTTP
    /// and RPC servers.
    ///
    /// The metrics and labels are those of an application with an OpenTelemetry SDK and its
    /// Prometheus exporter, with the exporter's scope labels (`otel_scope_name`) turned off.
    /// Dashboards and alerts for the conventions work unchanged.
    ///
    /// # Metrics
    ///
    /// | metric | type | labels |
    /// |---|---|---|
    /// | `http_server_request_duration_seconds` | histogram | `http_request_method`, `url_scheme`, `http_route`, `http_response_status_code`, `network_protocol_version`, `error_type` |
    /// | `http_server_active_requests` | gauge | `http_request_method`, `url_scheme` |
    /// | `http_server_response_body_size_bytes` | histogram | those of `http_server_request_duration_seconds` |
    /// | `rpc_server_call_duration_seconds` | histogram | `rpc_system_name`, `rpc_method`, `rpc_response_status_code`, `error_type` |
    ///
    /// `http_server_response_body_size_bytes` is there if a layer has the setting
    /// `response_sizes`.
    ///
    /// The bounds of durations default to those that the conventions advise: 0.005, 0.01,
    /// 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10. The labels of functions
    /// and layers, and global labels, are added to all four metrics. Series have no label
    /// `app_name`: the name of the application is in `target_info`
    /// ([`app_name_label`](crate::Builder::app_name_label) brings the label back).
    ///
    /// There is no counter and no label `outcome`. The count of a histogram is the number of
    /// requests, and `error_type` tells errors from successes.
    ///
    /// # Labels
    ///
    /// - `http_route` is the route that the framework matched. Without a layer, it is the
    ///   `endpoint` of the function's attribute. It is left out if no route has matched.
    /// - `http_response_status_code` is left out if no response was sent.
    /// - `url_scheme` is `http` or `https`: from the header `Forwarded` or
    ///   `X-Forwarded-Proto`, or else from the URI of the request. If neither contains one of
    ///   the two schemes, it is `https` if actix-web itself terminates TLS, and `http`
    ///   otherwise. A proxy should replace both headers, because clients can set them.
    /// - `network_protocol_version` is `1.0`, `1.1`, `2` or `3`. Only layers know it.
    /// - `rpc_method` is the path of the call without the slash at its start
    ///   (`package.Service/Method`). It is `_OTHER` if no method is known to exist there (see
    ///   `tonic::layer`).
    /// - `rpc_response_status_code` is the name of the gRPC status, such as `NOT_FOUND`. It is
    ///   left out if no status was sent.
    /// - `error_type` is left out if the request or the RPC has succeeded, and also for the
    ///   statuses that are the client's fault, such as 404 and `NOT_FOUND`. Otherwise it is:
    ///
    /// | `error_type` | meaning |
    /// |---|---|
    /// | `500` to `599` | the HTTP status that was sent |
    /// | `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS` | the gRPC status that was sent |
    /// | `panic` | the handler or the body of the response panicked |
    /// | `cancelled` | the future was dropped before its end: the client left, or a time-out |
    /// | `_OTHER` | another error, without one of these statuses |
    ///
    /// # Functions
    ///
    /// A call of an annotated function that is not a part of a layer's request is:
    ///
    /// - an HTTP request, if the function's attribute gives a method. The scheme is `http`.
    /// - an RPC, if the function returns a gRPC status, and its attribute gives an `endpoint`
    ///   (`"/package.Service/Method"`) or the argument `handler`.
    ///
    /// The conventions do not cover other calls. These calls are counted in the three metrics
    /// of [`MetricNames::default`], with the labels of those metrics. RPCs in progress are in
    /// `requests_in_progress`, and the sizes of their responses in `response_size_bytes`,
    /// because the conventions have no metrics for them.
    /// [`requests_total`](Self::requests_total) and the other methods rename the three
    /// metrics. The names of the conventions are fixed.
    ///
    /// A series appears with its first request. There are no series with zeros from the start.
    ///
    /// # Objectives
    ///
    /// The targets of an [`Objective`](crate::Objective) have the labels `http_request_method`
    /// and `http_route`, or `rpc_method`, or, for other calls, `method` and `endpoint`. Requests
    /// without a route have no objective, because no label tells their functions apart.
    ///
    /// # The oldest request
    ///
    /// The conventions do not cover the metric of
    /// [`Builder::oldest_in_progress`](crate::Builder::oldest_in_progress) either, so it keeps
    /// its name. HTTP requests have the labels of `http_server_active_requests` and
    /// `http_route` there, which shows the handler that hangs. RPCs and other calls have the
    /// labels of `requests_in_progress`.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), instrument_runtime::InitError> {
    /// use instrument_runtime::{MetricNames, builder};
    ///
    /// builder("webapp_1")
    /// #   .without_listener()
    ///     .names(MetricNames::opentelemetry())
    ///     .install()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn opentelemetry() -> Self {
        Self {
            has_conventions: true,
            ..Self::DEFAULT
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

    /// Sets the name of the histogram of response sizes, which layers with the setting
    /// `response_sizes` record. Its unit is always bytes.
    #[must_use]
    pub fn response_size_bytes(mut self, name: impl Into<String>) -> Self {
        self.response_size_bytes = Cow::Owned(name.into());
        self
    }

    /// Sets the name of the age of the oldest call in flight. Its unit is always seconds.
    ///
    /// The metric is on the page only with
    /// [`Builder::oldest_in_progress`](crate::Builder::oldest_in_progress).
    #[must_use]
    pub fn requests_oldest_in_progress_seconds(mut self, name: impl Into<String>) -> Self {
        self.requests_oldest_in_progress_seconds = Cow::Owned(name.into());
        self
    }
}

impl Default for MetricNames {
    /// Returns `requests_total`, `request_latency_seconds`, `requests_in_progress` and
    /// `requests_oldest_in_progress_seconds`.
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The HELP text of each metric.
const HELP: [&str; 4] = [
    "Total number of calls that have ended, by outcome.",
    "Latency of calls in seconds, from the start of the call to its end.",
    "Number of calls that have started but not ended.",
    "Size of response bodies in bytes.",
];

/// The HELP text of the age of the oldest call in progress.
pub(crate) const OLDEST_HELP: &str =
    "Time since the start of the oldest call that has not ended, in seconds; 0 if there is none.";

/// Describes the metrics of calls, and those of the conventions, to a recorder: their units and
/// their HELP texts.
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
    recorder.describe_histogram(
        names.response_size_bytes.clone().into(),
        Some(Unit::Bytes),
        HELP[3].into(),
    );
    if names.has_conventions {
        let seconds = Some(Unit::Seconds);
        recorder.describe_histogram(
            conventions::HTTP_DURATION.into(),
            seconds,
            "Time that the server took for HTTP requests, in seconds.".into(),
        );
        recorder.describe_histogram(
            conventions::RPC_DURATION.into(),
            seconds,
            "Time that the server took for RPCs, in seconds.".into(),
        );
        recorder.describe_histogram(
            conventions::HTTP_RESPONSE_SIZE.into(),
            Some(Unit::Bytes),
            "Size of the bodies of HTTP responses, in bytes.".into(),
        );
        recorder.describe_gauge(
            conventions::HTTP_ACTIVE.into(),
            Some(Unit::Count),
            "Number of HTTP requests that have started but not ended.".into(),
        );
    }
}

/// The names of the metrics that the exporter itself writes, and of their samples.
pub(crate) mod own {
    pub(crate) const PUSHES: &str = "instrument_pushes_total";
    pub(crate) const PANICS: &str = "instrument_render_panics_total";
    pub(crate) const DURATION: &str = "instrument_scrape_duration_seconds";
    pub(crate) const DURATION_SUM: &str = "instrument_scrape_duration_seconds_sum";
    pub(crate) const DURATION_COUNT: &str = "instrument_scrape_duration_seconds_count";
    pub(crate) const SCRAPES: &str = "instrument_scrapes_total";
    pub(crate) const SERIES: &str = "instrument_series";
    pub(crate) const SERIES_LIMIT: &str = "instrument_series_limit";

    pub(crate) const OBJECTIVES: &str = "request_objective_ratio";
    pub(crate) const TARGET_INFO: &str = "target_info";

    /// The names of the metrics of tokio runtimes.
    #[cfg(feature = "tokio")]
    pub(crate) mod tokio {
        pub(crate) const ALIVE_TASKS: &str = "tokio_alive_tasks";
        pub(crate) const GLOBAL_QUEUE_DEPTH: &str = "tokio_global_queue_depth";
        pub(crate) const WORKERS: &str = "tokio_workers";
        pub(crate) const WORKERS_BUSY: &str = "tokio_workers_busy_seconds_total";
        pub(crate) const WORKERS_PARKS: &str = "tokio_workers_parks_total";
    }

    /// The names that no other metric on the page may have.
    pub(crate) const ALL: &[&str] = &[
        PUSHES,
        PANICS,
        DURATION,
        DURATION_SUM,
        DURATION_COUNT,
        SCRAPES,
        SERIES,
        OBJECTIVES,
        SERIES_LIMIT,
        TARGET_INFO,
        #[cfg(feature = "tokio")]
        tokio::ALIVE_TASKS,
        #[cfg(feature = "tokio")]
        tokio::GLOBAL_QUEUE_DEPTH,
        #[cfg(feature = "tokio")]
        tokio::WORKERS,
        #[cfg(feature = "tokio")]
        tokio::WORKERS_BUSY,
        #[cfg(feature = "tokio")]
        tokio::WORKERS_PARKS,
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
    if !is_name(name, "_") {
        Some("is not a label name; use ASCII letters, digits and `_`, not starting with a digit")
    } else if name.starts_with("__") {
        Some("starts with `__`, which Prometheus reserves; choose another name")
    } else if RESERVED.contains(&name)
        || names.has_conventions && conventions::LABELS.contains(&name)
    {
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
