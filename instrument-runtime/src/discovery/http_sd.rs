//! A folder of targets as Prometheus's HTTP discovery has it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::discovery::{lock, target_file};

/// What Prometheus's HTTP discovery is to be answered from a folder that
/// instances write themselves into with
/// [`file_sd`](crate::Builder::file_sd): the JSON of those that are alive.
///
/// Serve it as `application/json` on a route of your own, in an instance or in a
/// small registry, where Prometheus cannot read the folder itself. The file of
/// an instance that was killed is left out at once, and stays in the folder
/// until the next one starts.
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
///         // Prometheus keeps the targets it has.
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
///
/// Unix only.
///
/// # Errors
///
/// When the folder cannot be read.
pub fn http_sd(folder: impl AsRef<Path>) -> io::Result<String> {
    let groups: Vec<String> = target_file::all(folder.as_ref())?
        .iter()
        // One that cannot be read has gone meanwhile, or is no target.
        .filter_map(|path| live_group(path).ok().flatten())
        .collect();
    Ok(format!("[{}]\n", groups.join(",\n")))
}

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
