//! The rules for objectives, at a speed at which a test can wait for them.

use std::fs;
use std::path::Path;

/// Returns the text of a rule file of `deploy/prometheus`. Its groups are evaluated every
/// second, its subqueries take a sample of each ten seconds, and its alerts fire after one
/// second. The windows and the expressions are otherwise those of the file.
///
/// # Panics
///
/// Panics if there is no such file, or if it has nothing to make faster.
#[must_use]
pub fn fast(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus");
    let text = fs::read_to_string(folder.join(file)).expect(file);
    let mut changed = 0;
    let mut faster = |line: &str| {
        let trimmed = line.trim_start();
        let indent = &line[..line.len() - trimmed.len()];
        let faster = match trimmed.split_once(": ") {
            Some((setting @ ("interval" | "for"), _)) => format!("{indent}{setting}: 1s\n"),
            _ => {
                line.replace(":5m]", ":10s]")
                    .replace("offset 30s", "offset 1s")
                    + "\n"
            }
        };
        changed += usize::from(faster.trim_end() != line);
        faster
    };
    let text = text.lines().map(&mut faster).collect();
    assert!(changed >= 10, "{file}: {changed}");
    text
}
