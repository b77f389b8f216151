//! Runs other programs as child processes, and stops them when this program exits.

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

/// Returns those of `programs` that are not installed.
#[must_use]
pub fn missing<'a>(programs: &[&'a str]) -> Vec<&'a str> {
    let is_missing = |program: &&str| find(program).is_none();
    programs.iter().copied().filter(is_missing).collect()
}

/// Returns the path of an installed program.
///
/// # Errors
///
/// Returns an error if the program is not installed.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    find(name).with_context(|| format!("{name} is not installed"))
}

/// Searches `PATH` and the two `sbin` folders.
///
/// Debian installs nginx in `/usr/sbin`, which only root's `PATH` contains.
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

/// A child process. Dropping it ends the program and all processes that the program started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Whether the exit status has been collected. After that, the operating system may
    /// reuse the process id, so no signal may be sent to that id any more.
    is_reaped: bool,
    grace: Duration,
}

impl Process {
    /// Starts the program in a process group of its own.
    ///
    /// `grace` is how long `drop` waits after SIGTERM before it sends SIGKILL. If it is zero,
    /// `drop` does not send SIGTERM.
    ///
    /// # Errors
    ///
    /// Returns an error if the program cannot be run.
    pub fn start(command: &mut Command, grace: Duration) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            // `drop` sends SIGKILL to the process group, which includes the program's own
            // children.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
        Ok(Self {
            child,
            is_reaped: false,
            grace,
        })
    }

    /// Takes the program's standard output and returns its lines.
    ///
    /// # Errors
    ///
    /// Returns an error if the output is not piped, or already taken.
    pub fn lines(&mut self) -> anyhow::Result<impl Iterator<Item = String> + use<>> {
        let stdout = self
            .child
            .stdout
            .take()
            .context("the standard output is not piped, or already taken")?;
        Ok(BufReader::new(stdout).lines().map_while(Result::ok))
    }

    /// Returns whether the program is still running.
    #[must_use]
    pub fn is_running(&self) -> bool {
        // `NOWAIT` does not reap the process. Its id therefore stays reserved, and `drop`
        // can still use the id as that of the process group.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = self
            .pid()
            .and_then(|pid| Ok(waitid(WaitId::Pid(pid), options)?));
        !self.is_reaped && matches!(ended, Ok(None))
    }

    /// Sends SIGTERM. Does not wait for the program to exit.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has exited, or if the signal cannot be sent.
    pub fn terminate(&self) -> anyhow::Result<()> {
        ensure!(!self.is_reaped, "the process has already exited");
        Ok(kill_process(self.pid()?, Signal::TERM)?)
    }

    /// Waits for the program to exit.
    ///
    /// # Errors
    ///
    /// Returns an error if the program is still running after `at_most`.
    pub fn wait(&mut self, at_most: Duration) -> anyhow::Result<ExitStatus> {
        ensure!(
            self.has_ended_within(at_most),
            "process {} has not exited after {at_most:?}",
            self.child.id()
        );
        self.reap()
    }

    /// Sends SIGKILL and reaps the process.
    ///
    /// # Errors
    ///
    /// Returns an error if the signal cannot be sent.
    pub fn kill(&mut self) -> anyhow::Result<()> {
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
            .context("the process id is not positive")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_reaped {
            return;
        }
        // The grace period lets the program stop its own children first.
        if !self.grace.is_zero() && self.terminate().is_ok() {
            self.has_ended_within(self.grace);
        }
        // SIGKILL is needed even if the program has exited, because nginx's worker
        // processes survive if the master process is killed.
        if let Ok(group) = self.pid() {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
