//! The names of OpenTelemetry's [semantic conventions] 1.44.0 for HTTP and RPC servers, as
//! a Prometheus exporter [writes] them: `_` instead of `.`, and the units `s` and `By` as
//! the suffixes `_seconds` and `_bytes`.
//!
//! `tests/conventions/` holds a page against the facts of the conventions.
//!
//! [semantic conventions]: https://github.com/open-telemetry/semantic-conventions/tree/v1.44.0/docs
//! [writes]: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/

/// `http.server.request.duration`.
pub(crate) const HTTP_DURATION: &str = "http_server_request_duration_seconds";
/// `http.server.active_requests`. Its unit is an annotation (`{request}`), which is not a
/// suffix.
pub(crate) const HTTP_ACTIVE: &str = "http_server_active_requests";
/// `http.server.response.body.size`. Its unit `By` is the suffix `_bytes`.
pub(crate) const HTTP_RESPONSE_SIZE: &str = "http_server_response_body_size_bytes";
/// `rpc.server.call.duration`.
pub(crate) const RPC_DURATION: &str = "rpc_server_call_duration_seconds";

/// The metrics of the conventions.
pub(crate) const METRICS: [&str; 4] =
    [HTTP_DURATION, HTTP_ACTIVE, HTTP_RESPONSE_SIZE, RPC_DURATION];

/// The bounds that the conventions advise for both histograms of durations, in seconds.
pub(crate) const BUCKETS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

pub(crate) const HTTP_METHOD: &str = "http_request_method";
pub(crate) const HTTP_ROUTE: &str = "http_route";
pub(crate) const HTTP_STATUS: &str = "http_response_status_code";
pub(crate) const URL_SCHEME: &str = "url_scheme";
pub(crate) const PROTOCOL_VERSION: &str = "network_protocol_version";
pub(crate) const RPC_SYSTEM: &str = "rpc_system_name";
pub(crate) const RPC_METHOD: &str = "rpc_method";
pub(crate) const RPC_STATUS: &str = "rpc_response_status_code";
pub(crate) const ERROR_TYPE: &str = "error_type";

/// The labels of the conventions that the library writes.
pub(crate) const LABELS: [&str; 9] = [
    HTTP_METHOD,
    HTTP_ROUTE,
    HTTP_STATUS,
    URL_SCHEME,
    PROTOCOL_VERSION,
    RPC_SYSTEM,
    RPC_METHOD,
    RPC_STATUS,
    ERROR_TYPE,
];

/// The value of a label whose real value is not known or not recognized.
pub(crate) const OTHER: &str = "_OTHER";
