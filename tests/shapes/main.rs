//! Every shape of function that the attribute supports, one module per theme. Each
//! function is called, and its count, its outcome and its duration are checked.
//!
//! - `arguments`, `receivers`: patterns and names of arguments; forms of `self`.
//! - `returns`, `futures`: return types; functions that return a future.
//! - `plain`: functions that are not async.
//! - `generics`, `traits`, `impl_block`, `scopes`: where a function may be defined.
//! - `attributes`, `other_macros`, `async_trait`: other attributes on the same function.
//! - `labels`, `awaited_labels`: values of own labels; labels that await.
//! - `depth`: the use of `recursion_limit`.
//! - `twins`: the same function with and without the attribute.

// The functions are unusual on purpose, so dead code and Clippy's lints are allowed.
#![allow(dead_code, clippy::all, clippy::unwrap_used)]

mod arguments;
mod async_trait;
mod attributes;
mod awaited_labels;
mod depth;
mod futures;
mod generics;
mod impl_block;
mod labels;
mod other_macros;
mod plain;
mod receivers;
mod returns;
mod scopes;
mod traits;
mod twins;

use instrument_runtime::instrumented;
use instrument_tests::recorded::{measured, work};

/// Checks one call of a function in the calling test's module that ends with `ok`.
fn ok<T>(endpoint: &str, call: impl AsyncFnOnce() -> T) -> T {
    measured(&format!("endpoint={endpoint}"), "outcome=ok", call)
}

/// Checks one call that ends with an `Err` without a status.
fn error<T>(endpoint: &str, call: impl AsyncFnOnce() -> T) -> T {
    measured(&format!("endpoint={endpoint}"), "outcome=error", call)
}
