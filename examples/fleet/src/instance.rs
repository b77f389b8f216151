//! One instance of the example's web application.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::process::Process;

/// Builds the web application and returns its program.
///
/// # Errors
///
/// When it does not build.
pub fn build_webapp() -> anyhow::Result<PathBuf> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--package", "webapp"])
        .args(["--message-format", "json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "the webapp does not build");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "webapp")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo does not name the program")
}

/// Dropping it kills it, and leaves its target behind as a killed one does.
#[derive(Debug)]
pub struct Instance {
    process: Process,
    /// Where it serves.
    pub app: SocketAddr,
    /// Where its page is.
    pub metrics: SocketAddr,
}

impl Instance {
    /// Starts one that writes its target into the folder. Port 0 takes a free
    /// one for its page.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start(program: &Path, folder: &Path, metrics_port: u16) -> anyhow::Result<Self> {
        let mut process = Process::start(
            Command::new(program)
                .env("WEBAPP_ADDR", "127.0.0.1:0")
                .env("WEBAPP_NAME", "webapp")
                .env("WEBAPP_FILE_SD", folder)
                .env("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
                .env("OTEL_EXPORTER_PROMETHEUS_PORT", metrics_port.to_string())
                .stdout(Stdio::piped())
                // It logs each of the errors that are asked of it.
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
                .context("the webapp has not told its addresses; does it start by itself?")
        };
        let (app, metrics) = (address_before("/test ")?, address_before("/metrics")?);
        // A pipe that nobody reads would stop it when it is full.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self {
            process,
            app,
            metrics,
        })
    }

    /// SIGTERM: it answers what is under way, waits for a last scrape and ends.
    ///
    /// # Errors
    ///
    /// When it has ended before.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.process.terminate()
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not come.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        self.process.wait(Duration::from_secs(20))
    }

    /// SIGKILL: it has no time to take its target away.
    ///
    /// # Errors
    ///
    /// When it has ended before.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }
}
