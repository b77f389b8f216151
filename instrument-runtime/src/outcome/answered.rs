//! Whether the outcome that is being read matters less than the answer that a layer
//! will see.

use std::cell::Cell;

thread_local! {
    static IS_ANSWERED_BY_LAYER: Cell<bool> = const { Cell::new(false) };
}

/// Asks a handler's return value for its outcome, which matters less than the answer
/// that the layer is going to see.
pub(crate) fn before_the_answer<T>(ask: impl FnOnce() -> T) -> T {
    /// Puts it back, also when `ask` panics.
    struct Restore(bool);

    impl Drop for Restore {
        fn drop(&mut self) {
            IS_ANSWERED_BY_LAYER.set(self.0);
        }
    }

    let _restore = Restore(IS_ANSWERED_BY_LAYER.replace(true));
    ask()
}

/// Whether the layer is going to see the answer of the call that is asked for its
/// outcome.
pub(crate) fn is_answered_by_layer() -> bool {
    IS_ANSWERED_BY_LAYER.get()
}
