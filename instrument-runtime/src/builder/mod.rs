//! The settings of an installation.

mod check;
mod environment;
mod install;

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

/// Installs the metrics under this name and serves them on
/// `http://127.0.0.1:9464/metrics`: `builder(name).install()`.
///
/// `app_name` is a label on every series. The standard variables
/// `OTEL_EXPORTER_PROMETHEUS_HOST` and `OTEL_EXPORTER_PROMETHEUS_PORT` move the
/// page. Works inside any async runtime and in none; dropping what it returns
/// stops nothing.
///
/// ```no_run
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     instrument_runtime::init("webapp_1")?;
///     // … serve the application
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// See [`InitError`]; most likely the port is taken, or `init` was called before.
pub fn init(app_name: impl Into<String>) -> Result<Exporter, InitError> {
    builder(app_name).install()
}

/// Starts from the defaults that [`init`] takes.
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

/// The settings of an installation; see [`builder`]. Nothing is checked and
/// nothing happens before [`install`](Self::install).
#[derive(Clone, Debug)]
#[must_use = "nothing is installed before `.install()`"]
pub struct Builder {
    app_name: String,
    /// `None`: where the environment says.
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
    /// Serves the page on this address; port 0 takes a free one, which
    /// [`Exporter::local_addr`] tells. The last of the `listen` calls counts.
    ///
    /// [`Exporter`](Exporter#the-endpoint) lists what the endpoint answers.
    pub fn listen(mut self, addr: impl Into<SocketAddr>) -> Self {
        self.target = Some(Target::Tcp(vec![addr.into()]));
        self
    }

