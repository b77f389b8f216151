//! Reads tables in Markdown.

use std::fs;
use std::path::Path;

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
        let readme = read("README.md");
        let (_, section) = readme
            .split_once("## Compared with others\n")
            .expect("the section");
        let (section, _) = section.split_once("\n## ").expect("the next section");
        let mut rows = rows(section);
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
            let line = line.strip_suffix('|').expect("the end of the row");
            let mut cells = line[1..].split('|').map(|cell| cell.trim().to_owned());
            (cells.next().expect("a cell"), cells.collect())
        })
        .collect()
}
