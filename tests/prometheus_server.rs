//! Prometheus servers of several versions.
//!
//! [`Release::all`] finds the programs, [`Server::start`] runs one of them.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use fleet::{Labels, Prometheus, labels_of};
use serde_json::Value;

use crate::page::{Page, scrape};
use crate::program::is_installed;
use crate::{in_ci, skipped, wait_until};

/// The Debian releases from which `tests/fetch-prometheus` takes newer servers.
const FETCHED_FROM: [&str; 2] = ["trixie", "sid"];

/// The feature flags that change what a server asks for or what it stores. See
/// [`Release::known`].
pub const FEATURES: [&str; 3] = ["native-histograms", "exemplar-storage", ZERO_INGESTION];
/// The feature flag with which a server adds a sample of 0 at the created timestamp of a
/// series.
pub const ZERO_INGESTION: &str = "created-timestamp-zero-ingestion";

/// A Prometheus program on this machine.
#[derive(Clone, Debug)]
pub struct Release {
    /// The path of the program.
    pub program: PathBuf,
    /// Such as `2.53.3`.
    pub version: String,
    help: String,
}

impl Release {
    /// Returns the program of Debian's package. If the package is not installed, prints
    /// that the test is skipped, and returns `None`.
    ///
    /// # Panics
    ///
    /// Panics in CI if the program is not installed.
    #[must_use]
    pub fn installed() -> Option<Self> {
        is_installed("prometheus").then(|| Self::at("prometheus".into()).expect("runs"))
    }

    /// Returns the program of Debian's package and the programs that
    /// `tests/fetch-prometheus` has fetched, the oldest version first. Prints a line for
    /// each program that is missing.
    ///
    /// # Panics
    ///
    /// Panics in CI if a program is missing, unless `tests/fetch-prometheus` has tried to
    /// fetch it and failed.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut found: Vec<Self> = Self::installed().into_iter().collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/prometheus");
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            // The links there have the names of Debian's releases.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.extend(Self::at(entry.path().join("prometheus")));
            }
        }
        for debian in FETCHED_FROM {
            if Self::at(folder.join(debian).join("prometheus")).is_some() {
                continue;
            }
            // The script leaves this file if it could not fetch the server.
            let why = fs::read_to_string(folder.join(format!("{debian}.failed")));
            assert!(
                why.is_ok() || !in_ci(),
                "the Prometheus of Debian {debian} is missing; run tests/fetch-prometheus"
            );
            let why = why.unwrap_or_else(|_| "run tests/fetch-prometheus to fetch it".to_owned());
            skipped(&format!(
                "there is no Prometheus of Debian {debian}: {}",
                why.trim()
            ));
        }
        found.sort_by_key(Self::number);
        // This machine may run the Debian release from which a server was fetched.
        found.dedup_by(|next, kept| next.version == kept.version);
        found
    }

    /// Returns `None` if the program does not run.
    fn at(program: PathBuf) -> Option<Self> {
        let printed = |option| {
            let output = Command::new(&program).arg(option).output().ok()?;
            let printed = [output.stdout, output.stderr].concat();
            (output.status.success()).then(|| String::from_utf8_lossy(&printed).into_owned())
        };
        let version = printed("--version")?;
        let version = version.split("version ").nth(1)?;
        let end = version.find(|sign: char| sign != '.' && !sign.is_ascii_digit())?;
        Some(Self {
            version: version[..end].to_owned(),
            help: printed("--help")?,
            program,
        })
    }

    /// Returns the major and the minor version.
    ///
    /// # Panics
    ///
    /// Panics if the version is not two or more numbers.
    #[must_use]
    pub fn number(&self) -> (u32, u32) {
        let mut numbers = self.version.split('.').map(|number| number.parse());
        let mut next = || numbers.next()?.ok();
        next().zip(next()).expect("a version")
    }

    /// Returns whether a scrape job may have the setting `scrape_protocols`.
    #[must_use]
    pub fn has_scrape_protocols(&self) -> bool {
        self.number() >= (2, 49)
    }

    /// Returns those of `features` that this version has as feature flags.
    #[must_use]
    pub fn known<'a>(&self, features: &[&'a str]) -> Vec<&'a str> {
        let mut known = features.to_vec();
        // The help lists all feature flags.
        known.retain(|feature| self.help.contains(feature));
        known
    }
}

/// The only scrape job of a [`Server`].
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The address of the page.
    pub target: SocketAddr,
    /// Such as `1s`. A scrape may take as long as the interval.
    pub interval: &'a str,
    /// The setting `scrape_protocols`. If it is empty, the server uses its default order.
    pub protocols: &'a [&'a str],
    /// More settings of the job in YAML, such as `honor_timestamps: false`.
    pub settings: &'a [&'a str],
}

impl<'a> Job<'a> {
    /// The name of the job, and so the value of the label `job`.
    pub const NAME: &'static str = "page";

    /// A job that scrapes the page at `target` with the server's defaults.
    #[must_use]
    pub fn new(target: SocketAddr, interval: &'a str) -> Self {
        Self {
            target,
            interval,
            protocols: &[],
            settings: &[],
        }
    }

    fn configuration(&self) -> String {
        let mut text = format!(
            "global: {{scrape_interval: {}}}\n\
             scrape_configs:\n\
             - job_name: {}\n\
             \x20 static_configs: [{{targets: ['{}']}}]\n",
            self.interval,
            Self::NAME,
            self.target
        );
        if !self.protocols.is_empty() {
            text += &format!("  scrape_protocols: [{}]\n", self.protocols.join(", "));
        }
        for setting in self.settings {
            text += &format!("  {setting}\n");
        }
        text
    }
}

