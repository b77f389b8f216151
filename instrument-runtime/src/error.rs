//! The public errors: [`InitError`] and [`PushError`].
//!
//! A message says what happened, names the value at fault, and says what to do.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The error of [`init`](crate::init) and [`Builder::install`](crate::Builder::install).
///
/// After an error, nothing is left half-installed: no port stays bound, no thread keeps
/// running, and no recorder is set. The application can correct the settings and call
/// `install` again.
///
/// The message includes the error of the operating system, if there is one.
/// [`source`](std::error::Error::source) therefore always returns `None`. `Debug` prints
/// the same message as `Display`, because Rust prints an error that `main` returns with
/// `Debug`.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// This process already has a global metrics recorder.
    #[error(
        "a metrics recorder is already installed in this process; call `install` (or `init`) once, \
         early in `main`"
    )]
    AlreadyInstalled,

    /// The TCP listener could not be bound.
    #[error(
        "cannot listen on {addr}: {error}; choose another address with `.listen(…)`, or another \
         port with OTEL_EXPORTER_PROMETHEUS_PORT (0 picks a free port)"
    )]
    #[non_exhaustive]
    Listen {
        /// The configured address.
        addr: SocketAddr,
        /// The error of the operating system.
        error: io::Error,
    },

    /// The Unix socket could not be bound.
    #[error(
        "cannot listen on the Unix socket {}: {error}; `.listen_unix(…)` needs an unused path in \
         an existing, writable folder",
        path.display()
    )]
    #[non_exhaustive]
    ListenUnix {
        /// The configured path.
        path: PathBuf,
        /// The error of the operating system, or a description of the file at this path.
        error: io::Error,
    },

    /// An environment variable has an invalid value.
    #[error("{variable}={value:?} {problem}")]
    #[non_exhaustive]
    Environment {
        /// The name of the variable.
        variable: &'static str,
        /// The value of the variable.
        value: String,
        /// What is wrong with the value, and what to set instead.
        problem: String,
    },

    /// A known method is not an HTTP method.
    #[error(
        "`.known_methods(…)` contains {method:?}, which is not an HTTP method; give methods such \
         as \"GET\" or \"PROPFIND\""
    )]
    #[non_exhaustive]
    KnownMethod {
        /// The configured method.
        method: String,
    },

    /// The allow list contains something that is not an IP address or a CIDR range.
    #[error(
        "`.allow({value:?})` is neither an IP address nor a CIDR range; give one, such as 10.0.0.7 \
         or 10.0.0.0/8"
    )]
    #[non_exhaustive]
    Allow {
        /// The value that was given.
        value: String,
    },

    /// A global label has a name that is invalid, reserved or already used.
    #[error("the global label {name:?} {problem}")]
    #[non_exhaustive]
    GlobalLabel {
        /// The name of the label.
        name: String,
        /// What is wrong with the name, and what to do.
        problem: String,
    },

    /// A list of bucket bounds is empty, a bound is invalid, or
    /// [`buckets_for`](crate::Builder::buckets_for) names the latency histogram of calls.
    #[error("{problem}")]
    #[non_exhaustive]
    Buckets {
        /// The setting, what is wrong with it, and what to do.
        problem: String,
    },

    /// A metric name is invalid or already used.
    #[error("the metric name {name:?} {problem}")]
    #[non_exhaustive]
    MetricName {
        /// The name.
        name: String,
        /// What is wrong with the name, and what to do.
        problem: String,
    },

    /// An [`Objective`](crate::Objective) of a route has no target, or two objectives have the
    /// same name and different targets.
    #[error("the objective {name:?} {problem}")]
    #[non_exhaustive]
    Objective {
        /// The name of the objective.
        name: String,
        /// What is wrong with the objective, and what to do.
        problem: String,
    },

    /// The route of an [`objective`](crate::Builder::objective) is not a route.
    #[error("`.objective({route:?}, …)`: {problem}")]
    #[non_exhaustive]
    ObjectiveRoute {
        /// The route that was given.
        route: String,
        /// What is wrong with the route, and what to do.
        problem: String,
    },

    /// [`max_series`](crate::Builder::max_series) is 0, which would allow no series.
    #[error("`.max_series(0)` allows no series; give at least 1")]
    MaxSeries,

    /// The URL of Prometheus is not an `http://` or `https://` URL, or has parts that it must
    /// not have.
    #[error("`.prometheus_url({url:?})` {problem}")]
    #[non_exhaustive]
    PrometheusUrl {
        /// The configured URL, without a user name and a password.
        url: String,
        /// What is wrong with the URL, and what to do.
        problem: String,
    },

    /// The target file of this instance could not be written.
    #[error(
        "cannot write this instance's target file into `.file_sd({:?})`: {error}; the folder must \
         exist and be writable",
        folder
    )]
    #[non_exhaustive]
    FileSd {
        /// The configured folder.
        folder: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },

    /// The target file needs an address at which Prometheus can reach this instance, but
    /// the listener has no such address and `advertise` is not set.
    #[error(
        "`.file_sd({folder:?})` needs an address at which Prometheus can reach this instance, but \
         {}; add `.advertise(\"host:port\")`",
        match local_addr {
            Some(addr) => format!("the page listens on every interface ({addr})"),
            None => "the page has no TCP listener".to_owned(),
        }
    )]
    #[non_exhaustive]
    NotAdvertised {
        /// The configured folder.
        folder: PathBuf,
        /// The address of the listener. `None` without a TCP listener.
        local_addr: Option<SocketAddr>,
    },

    /// Prometheus cannot scrape the advertised address.
    #[error("`.advertise({value:?})` {problem}")]
    #[non_exhaustive]
    Advertise {
        /// The value that was given.
        value: String,
        /// What is wrong with the value, and what to do.
        problem: String,
    },

    /// A setting of [`push`](crate::Builder::push) is invalid.
    #[cfg(feature = "push")]
    #[error("`{setting}` {problem}")]
    #[non_exhaustive]
    Push {
        /// The builder call with its arguments, without the password.
        setting: String,
        /// What is wrong with the setting, and what to do.
        problem: String,
    },

    /// The exporter's thread could not be started.
    #[error(
        "cannot start the exporter's thread: {error}; check the process's limits on threads and \
         open files"
    )]
    #[non_exhaustive]
    Thread {
        /// The error of the operating system.
        error: io::Error,
    },
}

impl fmt::Debug for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The error of a push that did not reach the Pushgateway, or that the gateway rejected.
///
/// Returned by [`Exporter::last_push_error`](crate::Exporter::last_push_error). The
/// message contains the URL of the push, without the password, and the cause.
#[cfg_attr(
    not(feature = "push"),
    allow(dead_code, reason = "used only by the feature `push`")
)]
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the push to {url} failed: {problem}")]
pub struct PushError {
    url: String,
    problem: String,
    status: Option<u16>,
}

#[cfg_attr(
    not(feature = "push"),
    allow(dead_code, reason = "used only by the feature `push`")
)]
impl PushError {
    pub(crate) fn new(url: String, problem: impl Into<String>, status: Option<u16>) -> Self {
        Self {
            url,
            problem: problem.into(),
            status,
        }
    }

    /// Returns the HTTP status with which the gateway rejected the push.
    ///
    /// `None` if no response arrived.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }
}
