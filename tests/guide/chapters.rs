//! Reads the chapters of the guide.

use std::fs;
use std::path::{Path, PathBuf};

use instrument_tests::markdown;
pub(crate) use instrument_tests::markdown::{blocks, cells};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the text of a file of the repository.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the text of a chapter.
pub(crate) fn chapter(name: &str) -> String {
    read(&format!("instrument-runtime/src/guide/{name}.md"))
}

/// Returns the names of all chapters.
pub(crate) fn chapters() -> Vec<String> {
    let names = names("");
    assert!(names.len() > 12, "{names:?}");
    names
}

/// Returns the names of the pages about migrating from another library. The package
/// `instrument-migrations` checks their tables and their queries.
pub(crate) fn coming_from() -> Vec<String> {
    let names = names("coming_from/");
    assert!(names.len() > 5, "{names:?}");
    names
}

fn names(folder: &str) -> Vec<String> {
    let path = root().join("instrument-runtime/src/guide").join(folder);
    let files = fs::read_dir(path).expect("the guide");
    let names = files.filter_map(|file| {
        let name = file.expect("a file").file_name().into_string();
        Some(format!(
            "{folder}{}",
            name.expect("UTF-8").strip_suffix(".md")?
        ))
    });
    names.collect()
}

/// Returns the section under this heading, up to the next heading.
pub(crate) fn section(chapter: &str, heading: &str) -> String {
    markdown::section(chapter, heading).to_owned()
}

/// Returns the rows of all tables in a text, each as its cells, without the rows of titles.
pub(crate) fn rows(text: &str) -> Vec<Vec<&str>> {
    let mut rows: Vec<Vec<&str>> = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        if line.starts_with("|-") {
            // The row above has the titles.
            rows.pop();
        } else {
            rows.push(cells(line));
        }
    }
    rows
}
