//! Edition 2024, without a prelude, with every lint an error and the runtime crate under its own name.

#![no_implicit_prelude]
#![forbid(unsafe_code)]
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_results,
    clippy::all,
    clippy::pedantic,
    clippy::nursery
)]

/// Re-exports the runtime crate.
pub mod runtime {
    #[doc(hidden)]
    pub use ::instrument_runtime::__private;
    pub use ::instrument_runtime::*;
}

::core::include!("../everywhere.rs");

/// Uses the attribute without `crate = …`, which finds the runtime crate by its name.
#[::instrument_runtime::instrumented]
pub async fn by_default() {
    pause().await;
}

#[test]
fn by_default_runs() {
    ::futures::executor::block_on(by_default());
}
