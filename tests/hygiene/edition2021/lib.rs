//! Edition 2021, without a prelude, with every lint an error and the runtime crate re-exported by another crate.

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
    pub use ::hygiene_edition2018::runtime::__private;
    pub use ::hygiene_edition2018::runtime::*;
}

::core::include!("../everywhere.rs");
