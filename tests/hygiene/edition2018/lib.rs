//! Edition 2018, without a prelude, with every lint an error and the runtime crate under another name.

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
    pub use ::handler_metrics::__private;
    pub use ::handler_metrics::*;
}

::core::include!("../everywhere.rs");
