//! A flag that is set while the return value of a handler inside a layer's request is
//! read.
//!
//! The layer will see the actual response, so reading the value need not be exact.
//! actix-web's errors use the flag to avoid rendering a response twice.

use std::cell::Cell;

thread_local! {
    static IS_ANSWERED_BY_LAYER: Cell<bool> = const { Cell::new(false) };
}

/// Runs `ask` with the flag set. `ask` reads the outcome from the return value of a
/// handler whose response the layer will see.
pub(crate) fn before_the_answer<T>(ask: impl FnOnce() -> T) -> T {
    /// Restores the flag, also if `ask` panics.
    struct Restore(bool);

    impl Drop for Restore {
        fn drop(&mut self) {
            IS_ANSWERED_BY_LAYER.set(self.0);
        }
    }

    let _restore = Restore(IS_ANSWERED_BY_LAYER.replace(true));
    ask()
}

/// Returns whether a layer will see the response of the call whose outcome is being read.
pub(crate) fn is_answered_by_layer() -> bool {
    IS_ANSWERED_BY_LAYER.get()
}
