//! Picks the combinations (pairwise testing): every compatible pair of values from
//! different dimensions occurs in at least one function.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::{Case, Tag};
use crate::random::Random;

/// The number of attempts before a pair counts as incompatible.
const ATTEMPTS: usize = 300;

/// The combinations, and the number of pairs of values that they cover.
#[derive(Debug)]
pub struct Sample {
    /// The combinations.
    pub cases: Vec<Case>,
    /// The number of pairs that are covered.
    pub pairs: usize,
    /// The number of pairs that are incompatible.
    pub apart: usize,
    /// The number of pairs that are not covered, because `count` was too small.
    pub left: usize,
}

/// Returns at most `count` combinations, generated from `seed`.
#[must_use]
pub fn sample(seed: u64, count: usize) -> Sample {
    let mut random = Random::new(seed);
    let tags = Case::all_tags();
    let mut open: BTreeSet<(Tag, Tag)> = BTreeSet::new();
    for (index, one) in tags.iter().enumerate() {
        for other in &tags[index + 1..] {
            let pair = if one < other {
                (one, other)
            } else {
                (other, one)
            };
            if dimension(one) != dimension(other) || is_several(one) {
                open.insert((pair.0.clone(), pair.1.clone()));
            }
        }
    }
    let mut met: BTreeMap<(Tag, Tag), usize> = BTreeMap::new();
    let mut apart = 0;
    let mut cases: Vec<Case> = Vec::new();
    let mut wanted: Vec<(Tag, Tag)> = open.iter().cloned().collect();
    random.shuffle(&mut wanted);
    for pair in wanted {
        if cases.len() >= count {
            break;
        }
        if !open.contains(&pair) {
            continue;
        }
        // Of several combinations with this pair, takes the one with the most new pairs.
        let mut best: Option<(usize, Case)> = None;
        let mut found = 0;
        for _ in 0..ATTEMPTS {
            let Some(case) = attempt(cases.len(), &pair, &mut random) else {
                continue;
            };
            let new = pairs(&case).filter(|pair| open.contains(pair)).count();
            if best.as_ref().is_none_or(|(most, _)| new > *most) {
                best = Some((new, case));
            }
            found += 1;
            if found == 12 {
                break;
            }
        }
        match best {
            Some((_, case)) => {
                for pair in pairs(&case) {
                    open.remove(&pair);
                    *met.entry(pair).or_default() += 1;
                }
                cases.push(case);
            }
            None => {
                open.remove(&pair);
                apart += 1;
            }
        }
    }
    // Fills up with random combinations.
    let left = open.len();
    while cases.len() < count {
        let mut case = Case::random(cases.len(), &mut random);
        if case.settle() {
            for pair in pairs(&case) {
                *met.entry(pair).or_default() += 1;
            }
            cases.push(case);
        }
    }
    Sample {
        cases,
        pairs: met.len(),
        apart,
        left,
    }
}

fn attempt(number: usize, (one, other): &(Tag, Tag), random: &mut Random) -> Option<Case> {
    let mut case = Case::random(number, random);
    case.force(one, random);
    case.force(other, random);
    if !case.settle() {
        return None;
    }
    let tags = case.tags();
    (tags.contains(one) && tags.contains(other)).then_some(case)
}

fn pairs(case: &Case) -> impl Iterator<Item = (Tag, Tag)> {
    let tags = case.tags();
    let mut pairs = Vec::new();
    for (index, one) in tags.iter().enumerate() {
        for other in &tags[index + 1..] {
            pairs.push((one.clone(), other.clone()));
        }
    }
    pairs.into_iter()
}

fn dimension(tag: &str) -> &str {
    tag.split(' ').next().unwrap_or_default()
}

/// Returns whether a function can have several values of the tag's dimension.
fn is_several(tag: &str) -> bool {
    matches!(dimension(tag), "argument" | "step")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_functions() {
        let texts = |seed| -> Vec<String> {
            let cases = sample(seed, 40).cases;
            cases
                .iter()
                .map(|case| {
                    crate::source::function(case)
                        .expect("it is settled")
                        .module(true)
                })
                .collect()
        };
        assert_eq!(texts(1), texts(1));
        assert_ne!(texts(1), texts(2));
    }

    #[test]
    fn the_two_sides_have_the_same_lines() {
        for case in sample(3, 60).cases {
            let source = crate::source::function(&case).expect("it is settled");
            let (plain, annotated) = (source.module(false), source.module(true));
            assert!(annotated.contains("instrumented"));
            assert_eq!(plain.lines().count(), annotated.lines().count());
            for (plain, annotated) in plain.lines().zip(annotated.lines()) {
                assert!(plain == annotated || plain.trim() == "//");
            }
        }
    }
}
