//! How Prometheus finds this instance, and how the instance takes its leave:
//! one file a live instance in a folder, and the same folder over HTTP.

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

/// What the builder was told of this instance's place among the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Discovery {
    pub(crate) folder: Option<PathBuf>,
    pub(crate) advertise: Option<String>,
    pub(crate) version: Option<String>,
}

/// The file of this instance, for as long as it is to be found.
#[cfg(unix)]
pub(crate) type Presence = target_file::TargetFile;
/// Elsewhere no builder asks for one.
#[cfg(not(unix))]
pub(crate) type Presence = std::convert::Infallible;

impl Discovery {
    /// Checks the settings and, where a folder is set, writes this instance's
    /// target into it. Dropping what is returned takes it away again.
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
