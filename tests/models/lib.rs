//! The lock-free parts of `instrument-runtime`, compiled from their own sources with
//! [loom](https://docs.rs/loom)'s atomics, locks and threads in place of the standard
//! library's. Each model is a small program that loom runs in every interleaving, up
//! to a bound on preemptions, and with every value that a load may see by the rules
//! of the C++ memory model.
//!
//! ```text
//! cargo test --release -p instrument-models
//! ```

// The unit tests beside the sources are for the standard library's types.
#![cfg(not(test))]

/// In place of the standard library's, for the modules below.
macro_rules! thread_local {
    ($($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;)*) => {$(
        $(#[$meta])*
        static $name: $crate::lock_free::sync::LocalKey<$type> = $crate::lock_free::sync::LocalKey {
            init: || $init,
            _id: 0,
        };
    )*};
}

#[allow(dead_code, reason = "a model uses a part of each file")]
mod lock_free;
#[allow(dead_code, reason = "a model uses a part of each file")]
mod recorder;

mod growing;

pub use growing::{list_of_ends, trie_of_values};
pub use recorder::models::{
    gauge_order, histogram_carry, histogram_carry_of_two, shared_shard, thread_leases,
};
