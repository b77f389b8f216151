//! Finds and replaces parts of a rule file.

/// The lines that separate the operands of the sums in `slo.yml`.
const OR: &str = "            or\n";

/// Replaces a part of the text.
///
/// # Panics
///
/// Panics if the text does not contain the part.
pub(crate) fn replace(text: &str, part: &str, by: &str) -> String {
    assert!(text.contains(part), "there is no {part:?} in: {text}");
    text.replace(part, by)
}

/// Replaces several parts of the text, one after the other.
pub(crate) fn replace_all(text: &str, parts: &[(&str, &str)]) -> String {
    let replace = |text: String, (part, by): &(&str, &str)| replace(&text, part, by);
    parts.iter().fold(text.to_owned(), replace)
}

/// Replaces the comment at the start of the file, up to the first empty line of the comment.
pub(crate) fn with_title(text: &str, title: &str) -> String {
    let (_, rest) = text.split_once("#\n").expect("a title");
    format!("{title}#\n{rest}")
}

/// Returns the text between two parts, and what is before and after it. Both parts stay
/// outside.
pub(crate) fn between<'a>(text: &'a str, start: &str, end: &str) -> [&'a str; 3] {
    let found = text.find(start).map(|at| at + start.len());
    let start = found.unwrap_or_else(|| panic!("there is no {start:?} in: {text}"));
    let length = text[start..].find(end);
    let end = start + length.unwrap_or_else(|| panic!("there is no {end:?} after {start:?}"));
    [&text[..start], &text[start..end], &text[end..]]
}

/// Changes the operands of the sum that a rule of `slo.yml` records.
pub(crate) fn change_operands(
    text: &str,
    record: &str,
    change: impl Fn(&str) -> Vec<String>,
) -> String {
    let [before, rule, after] = between(text, &format!("- record: {record}\n"), "          )\n");
    let (head, sum) = rule.split_once(") (\n").expect("a sum");
    let operands: Vec<String> = sum.split(OR).flat_map(change).collect();
    format!("{before}{head}) (\n{}{after}", operands.join(OR))
}
