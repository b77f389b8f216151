//! [`Builder`]: the settings of an installation, as users write them.

mod check;
mod environment;
mod install;
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
use crate::push::PushSettings;
use crate::settings::{DEFAULT_BUCKETS, DEFAULT_MAX_SERIES};

/// Installs the metrics and serves them on `http://127.0.0.1:9464/metrics`.
///
/// Shorthand for `builder(app_name).install()`. `app_name` is the value of the label
/// `app_name` on every series.
///
/// The standard environment variables `OTEL_EXPORTER_PROMETHEUS_HOST` (default
/// `127.0.0.1`) and `OTEL_EXPORTER_PROMETHEUS_PORT` (default `9464`) change the address.
///
/// `init` works inside any async runtime and without one. Dropping the returned
/// [`Exporter`] does not stop it.
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
/// println!("http://{}/metrics", exporter.local_addr().unwrap());
/// # Ok(())
/// # }
/// ```
pub fn builder(app_name: impl Into<String>) -> Builder {
    Builder {
        app_name: app_name.into(),
        target: None,
        allow: Vec::new(),
        buckets: DEFAULT_BUCKETS.to_vec(),
        other_buckets: Vec::new(),
        global_labels: Vec::new(),
        names: MetricNames::default(),
        max_series: DEFAULT_MAX_SERIES,
        discovery: Discovery::default(),
        last_scrape: Duration::ZERO,
        diagnostics: true,
        push: PushSettings::default(),
    }
}

/// The settings of an installation.
///
/// Created by [`builder`]. [`install`](Self::install) checks the settings; nothing is
/// checked and nothing is started before.
#[derive(Clone, Debug)]
#[must_use = "nothing is installed before `.install()`"]
pub struct Builder {
    app_name: String,
    /// `None`: the address comes from the environment variables.
    target: Option<Target>,
    allow: Vec<String>,
    buckets: Vec<f64>,
    other_buckets: Vec<(String, Vec<f64>)>,
    global_labels: Vec<(String, String)>,
    names: MetricNames,
    max_series: usize,
    discovery: Discovery,
    last_scrape: Duration,
    diagnostics: bool,
    push: PushSettings,
}

impl Builder {
    /// Serves the page on a TCP address.
    ///
    /// Defaults to the address in the environment variables
    /// `OTEL_EXPORTER_PROMETHEUS_HOST` and `OTEL_EXPORTER_PROMETHEUS_PORT`, and to
    /// `127.0.0.1:9464` without them. If the host name has several addresses, the first
    /// one that can be bound is used. Port 0 picks a free port;
    /// [`Exporter::local_addr`] returns it.
    ///
    /// Of `listen`, `listen_unix` and `without_listener`, the last call wins.
    /// [`Exporter`](Exporter#the-endpoint) lists the paths and statuses of the endpoint.
    pub fn listen(mut self, addr: impl Into<SocketAddr>) -> Self {
        self.target = Some(Target::Tcp(vec![addr.into()]));
        self
    }

