//! [Loom](https://docs.rs/loom) models of the lock-free code of `instrument-runtime`.
//!
//! The sources of the runtime are compiled here with loom's atomics, locks and threads in
//! place of the standard library's. Each model is a small program. Loom explores its
//! interleavings, up to a bound on preemptions, and the values that each load may return
//! under the C11 memory model.
//!
//! ```text
//! cargo test --release -p instrument-models
//! ```
//!
//! The files:
//!
//! ```text
//! models           runs each model as a test
//! growing          models of the list and the trie
//! recorder_models  models of thread numbers, shards, gauges, histograms and oldest calls
//! diagnostics      messages that are not written
//! lock_free        includes the runtime's `lock_free`
//! recorder         includes the runtime's `recorder`
//! sync             loom's types, in place of `lock_free::sync`
//! ```

// The unit tests in the included sources need the standard library's types.
#![cfg(not(test))]

/// Replaces the standard library's macro in the modules below.
macro_rules! thread_local {
    ($($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;)*) => {$(
        $(#[$meta])*
        static $name: $crate::lock_free::sync::LocalKey<$type> = $crate::lock_free::sync::LocalKey {
            init: || $init,
            _id: 0,
        };
    )*};
}

mod diagnostics;
#[allow(dead_code, reason = "the models use only a part of each file")]
mod lock_free;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the models use only a part of each file"
)]
mod recorder;

mod growing;

pub use growing::{list_of_ends, trie_of_values};
pub use recorder::models::{
    gauge_order, histogram_carry, histogram_carry_of_two, oldest_growth, oldest_handover,
    oldest_order, oldest_shared, shared_shard, thread_leases,
};
