//! The request that is current on a thread, and the layer's poll that is running.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::{Caller, HAS_LAYER, Request, Ticket};
use crate::call::clock::Instant;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Request>>> = const { RefCell::new(None) };
    /// Whether `CURRENT` contains a request. Cheaper to read, for calls outside requests.
    static IS_CURRENT: Cell<bool> = const { Cell::new(false) };
    static POLL: Cell<Option<Poll>> = const { Cell::new(None) };
}

/// Identifies one poll by a layer. The layer's call of the inner service counts as part
/// of the first poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Poll {
    /// The address of the request, so that polls of different requests differ.
    pub(super) request: usize,
    /// Which of the request's layers is polling.
    pub(super) layer: u32,
    pub(super) number: u32,
}

impl Poll {
    pub(super) fn current() -> Option<Self> {
        POLL.get()
    }

    /// Runs `run` as part of this poll.
    pub(super) fn during<T>(self, run: impl FnOnce() -> T) -> T {
        struct Restore(Option<Poll>);

        impl Drop for Restore {
            fn drop(&mut self) {
                POLL.set(self.0);
            }
        }

        let _restore = Restore(POLL.replace(Some(self)));
        run()
    }
}

/// Identifies a thread among all running threads, by the address of a thread-local.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ThreadMark(usize);

impl ThreadMark {
    pub(super) fn current() -> Option<Self> {
        let address = CURRENT.try_with(|current| std::ptr::from_ref(current).addr());
        address.ok().map(Self)
    }
}

/// Swaps the current request with the one in `slot`. Does nothing on a thread whose
/// thread-locals are being destroyed.
fn swap_current(slot: &mut Option<Arc<Request>>) {
    let _ = CURRENT.try_with(|current| {
        let mut current = current.borrow_mut();
        std::mem::swap(&mut *current, slot);
        IS_CURRENT.set(current.is_some());
    });
}

/// Runs `run` with the request in `slot` as the current one.
pub(super) fn within<T>(slot: &mut Option<Arc<Request>>, run: impl FnOnce() -> T) -> T {
    /// Swaps back, also if `run` panics.
    struct Restore<'a>(&'a mut Option<Arc<Request>>);

    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            swap_current(self.0);
        }
    }

    swap_current(slot);
    let _restore = Restore(slot);
    run()
}

/// Runs `run` with no current request.
///
/// For code that calls a recorder: a recorder is foreign code and may call instrumented
/// functions.
pub(super) fn apart<T>(run: impl FnOnce() -> T) -> T {
    if is_current() {
        within(&mut None, run)
    } else {
        run()
    }
}

/// Calls `ask` with the current request, if there is one.
pub(super) fn with_current<T>(ask: impl FnOnce(&Arc<Request>) -> T) -> Option<T> {
    let asked = CURRENT.try_with(|current| current.try_borrow().ok()?.as_ref().map(ask));
    asked.ok().flatten()
}

/// Returns whether a request is current on this thread.
#[inline]
pub(crate) fn is_current() -> bool {
    HAS_LAYER && IS_CURRENT.get()
}

/// Reports the start of a call to the current request.
///
/// Returns a ticket and the start of the call if the request keeps track of the call, because
/// the call is its handler or could be.
#[cold]
pub(crate) fn starts(caller: &Caller<'_>) -> Option<(Ticket, Instant)> {
    let request = with_current(Arc::clone)?;
    apart(|| request.starts(caller))
}

/// Sets the route of the current request.
pub(crate) fn refine_current(route: super::Route) {
    if let Some(request) = with_current(Arc::clone) {
        apart(|| request.refine(Some(route)));
    }
}
