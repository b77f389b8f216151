//! Starts and stops an instance of the example web application.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::process::Process;

/// Builds the web application and returns the path of its executable.
///
/// # Errors
///
/// Returns an error if cargo cannot be run or the build fails.
pub fn build_webapp() -> anyhow::Result<PathBuf> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--package", "webapp"])
        .args(["--message-format", "json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "cannot build the webapp");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "webapp")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo did not report the path of the executable")
}

/// A running instance of the web application.
///
/// Dropping it kills the process with SIGKILL, so its target file stays in the folder.
#[derive(Debug)]
pub struct Instance {
    process: Process,
    /// The address on which the application serves requests.
    pub app: SocketAddr,
    /// The address on which the instance serves its metrics.
    pub metrics: SocketAddr,
}

impl Instance {
    /// Starts an instance that writes its target file into `folder`.
    ///
    /// The metrics are served on `metrics_port`; 0 chooses a free port.
    ///
    /// # Errors
    ///
    /// Returns an error if the program does not start, or does not print its addresses.
    pub fn start(program: &Path, folder: &Path, metrics_port: u16) -> anyhow::Result<Self> {
        let mut process = Process::start(
            Command::new(program)
                .env("WEBAPP_ADDR", "127.0.0.1:0")
                .env("WEBAPP_NAME", "webapp")
                .env("WEBAPP_FILE_SD", folder)
                .env("WEBAPP_OLDEST_IN_PROGRESS", "1")
                .env("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
                .env("OTEL_EXPORTER_PROMETHEUS_PORT", metrics_port.to_string())
                .stdout(Stdio::piped())
                // The webapp logs every error of `/test1`, and the traffic causes many.
                .stderr(Stdio::null()),
            Duration::ZERO,
        )?;
        let mut lines = process.lines()?;
        let mut address_before = |path: &str| {
            lines
                .find_map(|line| {
                    let (_, url) = line.split_once("curl http://")?;
                    url.split_once(path)?.0.parse().ok()
                })
                .context(
                    "the webapp did not print its addresses; run `cargo run -p webapp` to see why",
                )
        };
        let (app, metrics) = (address_before("/test ")?, address_before("/metrics")?);
        // Keep reading: a write to a full pipe would block the webapp.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self {
            process,
            app,
            metrics,
        })
    }

    /// Sends SIGTERM.
    ///
    /// The instance finishes the requests in flight, waits for one last scrape, and exits.
    ///
    /// # Errors
    ///
    /// Returns an error if [`wait`](Self::wait) or [`kill`](Self::kill) has already reaped
    /// the process, or if the signal cannot be sent.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.process.terminate()
    }

    /// Waits up to 20 seconds for the instance to exit.
    ///
    /// # Errors
    ///
    /// Returns an error if the instance is still running after that time.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        self.process.wait(Duration::from_secs(20))
    }

    /// Sends SIGKILL, which leaves the instance no time to remove its target file.
    ///
    /// # Errors
    ///
    /// Returns an error if the signal cannot be sent.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }
}
