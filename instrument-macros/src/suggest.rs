//! Finds the name that a user most likely meant, for "did you mean …?".

/// Returns the candidate that `found` is most likely a misspelling of. The edit distance
/// may be up to a third of the candidate's length. A distance of 1 is always accepted.
pub(crate) fn closest<'a>(found: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (distance(found, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.len() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the Levenshtein distance, which counts the letters to add, remove or change.
/// Ignores case.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, from) in from.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in to.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn finds_the_misspelt_name_only() {
        let names = ["endpoint", "method", "labels", "outcome"];
        assert_eq!(closest("endpiont", &names), Some("endpoint"));
        assert_eq!(closest("Method", &names), Some("method"));
        assert_eq!(closest("label", &names), Some("labels"));
        assert_eq!(closest("name", &names), None);
        assert_eq!(closest("", &names), None);
    }
}
