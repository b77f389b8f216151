//! A program that runs beside this one, and never longer.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

/// Those of these programs that are not installed.
#[must_use]
pub fn missing<'a>(programs: &[&'a str]) -> Vec<&'a str> {
    let is_missing = |program: &&str| find(program).is_none();
    programs.iter().copied().filter(is_missing).collect()
}

pub(crate) fn program(name: &str) -> anyhow::Result<PathBuf> {
    find(name).with_context(|| format!("{name} is not installed"))
}

/// Debian has nginx in a folder that only root's `PATH` names.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| {
            let metadata = file.metadata();
            metadata.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        })
}

/// Dropping it ends the program and whatever that has started.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Its process id may be another's by now.
    is_reaped: bool,
    /// How long a drop lets it end by itself.
    grace: Duration,
}

impl Process {
    pub(crate) fn start(command: &mut Command, grace: Duration) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            // Whatever it starts in turn is ended with it.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
        Ok(Self {
            child,
            is_reaped: false,
            grace,
        })
    }

    pub(crate) fn lines(&mut self) -> anyhow::Result<impl Iterator<Item = String> + use<>> {
        let stdout = self.child.stdout.take().context("no piped stdout")?;
        Ok(BufReader::new(stdout).lines().map_while(Result::ok))
    }

    pub(crate) fn is_running(&self) -> bool {
        // It is not reaped yet: what it has started is known by its id.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = self
            .pid()
            .and_then(|pid| Ok(waitid(WaitId::Pid(pid), options)?));
        !self.is_reaped && matches!(ended, Ok(None))
    }

    /// SIGTERM; the program ends in its own time.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        ensure!(!self.is_reaped, "it has ended before");
        Ok(kill_process(self.pid()?, Signal::TERM)?)
    }

    pub(crate) fn wait(&mut self, at_most: Duration) -> anyhow::Result<ExitStatus> {
        ensure!(
            self.has_ended_within(at_most),
            "process {} does not end",
            self.child.id()
        );
        self.reap()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.reap()?;
        Ok(())
    }

    fn reap(&mut self) -> anyhow::Result<ExitStatus> {
        let status = self.child.wait()?;
        self.is_reaped = true;
        Ok(status)
    }

    fn has_ended_within(&self, at_most: Duration) -> bool {
        let deadline = Instant::now() + at_most;
        while self.is_running() {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
        true
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("no process id")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_reaped {
            return;
        }
        // It may end by itself meanwhile; then there is nothing left to end.
        if !self.grace.is_zero() && self.terminate().is_ok() {
            self.has_ended_within(self.grace);
        }
        // Also where it has ended: nginx's workers live on when it is killed.
        if let Ok(group) = self.pid() {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
