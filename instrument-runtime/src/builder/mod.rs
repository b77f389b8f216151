//! [`Builder`]: the settings of an installation, as users write them.

mod check;
mod environment;
mod install;
mod objectives;
mod resource;
#[cfg(not(feature = "push"))]
mod without_push;

use std::net::SocketAddr;
#[cfg(unix)]
use std::path::PathBuf;
use std::time::Duration;

use crate::discovery::Discovery;
use crate::error::InitError;
use crate::exporter::Exporter;
use crate::exporter::listener::Target;
use crate::names::MetricNames;
use crate::objective::Objective;
use crate::push::PushSettings;
use crate::recorder::exemplars::TraceContext;
use crate::settings::{DEFAULT_MAX_SERIES, ExemplarSource};

/// Installs the metrics and serves them on `http://127.0.0.1:9464/metrics`.
///
/// `http://127.0.0.1:9464/` is a [live view](Exporter#the-live-view) of the application, for a
/// browser.
///
/// Shorthand for `builder(app_name).install()`. `app_name` is the name of the application.
/// The environment variable `OTEL_SERVICE_NAME`, if set, replaces this name. The name is
/// the value of the label `app_name` on every series except those of the exporter's own
/// metrics (`instrument_…` and `target_info`).
///
/// The standard environment variables `OTEL_EXPORTER_PROMETHEUS_HOST` (default
/// `127.0.0.1`) and `OTEL_EXPORTER_PROMETHEUS_PORT` (default `9464`) change the address.
///
/// `init` works inside any async runtime, and outside of a runtime. Dropping the returned
/// [`Exporter`] does not stop the exporter.
///
/// # Errors
///
/// Returns an [`InitError`], most often because the port is taken or because `init` was
/// called before.
///
/// # Examples
///
/// ```no_run
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     instrument_runtime::init("webapp_1")?;
///     // … serve the application
///     Ok(())
/// }
/// ```
pub fn init(app_name: impl Into<String>) -> Result<Exporter, InitError> {
    builder(app_name).install()
}

/// Returns a [`Builder`] with the settings that [`init`] uses.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), instrument_runtime::InitError> {
/// let exporter = instrument_runtime::builder("webapp_1")
///     .listen(([127, 0, 0, 1], 0))
///     .allow("127.0.0.1")
///     .buckets(&[0.01, 0.1, 1.0])
///     .global_label("region", "eu")
///     .install()?;
/// if let Some(addr) = exporter.local_addr() {
///     println!("http://{addr}/metrics");
/// }
/// # Ok(())
/// # }
/// ```
pub fn builder(app_name: impl Into<String>) -> Builder {
    Builder {
        app_name: app_name.into(),
        target: None,
        allow: Vec::new(),
        buckets: None,
        other_buckets: Vec::new(),
        global_labels: Vec::new(),
        version: None,
        app_name_label: None,
        names: MetricNames::default(),
        max_series: DEFAULT_MAX_SERIES,
        known_methods: None,
        objectives: Vec::new(),
        native_histograms: false,
        exemplars: None,
        oldest_in_progress: false,
        live_view: true,
        prometheus_url: None,
        discovery: Discovery::default(),
        last_scrape: Duration::ZERO,
        diagnostics: true,
        push: PushSettings::default(),
    }
}

/// The settings of an installation.
///
/// Created by [`builder`]. The methods only store the settings.
/// [`install`](Self::install) validates them and starts the exporter.
///
/// # Examples
///
/// A service that Prometheus discovers by file, and that stops without losing counts:
///
/// ```no_run
/// # #[cfg(unix)]
/// # async fn run() -> Result<(), instrument_runtime::InitError> {
/// use std::time::Duration;
///
/// use instrument_runtime::MetricNames;
///
/// let exporter = instrument_runtime::builder("webapp_1")
///     .version(env!("CARGO_PKG_VERSION"))
///     .names(MetricNames::opentelemetry())
///     .max_series(10_000)
///     .listen(([0, 0, 0, 0], 9464))
///     .file_sd("targets/")
///     .advertise("10.0.0.7:9464")
///     .wait_for_last_scrape(Duration::from_secs(20))
///     .install()?;
/// // … serve until SIGTERM
/// exporter.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is installed before `.install()`"]
pub struct Builder {
    app_name: String,
    /// `None`: the address comes from the environment variables.
    target: Option<Target>,
    allow: Vec<String>,
    /// `None`: the default bounds of each histogram.
    buckets: Option<Vec<f64>>,
    other_buckets: Vec<(String, Vec<f64>)>,
    global_labels: Vec<(String, String)>,
    version: Option<String>,
    /// `None`: `true`, unless the names are OpenTelemetry's.
    app_name_label: Option<bool>,
    names: MetricNames,
    max_series: usize,
    known_methods: Option<Vec<String>>,
    /// The objectives of routes.
    objectives: Vec<(String, Objective)>,
    native_histograms: bool,
    exemplars: Option<ExemplarSource>,
    oldest_in_progress: bool,
    live_view: bool,
    prometheus_url: Option<String>,
    discovery: Discovery,
    last_scrape: Duration,
    diagnostics: bool,
    push: PushSettings,
}

