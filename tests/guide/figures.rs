//! The figures in the chapter about performance are those of `benches/README.md`.

use crate::chapters::{cells, chapter, read, rows, section};

/// Returns all cells of the rows that begin with this cell.
fn measured<'a>(benches: &'a str, candidate: &str) -> Vec<&'a str> {
    let rows = benches.lines().filter(|line| line.starts_with('|'));
    rows.map(cells)
        .filter(|row| row[0] == candidate)
        .flatten()
        .collect()
}

#[test]
fn the_figures_are_those_of_the_benches() {
    let (chapter, benches) = (chapter("performance"), read("benches/README.md"));
    let mut figures = 0;
    let mut hold = |name: &str, row: &[&str], measured: &[&str]| {
        for figure in &row[1..] {
            assert!(
                measured.contains(figure),
                "{name}: {figure} is not in {measured:?}"
            );
            figures += 1;
        }
    };
    for heading in ["A call", "A request", "Compiling"] {
        for row in rows(&section(&chapter, heading)) {
            hold(row[0], &row, &measured(&benches, row[0]));
        }
    }
    for row in rows(&section(&chapter, "A scrape")) {
        let title = format!("\n{} label sets:\n", row[0]);
        let (_, after) = benches.split_once(&title).expect("this number of sets");
        let ours = rows(after);
        let ours = ours.iter().find(|row| row[0] == "ours").expect("ours");
        hold(row[0], &row, ours);
    }
    assert!(figures > 50, "{figures} figures");
}
