//! Compares the two sides, except for the few known differences.

use std::collections::BTreeSet;

use crate::arguments::Argument;
use crate::case::{Asyncness, Attribute, Case, Labels};
use crate::project::{Observed, Remark};

/// The number of bytes by which an annotated future may be larger than the plain future:
/// the record of the call and the outcome probe. If the plain function does not hold its
/// arguments across an await, the annotated function holds them in addition.
pub const LARGER: u64 = 136;

/// Returns each difference as text of one or a few lines.
#[must_use]
pub fn differences(case: &Case, plain: &Observed, annotated: &Observed) -> Vec<String> {
    let mut found = Vec::new();
    if !plain.errors.is_empty() {
        found.push(format!(
            "the plain function does not compile, so the generator has a bug:{}",
            listed(&plain.errors)
        ));
        return found;
    }
    if !annotated.errors.is_empty() {
        found.push(format!(
            "the annotated function does not compile:{}",
            listed(&annotated.errors)
        ));
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
        && of_annotated > of_plain + held(case, plain.arguments) + LARGER
        && !is_larger(case)
    {
        found.push(format!(
            "the annotated future has {of_annotated} bytes, the plain future {of_plain}, and the \
             arguments {}",
            plain.arguments
        ));
    }
    if annotated.counted != annotated.started {
        found.push(format!(
            "{} calls were counted, but {} calls started",
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

/// Returns how many bytes of its arguments the annotated future may hold beyond the plain
/// future.
fn held(case: &Case, arguments: u64) -> u64 {
    // A pattern with `..` leaves a part of its argument in place. The future holds the
    // whole argument and, beside it, what the pattern binds.
    let leaves_a_rest = case.arguments.contains(&Argument::RestPattern);
    // A label borrows from the argument before the body takes it. rustc then keeps the
    // argument in two places, unless the argument has a `Drop` implementation.
    let is_read_by_label = case.asyncness == Asyncness::AsyncFn
        && reads_arguments(case)
        && case.arguments.iter().any(|argument| {
            matches!(
                argument,
                Argument::Pair | Argument::MutPair | Argument::MutTuple
            )
        });
    if leaves_a_rest || is_read_by_label {
        2 * arguments
    } else {
        arguments
    }
}

/// Returns whether the expression of a label reads an argument.
fn reads_arguments(case: &Case) -> bool {
    matches!(
        case.labels,
        Labels::Expression | Labels::Several | Labels::AwaitingBetween
    )
}

/// Returns whether the drop order is known to differ.
fn is_in_any_order(case: &Case) -> bool {
    // The parts of an argument that its pattern does not bind, or binds by `ref`, are
    // dropped later.
    case.arguments
        .iter()
        .any(|argument| matches!(argument, Argument::RestPattern | Argument::RefBinding))
        // `#[tracing::instrument]` changes the drop order of the arguments, but not in
        // the expansion of our attribute.
        || case.attribute == Attribute::Tracing
}

/// Returns whether the future is known to exceed [`LARGER`].
#[must_use]
pub fn is_larger(case: &Case) -> bool {
    // The annotated future also holds the future of the user's label.
    case.labels.are_awaited()
        // `#[tracing::instrument]` holds the future twice.
        || case.attribute == Attribute::Tracing
}

/// Returns whether a lint may warn only with the attribute.
fn may_come(case: &Case, lint: &str) -> bool {
    // `#[tracing::instrument]` hides the warning on the plain function.
    case.attribute == Attribute::Tracing && lint == "clippy::items_after_statements"
}

/// Returns whether a lint may warn only without the attribute.
fn may_go(case: &Case, lint: &str) -> bool {
    match lint {
        // A label uses an argument.
        "unused_variables" | "clippy::needless_pass_by_value" if reads_arguments(case) => true,
        // `#[tracing::instrument]` captures an argument of which only fields are
        // assigned. rustc then reports the argument as unused, wrongly.
        "unused_variables" if case.attribute == Attribute::Tracing => true,
        // An argument without `Drop`, of which only fields are assigned.
        "unused_variables" => case
            .arguments
            .iter()
            .any(|argument| matches!(argument, Argument::MutPair | Argument::MutTuple)),
        // The expansion captures the arguments. For captured variables, rustc's lint
        // would warn although the plain function is correct. The expansion therefore
        // allows the lint if an argument is assigned to or not read.
        "unused_assignments" => true,
        // The expansion contains an `.await`, and more than one block.
        "clippy::unused_async" | "clippy::manual_async_fn" => true,
        // Clippy does not apply these to functions from macros.
        "clippy::elidable_lifetime_names" | "clippy::needless_lifetimes" => true,
        "clippy::needless_return" => true,
        // The expansion puts the body into a closure.
        "clippy::boxed_local" | "clippy::needless_pass_by_value" | "clippy::unused_self" => {
            case.asyncness != Asyncness::AsyncFn
        }
        "clippy::unnecessary_wraps" => case.asyncness == Asyncness::Plain,
        // The expansion allows the lints that the closure hides, instead of expecting them.
        "unfulfilled_lint_expectations" => {
            case.asyncness == Asyncness::Plain && case.attribute == Attribute::Expect
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
