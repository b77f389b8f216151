//! Why an installation was refused.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why [`Builder::install`](crate::Builder::install) refused.
///
/// Nothing is left half-installed: no port stays bound, no thread runs, and no
/// recorder is set. A corrected `install` in the same process succeeds.
///
/// The message is complete: where the operating system refused something, the message
/// contains the operating system's reason, and [`source`](std::error::Error::source)
/// is `None`. `Debug` prints the message too, because that is what a `main` shows that
/// returns the error.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// This process has a metrics recorder already.
    #[error(
        "a metrics recorder is installed in this process already; call `install` (or `init`) once, \
         early in `main`"
    )]
    AlreadyInstalled,

    /// Nothing can listen on this address.
    #[error(
        "cannot listen on {addr}: {error}; choose another address with `.listen(…)` or \
         OTEL_EXPORTER_PROMETHEUS_PORT (0 takes any free port)"
    )]
    #[non_exhaustive]
    Listen {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the operating system said.
        error: io::Error,
    },

    /// Nothing can listen on this Unix socket.
    #[error("cannot listen on the Unix socket {}: {error}", path.display())]
    #[non_exhaustive]
    ListenUnix {
        /// The path that was asked for.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },

    /// A standard environment variable holds what it cannot.
    #[error("{variable}={value:?} {problem}")]
    #[non_exhaustive]
    Environment {
        /// The variable's name.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What is wrong with the value, and what the variable should hold.
        problem: String,
    },

    /// Neither an IP address nor a range of them.
    #[error(
        "`.allow({value:?})` is neither an IP address such as 10.0.0.7 nor a range such as \
         10.0.0.0/8"
    )]
    #[non_exhaustive]
    Allow {
        /// What was given.
        value: String,
    },

    /// A global label that Prometheus does not take or that is written already.
    #[error("the global label {name:?} {problem}")]
    #[non_exhaustive]
    GlobalLabel {
        /// The label's name.
        name: String,
        /// What is wrong with it, and the way out.
        problem: String,
    },

    /// A bucket bound that cannot be one.
    #[error("{problem}")]
    #[non_exhaustive]
    Buckets {
        /// The setting, the bound at fault and what is wrong with it.
        problem: String,
    },

    /// A metric name that Prometheus does not take, or that two metrics share.
    #[error("the metric name {name:?} {problem}")]
    #[non_exhaustive]
    MetricName {
        /// The name.
        name: String,
        /// What is wrong with it, and the way out.
        problem: String,
    },

    /// `.max_series(0)` would leave no series at all.
    #[error("`.max_series(0)` leaves no series; the least is 1")]
    MaxSeries,

    /// This instance's target cannot be written.
    #[error(
        "cannot write this instance's target into `.file_sd({:?})`: {error}; the folder must exist \
         and be writable",
        folder
    )]
    #[non_exhaustive]
    FileSd {
        /// The folder that was asked for.
        folder: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },

    /// Nobody could be told where this instance is.
    #[error(
        "`.file_sd({folder:?})` needs an address that others reach, and {}; add \
         `.advertise(\"host:port\")`",
        match local_addr {
            Some(addr) => format!("the page listens on all of them ({addr})"),
            None => "the page has no TCP listener".to_owned(),
        }
    )]
    #[non_exhaustive]
    NotAdvertised {
        /// The folder of the targets.
        folder: PathBuf,
        /// Where the page is served.
        local_addr: Option<SocketAddr>,
    },

    /// An advertised address that Prometheus could not scrape.
    #[error("`.advertise({value:?})` {problem}")]
    #[non_exhaustive]
    Advertise {
        /// What was given.
        value: String,
        /// What is wrong with it, and the way out.
        problem: String,
    },

    /// A push that cannot be made.
    #[cfg(feature = "push")]
    #[error("`{setting}` {problem}")]
    #[non_exhaustive]
    Push {
        /// The setting as it was called, without a password.
        setting: String,
        /// What is wrong with it, and the way out.
        problem: String,
    },

    /// The exporter's thread could not start.
    #[error("cannot start the exporter's thread: {error}")]
    #[non_exhaustive]
    Thread {
        /// What the operating system said.
        error: io::Error,
    },
}

impl fmt::Debug for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a push to the Pushgateway did not arrive.
///
/// Returned by [`Exporter::last_push_error`](crate::Exporter::last_push_error). The
/// message names the gateway, without a password, and what went wrong.
#[cfg_attr(not(feature = "push"), allow(dead_code, reason = "nothing is pushed"))]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {problem}")]
pub struct PushError {
    url: String,
    problem: String,
    status: Option<u16>,
}

#[cfg_attr(not(feature = "push"), allow(dead_code, reason = "nothing is pushed"))]
impl PushError {
    pub(crate) fn new(url: String, problem: impl Into<String>, status: Option<u16>) -> Self {
        Self {
            url,
            problem: problem.into(),
            status,
        }
    }

    /// Returns the HTTP status with which the gateway refused the page. `None` if the
    /// gateway did not answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }
}
