//! Runs `promtool check metrics` on a page.

use std::io::Write;
use std::process::{Command, Stdio};

use instrument_tests::program::is_installed;

/// Returns promtool's messages, or `None` if promtool is not installed. In CI, panics if
/// promtool is not installed.
pub(crate) fn remarks(page: &str) -> Option<String> {
    if !is_installed("promtool") {
        return None;
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    let mut stdin = promtool.stdin.take().expect("a piped stdin");
    stdin.write_all(page.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    let mut remarks = String::from_utf8_lossy(&said).into_owned();
    if !output.status.success() {
        remarks += &format!("promtool: {}", output.status);
    }
    Some(remarks)
}