/// An exemplar that a [`Server`] has stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The labels of the series, with `__name__`.
    pub series: Labels,
    /// The exemplar's own labels, such as `trace_id`.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// The Unix time, in seconds.
    pub timestamp: f64,
}

/// A running Prometheus server with one scrape job. Dropping it stops the server.
///
/// It dereferences to [`Prometheus`], which runs queries.
#[derive(Debug)]
pub struct Server {
    running: Prometheus,
    /// The version that runs.
    pub release: Release,
    folder: PathBuf,
}

impl Deref for Server {
    type Target = Prometheus;

    fn deref(&self) -> &Prometheus {
        &self.running
    }
}

impl Server {
    /// Starts a server with these feature flags, and with its data in `folder`. If another
    /// server has left data there, the new server continues with them.
    ///
    /// Prometheus's service discovery takes five seconds to find the first target.
    ///
    /// # Panics
    ///
    /// Panics if the server does not start.
    #[must_use]
    pub fn start(release: &Release, folder: &Path, features: &[&str], job: &Job<'_>) -> Self {
        let mut arguments = vec!["--web.enable-lifecycle".to_owned()];
        if !features.is_empty() {
            arguments.push(format!("--enable-feature={}", features.join(",")));
        }
        let configuration = job.configuration();
        let running = Prometheus::start_with(&release.program, folder, &configuration, &arguments);
        Self {
            running: running
                .unwrap_or_else(|error| panic!("Prometheus {}: {error:#}", release.version)),
            release: release.clone(),
            folder: folder.to_owned(),
        }
    }

    /// Stops the server and starts it again, on the same data.
    ///
    /// # Panics
    ///
    /// Panics if the server does not start.
    #[must_use]
    pub fn restart(self, features: &[&str], job: &Job<'_>) -> Self {
        let Self {
            running,
            release,
            folder,
        } = self;
        drop(running);
        Self::start(&release, &folder, features, job)
    }

    /// Replaces the scrape job while the server runs. Returns after the last scrape of the
    /// old job.
    ///
    /// # Panics
    ///
    /// Panics if the server rejects the job.
    pub fn reload(&self, job: &Job<'_>) {
        fs::write(self.folder.join("prometheus.yml"), job.configuration()).expect("written");
        let answer = ureq::post(&format!("http://{}/-/reload", self.addr)).send_empty();
        answer.unwrap_or_else(|error| {
            panic!(
                "Prometheus {}: {error}\n{}",
                self.release.version,
                self.log()
            )
        });
    }

    /// Runs an instant query again and again, until `is_it` accepts the result. Returns the
    /// result.
    ///
    /// # Panics
    ///
    /// Panics with the last result if no result is accepted within
    /// [`DEADLINE`](crate::DEADLINE).
    pub fn wait_until(
        &self,
        query: &str,
        is_it: impl Fn(&[(Labels, f64)]) -> bool,
    ) -> Vec<(Labels, f64)> {
        let what = format!("{query} in Prometheus {}", self.release.version);
        let accepts =
            |answer: &anyhow::Result<Vec<_>>| answer.as_ref().is_ok_and(|answer| is_it(answer));
        wait_until(&what, || self.query(query), accepts).expect("accepted")
    }

    /// Returns the labels of all series that match the selector, with `__name__`, whether
    /// or not they still exist.
    ///
    /// # Panics
    ///
    /// Panics if the server rejects the selector.
    #[must_use]
    pub fn series(&self, selector: &str) -> BTreeSet<Labels> {
        let found = self.ask("series", &[("match[]", selector)]);
        let found = found.expect(selector);
        let series = found.as_array().expect("a list of series");
        series.iter().map(labels_of).collect()
    }

    /// Returns the exemplars of all series in the query, of all times.
    ///
    /// # Panics
    ///
    /// Panics if the server rejects the query.
    #[must_use]
    pub fn exemplars(&self, query: &str) -> Vec<Exemplar> {
        let found = self.ask("query_exemplars", &[("query", query)]);
        let found = found.expect(query);
        let number = |value: &Value| match value {
            Value::String(text) => text.parse().expect("a number"),
            other => other.as_f64().expect("a number"),
        };
        let mut exemplars = Vec::new();
        for series in found.as_array().expect("a list of series") {
            for exemplar in series["exemplars"].as_array().expect("exemplars") {
                exemplars.push(Exemplar {
                    series: labels_of(&series["seriesLabels"]),
                    labels: labels_of(&exemplar["labels"]),
                    value: number(&exemplar["value"]),
                    timestamp: number(&exemplar["timestamp"]),
                });
            }
        }
        exemplars
    }

    /// Waits until `is_it` accepts the exemplars of the series in the query, and returns
    /// them.
    ///
    /// # Panics
    ///
    /// Panics with the last exemplars if none are accepted within
    /// [`DEADLINE`](crate::DEADLINE).
    pub fn wait_for_exemplars(
        &self,
        query: &str,
        is_it: impl Fn(&[Exemplar]) -> bool,
    ) -> Vec<Exemplar> {
        let what = format!(
            "exemplars of {query} in Prometheus {}",
            self.release.version
        );
        wait_until(&what, || self.exemplars(query), |found| is_it(found))
    }

    /// Returns the server's own metrics.
    ///
    /// # Panics
    ///
    /// Panics if the server does not answer.
    #[must_use]
    pub fn own_page(&self) -> Page {
        scrape(self.addr).expect("its own page")
    }

    /// Returns what the server has logged, warnings and errors only.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("prometheus.log")).unwrap_or_default()
    }
}
