//! Runs nginx in a folder of its own.

use std::fmt::Write;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::instance::Instance;
use crate::process::{Process, program};
use crate::{free_port, wait_for};

const CONFIGURATION: &str = include_str!("../nginx.conf");

/// A running reverse proxy. Dropping it stops nginx.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    folder: PathBuf,
    /// The address on which nginx listens.
    pub addr: SocketAddr,
}

impl Proxy {
    /// Starts nginx with its files in `folder`, as the proxy of `instances`.
    ///
    /// # Errors
    ///
    /// Returns an error with nginx's log if nginx does not start within ten seconds.
    pub fn start(folder: &Path, instances: &[Instance]) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("nginx.conf"), CONFIGURATION)?;
        write_upstream(folder, instances)?;
        let addr = free_port()?;
        fs::write(folder.join("listen.conf"), format!("listen {addr};\n"))?;
        let log = folder.join("start.log");
        let process = Process::start(
            nginx(folder)?
                .stdout(Stdio::null())
                .stderr(File::create(&log)?),
            Duration::from_secs(5),
        )?;
        wait_for("nginx", Duration::from_secs(10), || {
            if !process.is_running() {
                return Some(false);
            }
            // nginx itself answers this path with 404, so no instance counts the request.
            let answer = ureq::get(&format!("http://{addr}/metrics")).call();
            matches!(answer, Err(ureq::Error::StatusCode(404))).then_some(true)
        })
        .and_then(|(runs, _)| match runs {
            true => Ok(()),
            false => bail!("nginx has exited"),
        })
        .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        Ok(Self {
            process,
            folder: folder.to_owned(),
            addr,
        })
    }

    /// Replaces the instances behind nginx, and reloads its configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if the reload fails.
    pub fn set_instances(&mut self, instances: &[Instance]) -> anyhow::Result<()> {
        write_upstream(&self.folder, instances)?;
        let status = nginx(&self.folder)?
            .args(["-s", "reload"])
            .stderr(Stdio::null())
            .status()?;
        ensure!(
            status.success() && self.process.is_running(),
            "nginx did not reload its configuration"
        );
        Ok(())
    }

    /// Returns the number of completed requests that nginx has passed to an instance.
    ///
    /// # Errors
    ///
    /// Returns an error if the access log cannot be read.
    pub fn requests(&self) -> anyhow::Result<usize> {
        let log = fs::read_to_string(self.folder.join("access.log"))?;
        let passed_on = |line: &&str| !line.ends_with(" - /metrics");
        Ok(log.lines().filter(passed_on).count())
    }
}

fn nginx(folder: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(program("nginx")?);
    command
        .arg("-p")
        .arg(folder)
        // `-e` sets the error log that nginx uses before it has read its configuration. The
        // default is in /var/log, which needs root privileges.
        .args(["-e", "error.log", "-c", "nginx.conf"]);
    Ok(command)
}

fn write_upstream(folder: &Path, instances: &[Instance]) -> anyhow::Result<()> {
    let mut servers = String::new();
    for instance in instances {
        writeln!(servers, "server {};", instance.app)?;
    }
    Ok(fs::write(folder.join("upstream.conf"), servers)?)
}
