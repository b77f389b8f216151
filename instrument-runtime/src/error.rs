//! Why an installation was refused.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why [`Builder::install`](crate::Builder::install) refused. Nothing is left
/// half-installed: no port stays bound, no thread runs, no recorder is set, and
/// a corrected `install` in the same process succeeds.
///
/// Its `Debug` says the same as its `Display`: it is what a `main` shows that
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
        "cannot listen on {addr}: {source}; choose another address with `.listen(…)` or \
         OTEL_EXPORTER_PROMETHEUS_PORT (0 takes any free port)"
    )]
    Listen {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },

    /// Nothing can listen on this Unix socket.
    #[error("cannot listen on the Unix socket {}: {source}", path.display())]
    ListenUnix {
        /// The path that was asked for.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// A standard environment variable holds what it cannot.
    #[error("{variable}={value:?} is {expected}")]
    Environment {
        /// The variable's name.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What is wrong with that, and what it should hold.
        expected: String,
    },

    /// Neither an IP address nor a range of them.
    #[error(
        "`.allow({value:?})` is neither an IP address such as 10.0.0.7 nor a range such as \
         10.0.0.0/8"
    )]
    Allow {
        /// What was given.
        value: String,
    },

    /// A global label that Prometheus does not take or that is written already.
    #[error("the global label {name:?} {problem}")]
    GlobalLabel {
        /// The label's name.
        name: String,
        /// What is wrong with it, and the way out.
        problem: &'static str,
    },

    /// A bucket bound that cannot be one.
    #[error("{problem}")]
    Buckets {
        /// The setting, the bound at fault and what is wrong with it.
        problem: String,
    },

    /// A metric name that Prometheus does not take, or that two metrics share.
    #[error("the metric name {name:?} {problem}")]
    MetricName {
        /// The name.
        name: String,
        /// What is wrong with it, and the way out.
        problem: &'static str,
    },

    /// `.max_series(0)` would leave no series at all.
    #[error("`.max_series(0)` leaves no series; the least is 1")]
    MaxSeries,

    /// This instance's target cannot be written.
    #[error(
        "cannot write this instance's target into `.file_sd({:?})`: {source}; the folder must exist \
         and be writable",
        folder
    )]
    FileSd {
        /// The folder that was asked for.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
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
    NotAdvertised {
        /// The folder of the targets.
        folder: PathBuf,
        /// Where the page is served.
        local_addr: Option<SocketAddr>,
    },

    /// An advertised address that Prometheus could not scrape.
    #[error("`.advertise({value:?})` {problem}")]
    Advertise {
        /// What was given.
        value: String,
        /// What is wrong with it, and the way out.
        problem: &'static str,
    },

    /// A push that cannot be made.
    #[cfg(feature = "push")]
    #[error("`{setting}` {problem}")]
    Push {
        /// The setting as it was called, without a password.
        setting: String,
        /// What is wrong with it, and the way out.
        problem: &'static str,
    },

    /// The exporter's thread could not start.
    #[error("cannot start the exporter's thread: {source}")]
    Thread {
        /// What the operating system said.
        source: io::Error,
    },
}

impl fmt::Debug for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
