//! Reads tables in Markdown.

use std::fs;
use std::path::Path;

use instrument_tests::markdown::{cells, section};

/// The table of the README.
pub(crate) struct Table {
    /// The titles, without that of the first column.
    pub(crate) columns: Vec<String>,
    /// The name of each row, and its other cells.
    pub(crate) rows: Vec<(String, Vec<String>)>,
}

/// Returns the text of a file of the repository.
pub(crate) fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

impl Table {
    pub(crate) fn of_readme() -> Self {
        let mut rows = rows(section(&read("README.md"), "Compared with others"));
        let (_, columns) = rows.remove(0);
        for (name, cells) in &rows {
            assert_eq!(cells.len(), columns.len(), "{name}");
        }
        Self { columns, rows }
    }
}

/// Returns the first cell of each row, and the others. Leaves out the lines below titles.
pub(crate) fn rows(text: &str) -> Vec<(String, Vec<String>)> {
    let lines = text.lines();
    let lines = lines.filter(|line| line.starts_with('|') && !line.starts_with("|-"));
    lines
        .map(|line| {
            assert!(line.ends_with('|'), "the end of the row: {line}");
            let mut cells = cells(line).into_iter().map(str::to_owned);
            (cells.next().expect("a cell"), cells.collect())
        })
        .collect()
}
