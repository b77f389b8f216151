//! A thread-local flag that says that a layer will see the response of the current call.
//!
//! The flag is set while the outcome is read from the return value of a handler in a
//! layer's request. The layer takes the status from the actual response, so this outcome
//! need not be exact. For an actix-web error, the flag avoids rendering the response
//! twice.

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
