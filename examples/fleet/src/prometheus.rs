//! Runs a Prometheus server and queries it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::process::{Process, program};
use crate::{free_port, wait_for};

/// The labels of a series.
pub type Labels = BTreeMap<String, String>;

/// A target that Prometheus scrapes, or tries to scrape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// `host:port`.
    pub instance: String,
    /// `up`, `down` or, before the first scrape, `unknown`.
    pub health: String,
    /// The scrape job to which the target belongs.
    pub job: String,
    /// The labels from service discovery, before relabelling.
    pub labels: Labels,
}

/// A running Prometheus server. Dropping it stops the server.
#[derive(Debug)]
pub struct Prometheus {
    _process: Process,
    /// The address of the web interface and the HTTP API.
    pub addr: SocketAddr,
}

impl Prometheus {
    /// Starts a Prometheus server that stores its data in `folder` and evaluates the rules
    /// in `deploy/prometheus/rules.yml`.
    ///
    /// The job `webapp` discovers its targets through the target files in the folder
    /// `targets`. `more` is YAML that is appended to the list of scrape configurations.
    ///
    /// # Errors
    ///
    /// Returns an error with Prometheus's log if the server does not start within 30 seconds.
    pub fn start(folder: &Path, targets: &Path, more: &str) -> anyhow::Result<Self> {
        let rules = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../deploy/prometheus/rules.yml"
        );
        let targets = targets.display();
        let configuration = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{rules}']\n\
             scrape_configs:\n\
             - job_name: webapp\n\
             \x20 honor_labels: true\n\
             \x20 file_sd_configs: [{{files: ['{targets}/*.json']}}]\n\
             {more}"
        );
        Self::start_with(&program("prometheus")?, folder, &configuration, &[])
    }

    /// Starts the Prometheus server `program` with this configuration and these additional
    /// command line arguments.
    ///
    /// The server keeps its configuration, its data and its log in `folder`. If another
    /// server has left data there, the new server continues with them.
    ///
    /// # Errors
    ///
    /// Returns an error with Prometheus's log if the server does not start within 30 seconds.
    pub fn start_with(
        program: &Path,
        folder: &Path,
        configuration: &str,
        arguments: &[String],
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("prometheus.yml"), configuration)?;
        let addr = free_port()?;
        let log = folder.join("prometheus.log");
        let process = Process::start(
            Command::new(program)
                .current_dir(folder)
                .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
                .arg(format!("--web.listen-address={addr}"))
                .arg("--log.level=warn")
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(File::options().create(true).append(true).open(&log)?),
            Duration::from_secs(5),
        )?;
        wait_for("Prometheus", Duration::from_secs(30), || {
            if !process.is_running() {
                return Some(false);
            }
            let ready = ureq::get(&format!("http://{addr}/-/ready")).call();
            ready.is_ok().then_some(true)
        })
        .and_then(|(runs, _)| match runs {
            true => Ok(()),
            false => bail!("Prometheus has exited"),
        })
        .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        Ok(Self {
            _process: process,
            addr,
        })
    }

    /// Runs an instant query. Returns the labels and the value of each series.
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus rejects the query or the result is not a vector.
    pub fn query(&self, query: &str) -> anyhow::Result<Vec<(Labels, f64)>> {
        let answer = self.ask("query", &[("query", query)])?;
        let series = answer["result"]
            .as_array()
            .context("the result is not a list of series")?;
        let read = |series: &Value| {
            let value = series["value"][1].as_str()?.parse().ok()?;
            Some((labels_of(&series["metric"]), value))
        };
        series
            .iter()
            .map(read)
            .collect::<Option<_>>()
            .with_context(|| format!("the result is not a vector: {query}"))
    }

    /// Runs an instant query that yields a single series. Returns the value of that series.
    ///
    /// # Errors
    ///
    /// Returns an error if the query fails or does not yield exactly one series.
    pub fn number(&self, query: &str) -> anyhow::Result<f64> {
        match &self.query(query)?[..] {
            [(_, value)] => Ok(*value),
            other => bail!("{query}: expected one series, got {}", other.len()),
        }
    }

    /// Returns the active targets, sorted by instance.
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus does not answer.
    pub fn targets(&self) -> anyhow::Result<Vec<Target>> {
        let answer = self.ask("targets", &[("state", "active")])?;
        let targets = answer["activeTargets"]
            .as_array()
            .context("the answer has no list of targets")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut targets: Vec<Target> = targets
            .iter()
            .map(|target| Target {
                instance: text(&target["labels"]["instance"]),
                health: text(&target["health"]),
                job: text(&target["scrapePool"]),
                labels: labels_of(&target["discoveredLabels"]),
            })
            .collect();
        targets.sort();
        Ok(targets)
    }

    /// Waits until the job `webapp` scrapes exactly these instances, and all of them
    /// successfully.
    ///
    /// Returns the time that it waited.
    ///
    /// # Errors
    ///
    /// Returns an error with the current targets if the wait takes longer than `at_most`.
    pub fn wait_for_targets<'a>(
        &self,
        instances: impl IntoIterator<Item = &'a crate::Instance>,
        at_most: Duration,
    ) -> anyhow::Result<Duration> {
        let mut expected: Vec<String> = instances
            .into_iter()
            .map(|instance| instance.metrics.to_string())
            .collect();
        expected.sort();
        let (_, took) = wait_for("the expected targets", at_most, || {
            let targets = self.targets().ok()?;
            let mut found = targets.iter().filter(|target| target.job == "webapp");
            let all_up = found.clone().all(|target| target.health == "up");
            let found: Vec<&str> = found
                .by_ref()
                .map(|target| target.instance.as_str())
                .collect();
            (all_up && found == expected).then_some(())
        })
        .with_context(|| format!("expected {expected:?}, found {:?}", self.targets()))?;
        Ok(took)
    }

    /// Waits until a query yields the number `expected`.
    ///
    /// Returns the time that it waited.
    ///
    /// # Errors
    ///
    /// Returns an error with the current number if the wait takes longer than `at_most`.
    pub fn wait_for_number(
        &self,
        query: &str,
        expected: f64,
        at_most: Duration,
    ) -> anyhow::Result<Duration> {
        let is_it = || self.number(query).is_ok_and(|number| number == expected);
        let waited = wait_for("the expected number", at_most, || is_it().then_some(()));
        let (_, took) = waited.with_context(|| {
            format!(
                "{query}: expected {expected}, got {:?}",
                self.number(query).ok()
            )
        })?;
        Ok(took)
    }

    /// Sends the request `GET /api/v1/<what>` to the HTTP API. Returns the field `data` of
    /// the response.
    ///
    /// # Errors
    ///
    /// Returns an error if Prometheus does not answer or rejects the request.
    pub fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let mut answer = ureq::get(&format!("http://{}/api/v1/{what}", self.addr))
            .config()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .query_pairs(parameters.iter().copied())
            .call()?;
        let mut answer: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
        ensure!(
            answer["status"] == "success",
            "{parameters:?}: {}",
            answer["error"]
        );
        Ok(answer["data"].take())
    }
}

/// Reads labels from a JSON object in an answer of the HTTP API.
#[must_use]
pub fn labels_of(object: &Value) -> Labels {
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    object
        .as_object()
        .map(|labels| labels.iter().filter_map(text).collect())
        .unwrap_or_default()
}
