//! Every shape of function that the attribute goes on, a module a theme. Each
//! is called, and its count, its outcome and its duration are checked.

// What is tested is that odd functions work as they stand.
#![allow(dead_code, clippy::all, clippy::unwrap_used)]

mod arguments;
mod async_trait;
mod attributes;
mod depth;
mod futures;
mod generics;
mod impl_block;
mod labels;
mod other_macros;
mod receivers;
mod returns;
mod scopes;
mod traits;
mod twins;

use instrument_runtime::instrumented;
use instrument_tests::recorded::{measured, work};

/// One call of a function in the calling test's module, that ends `ok`.
fn ok<T>(endpoint: &str, call: impl AsyncFnOnce() -> T) -> T {
    measured(&format!("endpoint={endpoint}"), "outcome=ok", call)
}

/// The same, that ends in an `Err` without a status.
fn error<T>(endpoint: &str, call: impl AsyncFnOnce() -> T) -> T {
    measured(&format!("endpoint={endpoint}"), "outcome=error", call)
}
