//! What the two sides may not differ in, and the few known differences.

use std::collections::BTreeSet;

use crate::arguments::Argument;
use crate::case::{Asyncness, Attribute, Case, Labels};
use crate::project::{Observed, Remark};

/// How much larger than the plain one an annotated future may be, in bytes: the record
/// of the call and the teller. Where the plain function does not hold its arguments
/// over an await, the annotated one holds them once more.
pub const LARGER: u64 = 136;

/// Each difference, in a line or a few.
#[must_use]
pub fn differences(case: &Case, plain: &Observed, annotated: &Observed) -> Vec<String> {
    let mut found = Vec::new();
    if !plain.errors.is_empty() {
        found.push(format!(
            "the generator wrote something that does not compile:{}",
            listed(&plain.errors)
        ));
        return found;
    }
    if !annotated.errors.is_empty() {
        found.push(format!("does not compile:{}", listed(&annotated.errors)));
        return found;
    }
    let only = |one: &BTreeSet<Remark>, other: &BTreeSet<Remark>| -> BTreeSet<Remark> {
        let keys: BTreeSet<_> = other.iter().map(Remark::key).collect();
        one.iter()
            .filter(|remark| !keys.contains(&remark.key()))
            .cloned()
            .collect()
    };
    let mut new = only(&annotated.warnings, &plain.warnings);
    new.retain(|remark| !may_come(case, &remark.code));
    if !new.is_empty() {
        found.push(format!("warnings only with the attribute:{}", listed(&new)));
    }
    let mut gone = only(&plain.warnings, &annotated.warnings);
    gone.retain(|remark| !may_go(case, &remark.code));
    if !gone.is_empty() {
        found.push(format!(
            "warnings only without the attribute:{}",
            listed(&gone)
        ));
    }
    for (scenario, log) in &plain.logs {
        let other = annotated.logs.get(scenario).map_or(&[][..], Vec::as_slice);
        let is_same = if is_in_any_order(case) {
            sorted(log) == sorted(other)
        } else {
            log == other
        };
        if !is_same {
            found.push(format!(
                "{scenario}:\n    plain     {log:?}\n    annotated {other:?}"
            ));
        }
    }
    if plain.auto_traits != annotated.auto_traits {
        found.push(format!(
            "auto traits: {:?} plain, {:?} annotated",
            plain.auto_traits, annotated.auto_traits
        ));
    }
    if let (Some(of_plain), Some(of_annotated)) = (plain.size, annotated.size)
        && of_annotated > of_plain + plain.arguments + LARGER
        && !is_larger(case)
    {
        found.push(format!(
            "the future has {of_annotated} bytes, not {of_plain}; its arguments have {}",
            plain.arguments
        ));
    }
    if annotated.counted != annotated.started {
        found.push(format!(
            "{} calls were counted, and {} started",
            annotated.counted, annotated.started
        ));
    }
    if annotated.in_progress != 0.0 {
        found.push(format!(
            "{} calls are still in progress",
            annotated.in_progress
        ));
    }
    found
}

/// Where the order of drops is known to differ.
fn is_in_any_order(case: &Case) -> bool {
    // What a pattern does not bind of its argument, or binds by `ref`, is dropped later.
    case.arguments
        .iter()
        .any(|argument| matches!(argument, Argument::RestPattern | Argument::RefBinding))
        // `#[tracing::instrument]` drops arguments in another order than Rust does, but
        // finds them in Rust's order in what our attribute leaves.
        || case.attribute == Attribute::Tracing
}

/// Where a future is known to be larger than the bound.
#[must_use]
pub fn is_larger(case: &Case) -> bool {
    // The future of the label is the user's.
    case.labels == Labels::Awaiting
        // It holds our future twice.
        || case.attribute == Attribute::Tracing
}

/// The lints that say more with the attribute.
fn may_come(case: &Case, lint: &str) -> bool {
    // `#[tracing::instrument]` hides what it should say of the plain function.
    case.attribute == Attribute::Tracing && lint == "clippy::items_after_statements"
}

/// The lints that say less with the attribute.
fn may_go(case: &Case, lint: &str) -> bool {
    match lint {
        // A label is a use of an argument.
        "unused_variables" | "clippy::needless_pass_by_value"
            if matches!(case.labels, Labels::Expression | Labels::Several) =>
        {
            true
        }
        // Of an argument of which only fields are assigned, and that has no `Drop`.
        // `#[tracing::instrument]` captures an argument of which only fields are assigned,
        // and rustc then says, wrongly, that the argument is unused.
        "unused_variables" if case.attribute == Attribute::Tracing => true,
        "unused_variables" => case
            .arguments
            .iter()
            .any(|argument| matches!(argument, Argument::MutPair | Argument::MutTuple)),
        // A variable is captured, and rustc's lint on captures fires where the plain
        // function has nothing wrong with it. So it is silenced where an argument is not
        // read, or assigned to.
        "unused_assignments" => true,
        // The expansion awaits, and is more than one block.
        "clippy::unused_async" | "clippy::manual_async_fn" => true,
        // Clippy leaves these alone in functions that a macro has written.
        "clippy::elidable_lifetime_names" | "clippy::needless_lifetimes" => true,
        "clippy::needless_return" => true,
        // The body is in a closure of the expansion.
        "clippy::boxed_local" | "clippy::needless_pass_by_value" | "clippy::unused_self" => {
            case.asyncness != Asyncness::AsyncFn
        }
        _ => false,
    }
}

fn sorted(log: &[String]) -> Vec<&String> {
    let mut log: Vec<&String> = log.iter().collect();
    log.sort();
    log
}

fn listed(remarks: &BTreeSet<Remark>) -> String {
    remarks
        .iter()
        .map(|remark| {
            format!(
                "\n    {} {} at {}: {}",
                remark.level, remark.code, remark.at, remark.message
            )
        })
        .collect()
}
