//! Prometheus's HTTP service discovery, answered from a folder of target files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::discovery::{lock, target_file};

/// Returns the JSON answer for Prometheus's [HTTP service discovery]: the targets of all
/// live instances that wrote a target file into `folder` with
/// [`file_sd`](crate::Builder::file_sd).
///
/// Use this function where Prometheus cannot read the folder itself. Serve the JSON as
/// `application/json` on a route of your own, in an instance or in a small registry.
/// An instance that was killed is left out at once, although its file stays in the
/// folder until the next instance starts.
///
/// This function reads files, so it may block. Unix only.
///
/// [HTTP service discovery]: https://prometheus.io/docs/prometheus/latest/http_sd/
///
/// # Errors
///
/// Returns an error if the folder cannot be read.
///
/// # Examples
///
/// ```no_run
/// # #[cfg(feature = "axum")]
/// # fn routes() -> axum::Router {
/// use axum::http::header::CONTENT_TYPE;
/// use axum::response::{IntoResponse, Response};
/// use axum::{Router, http::StatusCode, routing::get};
///
/// async fn targets() -> Response {
///     match instrument_runtime::http_sd("targets/") {
///         Ok(json) => ([(CONTENT_TYPE, "application/json")], json).into_response(),
///         // After an error, Prometheus keeps its previous targets.
///         Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
///     }
/// }
///
/// # let app: Router =
/// Router::new().route("/targets", get(targets))
/// # ; app
/// # }
/// ```
///
/// ```yaml
/// scrape_configs:
///   - job_name: webapp
///     honor_labels: true # `app_name` is on the target and on its series
///     http_sd_configs:
///       - url: http://registry:9465/targets
///         refresh_interval: 5s
/// ```
pub fn http_sd(folder: impl AsRef<Path>) -> io::Result<String> {
    let groups: Vec<String> = target_file::all(folder.as_ref())?
        .iter()
        // A file that cannot be read has been removed in the meantime, or is not a
        // target file.
        .filter_map(|path| live_group(path).ok().flatten())
        .collect();
    Ok(format!("[{}]\n", groups.join(",\n")))
}

/// Returns the target group in this file, or `None` if its instance is dead.
fn live_group(path: &Path) -> io::Result<Option<String>> {
    let mut file = File::open(path)?;
    if lock::is_abandoned(&file) {
        return Ok(None);
    }
    let mut list = String::new();
    file.read_to_string(&mut list)?;
    let group = list
        .trim()
        .strip_prefix('[')
        .and_then(|list| list.strip_suffix(']'));
    Ok(group.map(str::to_owned))
}
