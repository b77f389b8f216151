//! Service discovery: how Prometheus finds this instance, and what happens when the
//! instance shuts down.
//!
//! - `mod`: [`Discovery`], the builder's settings.
//! - `target`: the advertised address and the JSON of one target.
//! - `target_file`: the file of one live instance in a shared folder (`file_sd`).
//! - [`lock`]: the file lock that shows whether an instance is alive.
//! - [`http_sd()`]: the live targets of a folder as the answer to HTTP discovery.
//! - [`departure`]: the graceful shutdown, which waits for a last scrape.
//!
//! What may block: `install` writes the target file on the calling thread, and `http_sd`
//! reads the folder on the calling thread. Removing the target file blocks the exporter's
//! thread. `departure` waits asynchronously.

pub(crate) mod departure;
#[cfg(unix)]
mod http_sd;
#[cfg(unix)]
pub(crate) mod lock;
#[cfg(unix)]
mod target;
#[cfg(unix)]
mod target_file;

use std::net::SocketAddr;
use std::path::PathBuf;

#[cfg(unix)]
pub use http_sd::http_sd;

use crate::error::InitError;

/// The builder's discovery settings, not yet checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Discovery {
    /// From `.file_sd(…)`.
    pub(crate) folder: Option<PathBuf>,
    /// From `.advertise(…)`.
    pub(crate) advertise: Option<String>,
    /// The `version` label of the target.
    pub(crate) version: Option<String>,
}

/// The target file of this instance. Dropping it removes the file.
#[cfg(unix)]
pub(crate) type Presence = target_file::TargetFile;
/// Other platforms have no target files, so the type has no value.
#[cfg(not(unix))]
pub(crate) type Presence = std::convert::Infallible;

impl Discovery {
    /// Checks the settings and, if a folder is set, writes this instance's target file
    /// into it. Dropping the returned [`Presence`] removes the file.
    #[cfg(unix)]
    pub(crate) fn publish(
        self,
        app_name: &str,
        local_addr: Option<SocketAddr>,
    ) -> Result<Option<Presence>, InitError> {
        if let Some(advertise) = &self.advertise {
            target::check(advertise)?;
        }
        let Some(folder) = self.folder else {
            return Ok(None);
        };
        let address = match self.advertise {
            Some(advertise) => advertise,
            None => target::of_listener(local_addr, &folder)?,
        };
        let version = self.version.as_deref();
        let contents = target::json(&address, app_name, version);
        target_file::TargetFile::write(&folder, app_name, &contents)
            .map(Some)
            .map_err(|error| InitError::FileSd { folder, error })
    }

    #[cfg(not(unix))]
    pub(crate) fn publish(
        self,
        _app_name: &str,
        _local_addr: Option<SocketAddr>,
    ) -> Result<Option<Presence>, InitError> {
        Ok(None)
    }
}