    /// Serves the page on a Unix socket.
    ///
    /// A socket that a killed process left behind is replaced: one that refuses
    /// connections (`ECONNREFUSED`). Any other file at this path, and any other
    /// answer, is an error. [`Exporter::shutdown`] removes the socket, unless the
    /// path is another process's by then.
    ///
    /// The file's permissions decide who may read the page.
    ///
    /// Unix only.
    #[cfg(unix)]
    pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.target = Some(Target::Unix(path.into()));
        self
    }

    /// Serves no page: for an application that shows
    /// [`Exporter::render`] on a route of its own.
    pub fn without_listener(mut self) -> Self {
        self.target = Some(Target::None);
        self
    }

    /// Answers this address or range only (`"10.0.0.7"`, `"10.0.0.0/8"`,
    /// `"fd00::/8"`), and whatever else is allowed the same way; without any,
    /// everybody. A v4 range also matches v4 peers of a v6 socket.
    pub fn allow(mut self, range: impl Into<String>) -> Self {
        self.allow.push(range.into());
        self
    }

    /// The histogram's upper bounds in seconds, rising; `+Inf` is added. The
    /// default are those of OpenTelemetry's `http.server.request.duration` with
    /// 0.0005, 0.001 and 0.0025 below them.
    ///
    /// The histograms that the application itself records through `metrics` have
    /// the same bounds, whatever their unit is, unless
    /// [`buckets_for`](Self::buckets_for) sets others.
    pub fn buckets(mut self, bounds: &[f64]) -> Self {
        self.buckets = bounds.to_vec();
        self
    }

    /// Sets the upper bounds of one histogram that the application records itself
    /// through `metrics`, in that histogram's own unit. For a metric given twice,
    /// the last call counts.
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

    /// Adds a label to every series, beside `app_name`. A label of the same name that
    /// a function has of its own (`labels(…)`) overrides it on that function's series.
    pub fn global_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.global_labels.push((name.into(), value.into()));
        self
    }

    /// Sets the names of the three metrics and of their labels.
    ///
    /// The application may record a metric under one of these names itself, or under
    /// one that the page writes alike, such as `requests.total`. If its kind is the
    /// same, it is shown among the series of calls. If not, it is not on the page,
    /// because a page can have a name only once; a message on stderr says so, once for
    /// each name. The same holds for the exporter's own metrics (`instrument_…`).
    pub fn names(mut self, names: MetricNames) -> Self {
        self.names = names;
        self
    }

    /// The bound on the series of one metric (2,000 unless set, as in
    /// OpenTelemetry's SDKs). What is past it is counted in one series with the
    /// label `overflow="true"`.
    pub fn max_series(mut self, series: usize) -> Self {
        self.max_series = series;
        self
    }

    /// Makes Prometheus find this instance: writes a file of its own into this
    /// folder, in the format of Prometheus's file-based discovery, once the
    /// listener is bound, and removes it on [`Exporter::shutdown`].
    ///
    /// The target has the labels `app_name`, `instance` (the address) and, where
    /// [`version`](Self::version) is set, `version`; the process's id
    /// is there for relabelling as `__meta_pid`. In Prometheus:
    ///
    /// ```yaml
    /// scrape_configs:
    ///   - job_name: webapp
    ///     honor_labels: true # `app_name` is on the target and on its series
    ///     file_sd_configs: [{ files: ["targets/*.json"] }]
    /// ```
    ///
    /// The folder must exist; it may be shared by many instances, also from
    /// several containers, and hold other files. The file appears whole or not at
    /// all. A process that ends without `shutdown`, by SIGKILL for one, leaves its
    /// file behind; call `shutdown` after your server's graceful end on SIGTERM.
    /// The next instance to start in the folder removes what such a one left: a
    /// live one holds a lock on its file, which ends with the process. A folder
    /// on a network must therefore support `flock`.
    ///
    /// Where Prometheus cannot read the folder, [`http_sd`](crate::http_sd)
    /// serves it.
    ///
    /// Unix only.
    #[cfg(unix)]
    pub fn file_sd(mut self, folder: impl Into<PathBuf>) -> Self {
        self.discovery.folder = Some(folder.into());
        self
    }

    /// Where others reach the page, as `host:port`; for
    /// [`file_sd`](Self::file_sd). Without it the listener's own address is told,
    /// unless that is all of them (`0.0.0.0`), when `install` asks for it.
    ///
    /// Unix only.
    #[cfg(unix)]
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.discovery.advertise = Some(address.into());
        self
    }

    /// The label `version` of this instance's target: mostly
    /// `env!("CARGO_PKG_VERSION")` of the application.
    ///
    /// Unix only.
    #[cfg(unix)]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.discovery.version = Some(version.into());
        self
    }

    /// Says nothing on stderr. Otherwise the library says once, for example, that
    /// a handler runs outside of the requests that the layer counts. See
    /// [Silence](crate#silence) for what it says and when, and for the environment
    /// variable `INSTRUMENT_DIAGNOSTICS`, which also counts before `install`.
    pub fn without_diagnostics(mut self) -> Self {
        self.diagnostics = false;
        self
    }

    /// [`Exporter::shutdown`] first waits for one more scrape, for at most this
    /// long, so that what was counted since the scrape before is not lost. Only a
    /// `GET` of the page counts whose answer was delivered: neither a `HEAD` nor a
    /// scraper that hangs up or closes its side of the connection. A
    /// little more than Prometheus's scrape interval will do; zero, the default,
    /// waits for none. Without a listener there is nothing to wait for.
    pub fn wait_for_last_scrape(mut self, at_most: Duration) -> Self {
        self.last_scrape = at_most;
        self
    }

    /// Pushes the page to the Prometheus Pushgateway at this URL (feature `push`):
    /// at an [interval](Self::push_interval), and once more on
    /// [`Exporter::shutdown`] or [`Exporter::blocking_shutdown`].
    ///
    /// For a batch job that ends before Prometheus would scrape it; one that is
    /// shorter than the interval pushes once, at its end.
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
    ///     exporter.shutdown().await; // also where the work failed: it was counted
    ///     if let Some(error) = exporter.last_push_error() {
    ///         eprintln!("the counts did not arrive: {error}");
    ///     }
    ///     Ok(imported?)
    /// }
    /// ```
    ///
    /// Whatever can be scraped should be, a service for one: the gateway forgets
    /// nothing, so that who was pushed by looks alive for ever, Prometheus's `up`
    /// tells of the gateway only, and all depend on it. Prometheus has more on
    /// [when to push](https://prometheus.io/docs/practices/pushing/).
    ///
    /// - Each push replaces what the same job and [group](Self::push_group) pushed
    ///   before, the run before this one included. The last values stay; nothing
    ///   is deleted at the end.
    /// - Each run counts from zero. Look at a run's values as they are, or with
    ///   `rate` over several runs, as after a restart.
    /// - Prometheus scrapes the gateway with `honor_labels: true`, so that `job`
    ///   is the one that was pushed for.
    /// - A push has 5 seconds and does not wait for the application, nor the
    ///   application for it. `instrument_pushes_total{outcome="ok"|"error"}` counts
    ///   them on every page, and [`Exporter::last_push_error`] tells what was wrong.
    ///   One that failed is not repeated; the next is on time, and has all counts.
    ///   A pushed page does not have its own push in it; the gateway's
    ///   `push_time_seconds` tells of that.
    /// - The URL is the gateway's own, with the path it is served under, if any,
    ///   and `user:password@` (percent-encoded) for basic authentication. Plain
    ///   `http://` only.
    #[cfg(feature = "push")]
    pub fn push(mut self, url: impl Into<String>) -> Self {
        self.push.url = Some(url.into());
        self
    }

    /// From the end of one [push](Self::push) to the next; before the first, from
    /// `install`. 15 seconds unless set, the scrape interval in the configuration
    /// that Prometheus comes with.
    #[cfg(feature = "push")]
    pub fn push_interval(mut self, interval: Duration) -> Self {
        self.push.interval = interval;
        self
    }

    /// The label `job` of what is [pushed](Self::push); the application's name
    /// unless set.
    #[cfg(feature = "push")]
    pub fn push_job(mut self, job: impl Into<String>) -> Self {
        self.push.job = Some(job.into());
        self
    }

    /// A label that the gateway groups by, beside `job`: runs that differ in one
    /// stand side by side instead of replacing each other. `instance`, mostly,
    /// where several hosts run the job; never something new in each run, for the
    /// gateway keeps all of them, and never a label of your metrics, which the
    /// gateway would overwrite.
    #[cfg(feature = "push")]
    pub fn push_group(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.push.group.push((label.into(), value.into()));
        self
    }
}
