//! A program that runs beside this one, and never longer.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Those of these programs that cannot be run.
#[must_use]
pub fn missing<'a>(programs: &[&'a str]) -> Vec<&'a str> {
    let is_missing = |program: &&str| {
        Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_err()
    };
    programs.iter().copied().filter(is_missing).collect()
}

/// Dropping it ends the program and whatever that has started.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
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
        Ok(Self { child, grace })
    }

    pub(crate) fn lines(&mut self) -> anyhow::Result<impl Iterator<Item = String> + use<>> {
        let stdout = self.child.stdout.take().context("no piped stdout")?;
        Ok(BufReader::new(stdout).lines().map_while(Result::ok))
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGTERM; the program ends in its own time.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        Ok(kill_process(self.pid()?, Signal::TERM)?)
    }

    pub(crate) fn wait(&mut self, at_most: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + at_most;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(anyhow!("process {} does not end", self.child.id()))
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
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
        if !self.is_running() {
            return;
        }
        // It may end by itself meanwhile; then there is nothing left to end.
        if !self.grace.is_zero() {
            let _ = self.terminate();
            let _ = self.wait(self.grace);
        }
        if self.is_running() {
            if let Ok(group) = self.pid() {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = self.child.wait();
        }
    }
}
