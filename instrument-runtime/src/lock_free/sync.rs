//! What the lock-free parts are built from. The models replace this module with
//! loom's versions of the same types.

pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock};

/// Declares a static; a model makes it again for each of its runs.
macro_rules! global {
    (static $name:ident: $type:ty = $value:expr;) => {
        static $name: $type = $value;
    };
}

pub(crate) use global;