impl Builder {
    /// Serves the page on a TCP address.
    ///
    /// Defaults to the host and port in the environment variables
    /// `OTEL_EXPORTER_PROMETHEUS_HOST` (default `127.0.0.1`) and
    /// `OTEL_EXPORTER_PROMETHEUS_PORT` (default `9464`). If that host name resolves to
    /// several addresses, the exporter uses the first address that it can bind. With port
    /// 0, the operating system chooses a free port, which [`Exporter::local_addr`] returns.
    ///
    /// If several of `listen`, `listen_unix` and `without_listener` are called, the last
    /// call wins.
    /// [`Exporter`](Exporter#the-endpoint) lists the paths and statuses of the endpoint.
    pub fn listen(mut self, addr: impl Into<SocketAddr>) -> Self {
        self.target = Some(Target::Tcp(vec![addr.into()]));
        self
    }

    /// Serves the page on a Unix socket instead of a TCP address.
    ///
    /// The permissions of the socket file decide which users can read the page.
    ///
    /// If `path` is a stale socket, it is replaced. A socket is stale if a connection to it
    /// fails with `ECONNREFUSED`, because its process was killed. `install` returns an
    /// error if the socket may be in use, or if `path` is a file of another kind.
    /// [`Exporter::shutdown`] removes the socket file, unless another process has bound
    /// the path since.
    ///
    /// Unix only.
    #[cfg(unix)]
    pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.target = Some(Target::Unix(path.into()));
        self
    }

    /// Disables the listener: the exporter does not serve the page.
    ///
    /// This is for applications that serve [`Exporter::render`] on a route of their own,
    /// and for batch jobs that push the page.
    pub fn without_listener(mut self) -> Self {
        self.target = Some(Target::None);
        self
    }

    /// Allows an IP address or a CIDR range to use the endpoint.
    ///
    /// Examples are `"10.0.0.7"`, `"10.0.0.0/8"` and `"fd00::/8"`. Each call adds a range
    /// to the allow list. Requests from an address that is not on the list get status 403,
    /// on every path. Without a call, every address is allowed.
    ///
    /// An IPv4 range also matches IPv4 clients of a dual-stack IPv6 socket. Clients of a
    /// Unix socket are always allowed: the permissions of the socket file apply instead.
    pub fn allow(mut self, range: impl Into<String>) -> Self {
        self.allow.push(range.into());
        self
    }

    /// Sets the upper bounds of the histogram buckets, in seconds.
    ///
    /// Defaults to the bounds that OpenTelemetry advises for
    /// `http.server.request.duration`, and three smaller bounds: 0.0005, 0.001, 0.0025,
    /// 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10. The
    /// histograms of [`MetricNames::opentelemetry`] default to the advised bounds alone.
    /// The latency threshold of each [`Objective`] is a bound too, with these and with other
    /// bounds.
    ///
    /// The bounds must be finite and strictly increasing. At least one bound is required.
    /// The bound `+Inf` is added automatically.
    ///
    /// Histograms that the application itself records through the `metrics` facade get
    /// the same bounds, whatever their unit. [`buckets_for`](Self::buckets_for) sets other
    /// bounds for one of these histograms.
    pub fn buckets(mut self, bounds: &[f64]) -> Self {
        self.buckets = Some(bounds.to_vec());
        self
    }

    /// Sets the HTTP methods that the label `method` of a layer's requests may have.
    ///
    /// Any other method is counted as `_OTHER`, because a client can send any text as a
    /// method. The list replaces the standard methods, so it must contain those that are
    /// used, too. Methods are case-sensitive.
    ///
    /// Defaults to the methods in the environment variable
    /// `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS` (separated by commas), or else to the
    /// standard methods: `GET`, `HEAD`, `POST`, `PUT`, `DELETE`, `CONNECT`, `OPTIONS`,
    /// `TRACE`, `PATCH` and `QUERY`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let builder = instrument_runtime::builder("webdav");
    /// builder.known_methods(["GET", "PUT", "PROPFIND", "REPORT"])
    /// # ;
    /// ```
    pub fn known_methods<M: Into<String>>(mut self, methods: impl IntoIterator<Item = M>) -> Self {
        self.known_methods = Some(methods.into_iter().map(Into::into).collect());
        self
    }

    /// Gives an objective to a route.
    ///
    /// The objective applies to all requests that a layer counts with this route, whatever
    /// their method and whether or not their handler is annotated. `route` is the route
    /// pattern of the framework, such as `/users/{id}`, with the prefix of nested routers. It
    /// can also be the label `endpoint` of the requests, if the handler has an endpoint of its
    /// own. For gRPC, it is the path `/package.Service/Method`.
    ///
    /// The page shows the objective from the first scrape on. These series have no method.
    /// Series with the method and the endpoint of actual requests appear with the first request
    /// of each method.
    ///
    /// For an annotated function, use the argument `objective` of
    /// [`instrumented`](crate::instrumented) instead: it is checked at compile time. Several
    /// objectives can apply to the same requests, one after the other by several calls of this
    /// method, or from here and from the attribute.
    ///
    /// `install` returns an error if the route does not begin with `/`, if the objective has no
    /// target, or if the application has another objective of the same name with different
    /// targets.
    ///
    /// # Examples
    ///
    /// ```
    /// use instrument_runtime::Objective;
    ///
    /// const USERS: Objective = Objective::new("users").success(99.5);
    ///
    /// # let builder = instrument_runtime::builder("webapp_1");
    /// builder.objective("/users/{id}", USERS)
    /// # ;
    /// ```
    pub fn objective(mut self, route: impl Into<String>, objective: Objective) -> Self {
        self.objectives.push((route.into(), objective));
        self
    }

    /// Adds the buckets of a native histogram to the latency histogram.
    ///
    /// Prometheus's [native histograms] have exponential buckets instead of configured
    /// bounds. The buckets are fine enough for any latency: a bound is 9 % above the
    /// previous one, so `histogram_quantile` is within 9 % of the true value, and usually within
    /// 5 %. The classic buckets stay on the page for scrapers that do not read native ones.
    /// Defaults to classic buckets only.
    ///
    /// Only the protobuf format has native buckets. Prometheus asks for this format if native
    /// histograms are enabled, from version 3.8 with `scrape_native_histograms: true` in the
    /// scrape job, and before that with the flag `--enable-feature=native-histograms`.
    ///
    /// Prometheus then no longer stores the classic buckets, so queries for
    /// `request_latency_seconds_bucket`, `_count` and `_sum` find nothing. To store both, also
    /// set `always_scrape_classic_histograms: true` in the scrape job
    /// (`scrape_classic_histograms` before Prometheus 3).
    ///
    /// The schema is 3. If a series needs more than 160 buckets, because its latencies
    /// differ by a factor of more than a million, two adjacent buckets become one and a
    /// message on stderr says so. No count is lost.
    ///
    /// The memory of a series grows by about 0.5 KB, and by 0.4 KB for each thread that
    /// records in it. Latencies outside the usual range take 0.5 KB more per thread for each
    /// factor of 256 (at most 5 KB per thread).
    ///
    /// Histograms that the application itself records through the `metrics` facade keep
    /// classic buckets only.
    ///
    /// [native histograms]: https://prometheus.io/docs/specs/native_histograms/
    pub fn native_histograms(mut self) -> Self {
        self.native_histograms = true;
        self
    }

    /// Adds exemplars: for a latency, the trace of one call that took this long.
    ///
    /// An exemplar is a trace id and a span id on a bucket of the latency histogram, and on
    /// the counter. Grafana shows exemplars as dots beside a graph of latencies, each with a
    /// link to its trace. Defaults to none.
    ///
    /// `source` returns the current trace, or `None` if there is none or if it is not sampled.
    /// `source` is called at the end of a call, at most once per second for each bucket of
    /// each series (every 10 ms while it returns `None`), and for requests that a layer
    /// counts at most every 10 ms in addition. For all other calls, the cost is one
    /// comparison. `source` runs on the thread of the call, so `source` must not block. It is
    /// also called when a call is cancelled or panics. After a panic, `source` is not called
    /// again.
    ///
    /// With the feature `opentelemetry`, `instrument_runtime::opentelemetry::current` is
    /// such a source. It also finds the spans of `tracing-opentelemetry`.
    ///
    /// Put `#[instrumented]` above `#[tracing::instrument]`, so that the span is still
    /// current when the call ends. A request that a layer counts gets the trace of its
    /// annotated handler. Without an annotated handler, the trace must be current outside
    /// the layer.
    ///
    /// Exemplars are in the protobuf and OpenMetrics formats, which Prometheus asks for. To
    /// store them, Prometheus needs the flag `--enable-feature=exemplar-storage`.
    ///
    /// # Examples
    ///
    /// ```
    /// use instrument_runtime::TraceContext;
    /// # mod my_tracing {
    /// #     pub fn current() -> Option<(u128, u64)> { None }
    /// # }
    ///
    /// # let builder = instrument_runtime::builder("webapp_1");
    /// builder.exemplars(|| {
    ///     let (trace, span) = my_tracing::current()?;
    ///     Some(TraceContext::new(trace.to_be_bytes(), span.to_be_bytes()))
    /// })
    /// # ;
    /// ```
    pub fn exemplars(
        mut self,
        source: impl Fn() -> Option<TraceContext> + Send + Sync + 'static,
    ) -> Self {
        self.exemplars = Some(ExemplarSource::new(source));
        self
    }

    /// Adds the gauge `requests_oldest_in_progress_seconds`: for how long the oldest call in
    /// flight has been running, in seconds.
    ///
    /// A handler that hangs is in the latency histogram only when it ends, which may be
    /// never. This gauge shows the handler while it hangs, and grows with every scrape.
    /// Defaults to no such metric.
    ///
    /// The metric has the same series as `requests_in_progress`, with the same labels. The
    /// age is measured on the clock of the latency, from the same start: from the first poll
    /// of an async function, from the entry of a plain function, and from the arrival of a
    /// request in a layer, until the event that decrements `requests_in_progress`. The value
    /// is 0 while no call is in flight, so `max_over_time` and alerts need no special case:
    ///
    /// ```promql
    /// max by (endpoint) (requests_oldest_in_progress_seconds) > 60
    /// ```
    ///
    /// A series that is meant to have long calls, such as an event stream with
    /// `until_body_end`, shows the age of its oldest stream. Leave it out of such alerts. A
    /// future that is leaked (with `mem::forget`) is in flight for ever.
    ///
    /// The name follows Prometheus's naming guide, in which the unit comes last.
    /// [`MetricNames::requests_oldest_in_progress_seconds`] changes it.
    ///
    /// With this setting, a call takes about 8 ns longer. It still takes no lock, and allocates
    /// only if more calls are in flight than ever before. A series takes 128 bytes for each
    /// thread on which its calls start. If more than 11 calls that have started on one thread
    /// are in flight at once, it takes 0.5 KB and up to 16 bytes for each of these calls more.
    /// This memory is used again for later calls, and never freed.
    ///
    /// Only the recorder of this crate has the metric. A recorder that the application has
    /// installed itself, and the recordings of the feature `testing`, do not get it.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), instrument_runtime::InitError> {
    /// use instrument_runtime::{Exporter, builder, instrumented};
    ///
    /// #[instrumented(endpoint = "/report", method = "GET")]
    /// fn report(exporter: &Exporter) -> String {
    ///     exporter.render() // while this call is in flight
    /// }
    ///
    /// let exporter = builder("webapp_1")
    ///     .oldest_in_progress()
    /// #   .without_listener()
    ///     .install()?;
    /// let name = "requests_oldest_in_progress_seconds";
    /// let idle = format!("{name}{{app_name=\"webapp_1\",endpoint=\"/report\",method=\"GET\"}} 0\n");
    /// assert!(!report(&exporter).contains(&idle));
    /// assert!(exporter.render().contains(&idle));
    /// # Ok(())
    /// # }
    /// ```
    pub fn oldest_in_progress(mut self) -> Self {
        self.oldest_in_progress = true;
        self
    }

    /// Sets the upper bucket bounds of one of the application's own histograms.
    ///
    /// `metric` is the name of a histogram that the application records through the
    /// `metrics` facade. The bounds are in the unit of that histogram, and must be finite
    /// and strictly increasing. If two calls name the same metric, the last call wins.
    /// Defaults to the bounds of [`buckets`](Self::buckets).
    ///
    /// `metric` may also be the histogram of response sizes, `response_size_bytes`, which
    /// layers record that have the setting `response_sizes`. Its bounds default to the powers
    /// of 4 from 64 B to 1 GiB.
    ///
    /// `install` returns an error if `metric` is the latency histogram of calls: only
    /// [`buckets`](Self::buckets) sets its bounds.
    ///
    /// # Examples
    ///
    /// ```
    /// # let builder = instrument_runtime::builder("webapp_1");
    /// builder.buckets_for("upload_size_bytes", &[1e3, 1e4, 1e5, 1e6])
    /// # ;
    /// ```
    pub fn buckets_for(mut self, metric: impl Into<String>, bounds: &[f64]) -> Self {
        self.other_buckets.push((metric.into(), bounds.to_vec()));
        self
    }

    /// Adds a label to every series, in addition to `app_name`.
    ///
    /// The exporter's own metrics (`instrument_…` and `target_info`) do not get the label.
    ///
    /// If a function has an own label (`labels(…)`) of the same name, that label overrides
    /// the global label on the series of the function. `install` returns an error if the
    /// name is invalid, reserved or given twice.
    pub fn global_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.global_labels.push((name.into(), value.into()));
        self
    }

    /// Sets the version of the application, usually `env!("CARGO_PKG_VERSION")`.
    ///
    /// The version is the label `service_version` of the metric `target_info`, and the
    /// label `version` of the target that [`file_sd`](Self#method.file_sd) writes.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Sets whether series have the label `app_name`.
    ///
    /// Defaults to `true`, and to `false` with [`MetricNames::opentelemetry`]. With `false`,
    /// the name of the application is still the label
    /// `service_name` of the metric `target_info`. A query can join `target_info` by `job`
    /// and `instance`:
    ///
    /// ```promql
    /// requests_total * on (job, instance) group_left (service_name) target_info
    /// ```
    pub fn app_name_label(mut self, is_shown: bool) -> Self {
        self.app_name_label = Some(is_shown);
        self
    }

    /// Sets the names of the call metrics and of their labels.
    ///
    /// Defaults to [`MetricNames::default`]. [`MetricNames::opentelemetry`] also changes which
    /// metrics and labels there are.
    ///
    /// # Name collisions
    ///
    /// The application may record a metric of its own under one of these names, or under
    /// a name that the page writes in the same way, such as `requests.total`. If both
    /// metrics have the same type, their series appear together. If the types differ, the
    /// application's metric is left out, because a page can contain a metric name only
    /// once, and a message on stderr reports the missing metric. A metric of the
    /// application with the name of one of the exporter's own metrics (`instrument_…`,
    /// `request_objective_ratio` or `target_info`) is always left out, and so is one with the
    /// name of a metric of the feature `tokio`.
    pub fn names(mut self, names: MetricNames) -> Self {
        self.names = names;
        self
    }

    /// Limits the number of series of each call metric (cardinality).
    ///
    /// The application's own metrics are not limited. Neither are the objectives that are
    /// known when the metrics are installed.
    ///
    /// Defaults to 2,000, as in OpenTelemetry's SDKs. The minimum is 1. Beyond the limit,
    /// all calls that need a new series are counted in one additional series with the
    /// label `overflow="true"`.
    pub fn max_series(mut self, series: usize) -> Self {
        self.max_series = series;
        self
    }

    /// Turns the live view off: the exporter answers requests for `/` with 404.
    ///
    /// By default, the exporter serves the [live view](Exporter#the-live-view) on `/`. The
    /// handlers `axum::live_view` and `actix_web::live_view` are not affected.
    pub fn without_live_view(mut self) -> Self {
        self.live_view = false;
        self
    }

    /// Sets the URL of Prometheus, to which the [live view](Exporter#the-live-view) links.
    ///
    /// Each number in the live view shows its PromQL query. With this URL, each query is also
    /// a link to the graph page of Prometheus. Defaults to no links.
    ///
    /// `url` is the URL at which a browser reaches Prometheus. It includes the path prefix if
    /// Prometheus is served under a prefix (`--web.external-url`). Everyone who can open the
    /// live view can read this URL.
    ///
    /// `install` returns an error if `url` is not an `http://` or `https://` URL with a host,
    /// or if it contains a user name, a password, a query or a fragment.
    ///
    /// # Examples
    ///
    /// ```
    /// # let builder = instrument_runtime::builder("webapp_1");
    /// builder.prometheus_url("http://prometheus:9090")
    /// # ;
    /// ```
    pub fn prometheus_url(mut self, url: impl Into<String>) -> Self {
        self.prometheus_url = Some(url.into());
        self
    }

    /// Registers this instance with Prometheus's file-based service discovery.
    ///
    /// Writes a target file into `folder` once the listener is bound.
    /// [`Exporter::shutdown`] removes the file. Defaults to no registration.
    ///
    /// The target has the labels `app_name`, `instance` (the address) and, if
    /// [`version`](Self::version) is set, `version`. The process id is available for
    /// relabelling as `__meta_pid`. Configure Prometheus as follows:
    ///
    /// ```yaml
    /// scrape_configs:
    ///   - job_name: webapp
    ///     honor_labels: true # `app_name` is on the target and on its series
    ///     file_sd_configs: [{ files: ["targets/*.json"] }]
    /// ```
    ///
    /// The folder must exist. Several instances can share the folder, even from different
    /// containers, and the folder may contain other files. A target file is written
    /// atomically, so Prometheus never reads a partial file.
    ///
    /// A process that ends without `shutdown` (killed by `SIGKILL`, for example) leaves
    /// its target file behind. Therefore handle `SIGTERM`, and call `shutdown` after your
    /// server has stopped. The next instance that starts in the same folder removes stale
    /// target files. To detect them, each live instance holds a lock on its target file,
    /// and the operating system releases the lock when the process ends. If the folder is
    /// on a network file system, that file system must support `flock`.
    ///
    /// If Prometheus cannot read the folder, serve the result of
    /// [`http_sd`](crate::http_sd) over HTTP.
    ///
    /// Unix only.
    #[cfg(unix)]
    pub fn file_sd(mut self, folder: impl Into<PathBuf>) -> Self {
        self.discovery.folder = Some(folder.into());
        self
    }

    /// Sets the address that the target file advertises, as `host:port`.
    ///
    /// Has an effect only with [`file_sd`](Self::file_sd). Defaults to the address of the
    /// listener. If Prometheus cannot use that address (because it is unspecified, such as
    /// `0.0.0.0`, or because there is no TCP listener), `install` returns an error that asks
    /// for this setting.
    ///
    /// Unix only.
    #[cfg(unix)]
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.discovery.advertise = Some(address.into());
        self
    }

    /// Turns the library's messages on stderr off, once `install` has succeeded.
    ///
    /// By default, the library reports mistakes that keep an application from seeing its
    /// metrics, such as a handler that runs outside the requests that the layer counts.
    /// [Diagnostics](crate#diagnostics) lists the messages. It also describes the
    /// environment variable `INSTRUMENT_DIAGNOSTICS`, which applies before `install` too.
    pub fn without_diagnostics(mut self) -> Self {
        self.diagnostics = false;
        self
    }

    /// Makes [`Exporter::shutdown`] wait up to `at_most` for one more scrape.
    ///
    /// Without this wait, the counts since the previous scrape are lost. A good value is
    /// slightly more than Prometheus's scrape interval. Defaults to zero: no wait. Has no
    /// effect without a listener.
    ///
    /// The wait ends when the response to a `GET` request for the page has been delivered.
    /// A `HEAD` request does not end the wait. Neither does a client that disconnects, or
    /// closes its side of the connection, before the response is delivered.
    pub fn wait_for_last_scrape(mut self, at_most: Duration) -> Self {
        self.last_scrape = at_most;
        self
    }

    /// Pushes the page to the Prometheus Pushgateway at `url`.
    ///
    /// The page is pushed at an [interval](Self::push_interval), and once more on
    /// [`Exporter::shutdown`] or [`Exporter::blocking_shutdown`]. Defaults to no push.
    ///
    /// This is for batch jobs that end before Prometheus would scrape them. A job that is
    /// shorter than the interval pushes once, at its end.
    ///
    /// `url` is the address of the gateway, for example `http://pushgateway:9091`. It
    /// includes the path prefix if the gateway is served under a prefix. For basic
    /// authentication, it includes `user:password@` (percent-encoded). TLS (`https://`) is
    /// not supported.
    ///
    /// Requires the feature `push`.
    ///
    /// # Do not push from a service
    ///
    /// Let Prometheus scrape everything that it can scrape. The gateway never forgets, so
    /// a dead job still looks alive; `up` describes the gateway, not the job; and the
    /// gateway is a single point of failure. See
    /// [When to use the Pushgateway](https://prometheus.io/docs/practices/pushing/).
    ///
    /// # What a push does
    ///
    /// - Each push replaces everything that was pushed before for the same job and
    ///   [group](Self::push_group), including the values of an earlier run. The last
    ///   values stay: nothing is deleted at the end.
    /// - Each run counts from zero, as after a restart. Read the values of one run
    ///   directly, or use `rate` over several runs.
    /// - Prometheus must scrape the gateway with `honor_labels: true`. Otherwise Prometheus
    ///   sets the label `job` to the name of the scrape job, and moves the pushed value to
    ///   `exported_job`.
    /// - A push times out after 5 seconds. The application never waits for a push, except
    ///   in `shutdown`.
    /// - A failed push is not retried. The next push is sent on schedule and contains all
    ///   counts. `instrument_pushes_total{outcome="ok"|"error"}` on every page counts the
    ///   pushes, and [`Exporter::last_push_error`] returns the error of the last push, if
    ///   that push failed. The first failure, and that of the last push, are also messages on
    ///   stderr. A pushed page does not count its own push. The gateway's metric
    ///   `push_time_seconds` shows when the page arrived.
    /// - The gateway writes the bounds of buckets as `le="1"` that the page writes as
    ///   `le="1.0"`. Prometheus 3 converts them back. With an earlier version, an
    ///   [`Objective`] whose threshold is a whole number of seconds does not match its bucket.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use instrument_runtime::instrumented;
    ///
    /// #[instrumented]
    /// async fn import(file: &str) -> std::io::Result<()> {
    ///     // …
    /// #   let _ = file;
    ///     Ok(())
    /// }
    ///
    /// #[tokio::main]
    /// async fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     let exporter = instrument_runtime::builder("nightly_import")
    ///         .without_listener()
    ///         .push("http://pushgateway:9091")
    ///         .install()?;
    ///     let imported = import("orders.csv").await;
    ///     exporter.shutdown().await; // also if the import failed: the failure was counted
    ///     Ok(imported?)
    /// }
    /// ```
    #[cfg(feature = "push")]
    pub fn push(mut self, url: impl Into<String>) -> Self {
        self.push.url = Some(url.into());
        self
    }

    /// Sets the time from the end of one push to the start of the next.
    ///
    /// The first push is sent one interval after `install`. Defaults to 15 seconds, the
    /// scrape interval in Prometheus's example configuration. Must not be zero.
    ///
    /// See [`push`](Self::push). Requires the feature `push`.
    #[cfg(feature = "push")]
    pub fn push_interval(mut self, interval: Duration) -> Self {
        self.push.interval = interval;
        self
    }

    /// Sets the label `job` under which the page is pushed.
    ///
    /// Defaults to the name of the application: `OTEL_SERVICE_NAME` if it is set, otherwise
    /// the name that was passed to [`builder`]. Must not be empty.
    ///
    /// See [`push`](Self::push). Requires the feature `push`.
    #[cfg(feature = "push")]
    pub fn push_job(mut self, job: impl Into<String>) -> Self {
        self.push.job = Some(job.into());
        self
    }

    /// Adds a label by which the gateway groups pushed metrics, in addition to `job`.
    ///
    /// A push replaces only the metrics of its own group, so runs with different group
    /// labels do not replace each other. The usual label is `instance`, if several hosts
    /// run the same job. Each call adds a label.
    ///
    /// Do not use a value that differs in each run, because the gateway keeps every group
    /// until it is deleted. Do not use the name of a label that your metrics have, because
    /// the gateway overwrites that label.
    ///
    /// See [`push`](Self::push). Requires the feature `push`.
    #[cfg(feature = "push")]
    pub fn push_group(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.push.group.push((label.into(), value.into()));
        self
    }
}
