//! Finds, builds and runs the programs of a test, and always stops them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::{in_ci, skipped, wait_for};

/// A running program. Dropping it kills the program.
#[derive(Debug)]
pub struct Program {
    child: Child,
}

impl Program {
    /// Starts a program.
    ///
    /// # Panics
    ///
    /// Panics if the program cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        Self { child }
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the lines of the program's standard output, which must be piped.
    ///
    /// # Panics
    ///
    /// Panics if the standard output is not piped.
    pub fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let stdout = self.child.stdout.take().expect("a piped stdout");
        BufReader::new(stdout).lines().map_while(Result::ok)
    }

    /// Sends SIGTERM and waits for the program to end.
    ///
    /// # Panics
    ///
    /// Panics if the program does not end within the deadline.
    pub fn terminate(&mut self) -> ExitStatus {
        self.end("TERM")
    }

    /// Sends the signal of this name and waits for the program to end.
    ///
    /// # Panics
    ///
    /// Panics if the program does not end within the deadline.
    pub fn end(&mut self, signal: &str) -> ExitStatus {
        let killed = Command::new("kill")
            .args(["-s", signal, &self.id().to_string()])
            .status();
        assert!(killed.is_ok_and(|status| status.success()), "kill");
        wait_for("the program's end", || self.child.try_wait().ok().flatten())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The program may already have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds a package of this workspace and returns the path of its program.
///
/// # Panics
///
/// Panics if the package does not build.
#[must_use]
pub fn build(package: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", package])
        .args(["--message-format", "json"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{package} does not build");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == package)
        .find_map(|message| message["executable"].as_str().map(str::to_owned))
        .expect("cargo names the program")
}

/// Returns whether a program is installed. If not, prints that the test is skipped.
///
/// # Panics
///
/// Panics in CI if the program is missing, because no test may be skipped there.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    assert!(found || !in_ci(), "{program} is not installed");
    if !found {
        skipped(&format!("{program} is not installed"));
    }
    found
}
