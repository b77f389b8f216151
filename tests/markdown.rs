//! Reads tables and code from pages in Markdown.

/// Returns the section under this heading, up to the next heading of the same or a higher level.
///
/// # Panics
///
/// Panics if there is no such heading.
#[must_use]
pub fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let mut section = None;
    let mut is_code = false;
    let mut at = 0;
    for line in page.split_inclusive('\n') {
        is_code ^= line.starts_with("```");
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        // In an example, a hidden line begins like a heading.
        if level > 0 && title.starts_with(' ') && !is_code {
            match section {
                Some((start, top)) if level <= top => return &page[start..at],
                None if title.trim() == heading => section = Some((at + line.len(), level)),
                _ => {}
            }
        }
        at += line.len();
    }
    let (start, _) = section.unwrap_or_else(|| panic!("no heading {heading:?}"));
    &page[start..]
}

/// Returns the rows of the first table under this heading, each as its cells. The first row
/// has the titles.
///
/// # Panics
///
/// Panics if there is no such heading.
#[must_use]
pub fn table<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let lines = section(page, heading).lines();
    let lines = lines.skip_while(|line| !line.starts_with('|'));
    let table = lines.take_while(|line| line.starts_with('|'));
    // A line of dashes follows the titles.
    table
        .filter(|line| !line.starts_with("|-"))
        .map(cells)
        .collect()
}

/// Returns the cells of a row of a table.
#[must_use]
pub fn cells(row: &str) -> Vec<&str> {
    let row = row.trim_matches('|');
    row.split('|').map(str::trim).collect()
}

/// Returns the texts between backticks.
pub fn codes(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Returns the texts of all code blocks in this language, such as `rust,ignore`.
#[must_use]
pub fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("```{language}\n");
    let blocks = page.split(&start).skip(1);
    blocks.filter_map(|text| text.split("```").next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "Title\n\n# One\n\n## Part\n\n| a | b |\n|---|---|\n| `x`, `y` | z |\n\n```sh\n# no heading\n```\n\n\
                        # Two\n\n```sh\nls\n```\n\n```sh\ncd\n```\n";

    #[test]
    fn the_parts_of_a_page_are_found() {
        assert_eq!(section(PAGE, "Two"), "\n```sh\nls\n```\n\n```sh\ncd\n```\n");
        assert!(section(PAGE, "One").ends_with("\n# no heading\n```\n\n"));
        assert_eq!(
            section(PAGE, "Part"),
            &section(PAGE, "One")["\n## Part\n".len()..]
        );
        let rows = table(PAGE, "One");
        assert_eq!(rows, [["a", "b"], ["`x`, `y`", "z"]]);
        assert_eq!(codes(rows[1][0]).collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(blocks(section(PAGE, "Two"), "sh"), ["ls\n", "cd\n"]);
        assert!(table(PAGE, "Two").is_empty());
    }
}
