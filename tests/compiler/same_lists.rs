//! The attribute and the runtime agree on names that each of them lists: the attribute
//! refuses at compile time what the runtime refuses, or renames, when it runs.
//!
//! Neither package can read the other's list. `instrument-macros` exports nothing but
//! macros, and a shared package would be one more for every user to build. So this test
//! reads the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Returns the string literals of a list in a source file: those after the markers in
/// `start`, which follow each other, and before the next `end`.
fn literals(file: &str, start: &[&str], end: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(file);
    let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let list = start.iter().fold(&*source, |rest, marker| {
        let (_, rest) = rest
            .split_once(marker)
            .unwrap_or_else(|| panic!("{file}: no {marker:?}; update this test"));
        rest
    });
    let (list, _) = list
        .split_once(end)
        .unwrap_or_else(|| panic!("{file}: no {end:?} after {start:?}; update this test"));
    let list = list.lines().map(without_comment).collect::<String>();
    let found: BTreeSet<String> = list.split('"').skip(1).step_by(2).map(Into::into).collect();
    assert!(!found.is_empty(), "{file}: no strings after {start:?}");
    found
}

fn without_comment(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

#[test]
fn the_same_label_names_are_reserved() {
    let macros = literals(
        "instrument-macros/src/labels.rs",
        &["const RESERVED: [&str; "],
        "];",
    );
    let runtime = literals(
        "instrument-runtime/src/names.rs",
        &["const RESERVED: [&str; "],
        "];",
    );
    assert_eq!(
        macros, runtime,
        "RESERVED differs: instrument-macros/src/labels.rs (left) and \
         instrument-runtime/src/names.rs (right); change both"
    );
}

#[test]
fn the_label_names_of_opentelemetry_are_reserved() {
    let in_macros = "instrument-macros/src/labels.rs";
    let in_runtime = "instrument-runtime/src/conventions.rs";
    let opentelemetry = literals(in_macros, &["const OPENTELEMETRY: [&str; "], "];");
    let runtime = literals(in_runtime, &["const HTTP_METHOD: &str"], "const LABELS");
    assert_eq!(
        opentelemetry, runtime,
        "OPENTELEMETRY in {in_macros} (left) differs from the labels in {in_runtime} (right); \
         change both"
    );
}

#[test]
fn the_same_methods_are_known() {
    let macros = literals(
        "instrument-macros/src/method.rs",
        &["const METHODS: [&str; "],
        "];",
    );
    // Each known method, `_OTHER` included, is the value of an arm.
    let runtime = literals(
        "instrument-runtime/src/call/request/method.rs",
        &["match method {"],
        "\n    }",
    );
    assert_eq!(
        macros, runtime,
        "the methods differ: METHODS in instrument-macros/src/method.rs (left) and the arms in \
         instrument-runtime/src/call/request/method.rs (right); change both"
    );
}
