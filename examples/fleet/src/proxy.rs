//! nginx in a folder of its own.

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

/// A running reverse proxy; dropping it stops it.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    folder: PathBuf,
    /// Where it listens.
    pub addr: SocketAddr,
}

impl Proxy {
    /// Starts nginx in front of these instances.
    ///
    /// # Errors
    ///
    /// When it does not start.
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
            // It answers 404 there by itself, and disturbs no instance's count.
            let answer = ureq::get(&format!("http://{addr}/metrics")).call();
            matches!(answer, Err(ureq::Error::StatusCode(404))).then_some(true)
        })
        .and_then(|(runs, _)| match runs {
            true => Ok(()),
            false => bail!("nginx has ended"),
        })
        .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        Ok(Self {
            process,
            folder: folder.to_owned(),
            addr,
        })
    }

    /// Puts it in front of these instances instead.
    ///
    /// # Errors
    ///
    /// When nginx refuses.
    pub fn set_instances(&mut self, instances: &[Instance]) -> anyhow::Result<()> {
        write_upstream(&self.folder, instances)?;
        let status = nginx(&self.folder)?
            .args(["-s", "reload"])
            .stderr(Stdio::null())
            .status()?;
        ensure!(
            status.success() && self.process.is_running(),
            "nginx does not reload"
        );
        Ok(())
    }

    /// How many requests it has passed on and finished.
    ///
    /// # Errors
    ///
    /// When its log cannot be read.
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
        // Before it knows its configuration it would complain about /var/log.
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