    /// Serves the page on a Unix socket instead of a TCP address.
    ///
    /// The permissions of the socket file decide who may read the page.
    ///
    /// A stale socket (one that refuses connections with `ECONNREFUSED`, because its
    /// process was killed) is replaced. Any other file at this path, and any other
    /// answer, is an error. [`Exporter::shutdown`] removes the socket file, unless
    /// another process has bound the path since.
    ///
    /// Unix only.
    #[cfg(unix)]
    pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.target = Some(Target::Unix(path.into()));
        self
    }

    /// Serves no page.
    ///
    /// For applications that serve [`Exporter::render`] on a route of their own, and for
    /// batch jobs that push.
    pub fn without_listener(mut self) -> Self {
        self.target = Some(Target::None);
        self
    }

    /// Allows an IP address or a CIDR range to read the page.
    ///
    /// For example `"10.0.0.7"`, `"10.0.0.0/8"` or `"fd00::/8"`. May be called several
    /// times; all other addresses then get a 403. Defaults to allowing every address.
    ///
    /// An IPv4 range also matches IPv4 peers of a dual-stack IPv6 socket. Peers of a
    /// Unix socket are always allowed: the permissions of the socket file apply instead.
    pub fn allow(mut self, range: impl Into<String>) -> Self {
        self.allow.push(range.into());
        self
    }

    /// Sets the upper bounds of the histogram buckets, in seconds.
    ///
    /// Defaults to the bounds that OpenTelemetry advises for
    /// `http.server.request.duration`, with three finer bounds below them: 0.0005, 0.001,
    /// 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10.
    ///
    /// The bounds must be finite and strictly increasing; `+Inf` is added.
    ///
    /// Histograms that the application itself records through the `metrics` facade get
    /// the same bounds, whatever their unit, unless [`buckets_for`](Self::buckets_for)
    /// sets others.
    pub fn buckets(mut self, bounds: &[f64]) -> Self {
        self.buckets = bounds.to_vec();
        self
    }

    /// Sets the upper bounds of the buckets of one of the application's own histograms.
    ///
    /// For a histogram that the application records through the `metrics` facade. The
    /// bounds are in the unit of that histogram. If the same metric is given twice, the
    /// last call wins. Defaults to the bounds of [`buckets`](Self::buckets).
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

    /// Adds a label to every series.
    ///
    /// The label stands beside `app_name`. A function's own label (`labels(…)`) of the
    /// same name overrides it on the series of that function.
    pub fn global_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.global_labels.push((name.into(), value.into()));
        self
    }

    /// Sets the names of the three metrics and of their labels.
    ///
    /// Defaults to [`MetricNames::default`].
    ///
    /// # Name collisions
    ///
    /// The application may record a metric of its own under one of these names, or under
    /// a name that is written the same way on the page, such as `requests.total`. If both
    /// metrics have the same type, their series appear together. If not, the
    /// application's metric is left out, because a page can contain a name only once;
    /// a message on stderr names it, once. The same holds for the exporter's own metrics
    /// (`instrument_…`).
    pub fn names(mut self, names: MetricNames) -> Self {
        self.names = names;
        self
    }

    /// Limits the number of series of each metric (the cardinality limit).
    ///
    /// Defaults to 2,000, as in OpenTelemetry's SDKs; the minimum is 1. Calls that would
    /// need a further series are counted in one series with the label
    /// `overflow="true"`.
    pub fn max_series(mut self, series: usize) -> Self {
        self.max_series = series;
        self
    }

    /// Registers this instance with Prometheus's file-based service discovery.
    ///
    /// Writes a target file into `folder` once the listener is bound.
    /// [`Exporter::shutdown`] removes the file. Defaults to no registration.
    ///
    /// The target has the labels `app_name`, `instance` (the address) and, if
    /// [`version`](Self::version) is set, `version`. The process id is available for
    /// relabelling as `__meta_pid`. In Prometheus:
    ///
    /// ```yaml
    /// scrape_configs:
    ///   - job_name: webapp
    ///     honor_labels: true # `app_name` is on the target and on its series
    ///     file_sd_configs: [{ files: ["targets/*.json"] }]
    /// ```
    ///
    /// The folder must exist. Many instances may share it, also from several containers,
    /// and it may contain other files. A target file is written atomically: Prometheus
    /// never sees half of one.
    ///
    /// A process that ends without `shutdown` (killed by `SIGKILL`, for example) leaves
    /// its target file behind; so call `shutdown` when your server has stopped on
    /// `SIGTERM`. The next instance that starts in the same folder removes stale target
    /// files. A live instance holds a lock on its file, and the operating system releases
    /// the lock when the process ends; a network file system must therefore support
    /// `flock`.
    ///
    /// If Prometheus cannot read the folder, [`http_sd`](crate::http_sd) serves its
    /// contents over HTTP.
    ///
    /// Unix only.
    #[cfg(unix)]
    pub fn file_sd(mut self, folder: impl Into<PathBuf>) -> Self {
        self.discovery.folder = Some(folder.into());
        self
    }

    /// Sets the address that the target file advertises, as `host:port`.
    ///
    /// For [`file_sd`](Self::file_sd). Defaults to the listener's own address. If the
    /// listener has none that others can use (`0.0.0.0`, a Unix socket or no listener),
    /// `install` returns an error that asks for this setting.
    ///
    /// Unix only.
    #[cfg(unix)]
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.discovery.advertise = Some(address.into());
        self
    }

    /// Sets the label `version` in the target file.
    ///
    /// For [`file_sd`](Self::file_sd). Usually the application's
    /// `env!("CARGO_PKG_VERSION")`. Defaults to no such label.
    ///
    /// Unix only.
    #[cfg(unix)]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.discovery.version = Some(version.into());
        self
    }

    /// Silences the library's messages on stderr.
    ///
    /// By default the library reports, once each, mistakes that keep metrics from being
    /// recorded: for example a handler that runs outside the requests that the layer
    /// counts. [Silence](crate#silence) lists the messages, and describes the environment
    /// variable `INSTRUMENT_DIAGNOSTICS`, which also applies before `install`.
    pub fn without_diagnostics(mut self) -> Self {
        self.diagnostics = false;
        self
    }

    /// Makes [`Exporter::shutdown`] wait for one more scrape, for at most this long.
    ///
    /// Without the wait, calls that were counted after the previous scrape are lost. A
    /// good value is slightly more than Prometheus's scrape interval. Defaults to zero:
    /// no wait. Has no effect without a listener.
    ///
    /// Only a `GET` of the page whose response was delivered ends the wait. A `HEAD`
    /// request does not, and neither does a scraper that hangs up or closes its side of
    /// the connection.
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
    /// `url` is the address of the gateway, with the path prefix under which it is
    /// served, if any, and with `user:password@` (percent-encoded) for basic
    /// authentication. Only plain `http://` is supported.
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
    /// - Prometheus must scrape the gateway with `honor_labels: true`. Otherwise the
    ///   label `job` is the gateway's own and not the pushed one.
    /// - A push times out after 5 seconds. The application never waits for a push, except
    ///   in `shutdown`.
    /// - A failed push is not retried. The next one is sent on schedule and contains all
    ///   counts. `instrument_pushes_total{outcome="ok"|"error"}` on every page counts the
    ///   pushes, and [`Exporter::last_push_error`] returns the last error. A pushed page
    ///   cannot count its own push; the gateway's `push_time_seconds` shows when it
    ///   arrived.
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
    ///     if let Some(error) = exporter.last_push_error() {
    ///         eprintln!("the counts did not arrive: {error}");
    ///     }
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
    /// The first push comes this long after `install`. Defaults to 15 seconds, the scrape
    /// interval in Prometheus's example configuration. Must not be zero.
    ///
    /// See [`push`](Self::push). Requires the feature `push`.
    #[cfg(feature = "push")]
    pub fn push_interval(mut self, interval: Duration) -> Self {
        self.push.interval = interval;
        self
    }

    /// Sets the label `job` under which the page is pushed.
    ///
    /// Defaults to the application's name. Must not be empty.
    ///
    /// See [`push`](Self::push). Requires the feature `push`.
    #[cfg(feature = "push")]
    pub fn push_job(mut self, job: impl Into<String>) -> Self {
        self.push.job = Some(job.into());
        self
    }

    /// Adds a label by which the gateway groups pushed metrics, beside `job`.
    ///
    /// Runs with different group labels stand side by side instead of replacing each
    /// other. Usually `instance`, when several hosts run the same job. May be called
    /// several times.
    ///
    /// Do not use a value that is new in each run, because the gateway keeps every group
    /// for ever. Do not use a label that your metrics have, because the gateway
    /// overwrites it.
    ///
    /// See [`push`](Self::push). Requires the feature `push`.
    #[cfg(feature = "push")]
    pub fn push_group(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.push.group.push((label.into(), value.into()));
        self
    }
}
