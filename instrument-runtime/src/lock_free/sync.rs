//! The atomics and locks that the lock-free code uses. `tests/models` replaces this
//! module with loom's versions of the same types.

pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock};

/// Declares a static. In `tests/models`, every run of a model gets a new value.
macro_rules! global {
    (static $name:ident: $type:ty = $value:expr;) => {
        static $name: $type = $value;
    };
}

pub(crate) use global;
