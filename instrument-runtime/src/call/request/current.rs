//! The request that is current on a thread, and the poll in whose course it is.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::{Caller, HAS_LAYER, Request, Ticket};

thread_local! {
    static CURRENT: RefCell<Option<Arc<Request>>> = const { RefCell::new(None) };
    /// Whether there is one, for calls outside of all requests.
    static IS_CURRENT: Cell<bool> = const { Cell::new(false) };
    static POLL: Cell<Option<Poll>> = const { Cell::new(None) };
}

/// One poll by a layer, or its call of the service before the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Poll {
    /// The request's address, so that another request's polls differ.
    pub(super) request: usize,
    /// Which of the request's layers polls.
    pub(super) layer: u32,
    pub(super) number: u32,
}

impl Poll {
    pub(super) fn current() -> Option<Self> {
        POLL.get()
    }

    /// Runs `run` in the course of this poll.
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

/// A thread, while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ThreadMark(usize);

impl ThreadMark {
    pub(super) fn current() -> Option<Self> {
        let address = CURRENT.try_with(|current| std::ptr::from_ref(current).addr());
        address.ok().map(Self)
    }
}

/// Changes the current request for the one in `slot`. Nothing is current on a
/// thread whose thread-locals are being destroyed.
fn swap_current(slot: &mut Option<Arc<Request>>) {
    let _ = CURRENT.try_with(|current| {
        let mut current = current.borrow_mut();
        std::mem::swap(&mut *current, slot);
        IS_CURRENT.set(current.is_some());
    });
}

/// Runs `run` with the request in `slot` as the current one.
pub(super) fn within<T>(slot: &mut Option<Arc<Request>>, run: impl FnOnce() -> T) -> T {
    /// Puts all back as it was, also when `run` panics.
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

/// Runs `run` where no request is current: a recorder may call what it likes.
pub(super) fn apart<T>(run: impl FnOnce() -> T) -> T {
    if is_current() {
        within(&mut None, run)
    } else {
        run()
    }
}

pub(super) fn with_current<T>(ask: impl FnOnce(&Arc<Request>) -> T) -> Option<T> {
    let asked = CURRENT.try_with(|current| current.try_borrow().ok()?.as_ref().map(ask));
    asked.ok().flatten()
}

/// Whether a call that starts now is within a request.
#[inline]
pub(crate) fn is_current() -> bool {
    HAS_LAYER && IS_CURRENT.get()
}

/// Whether the current request knows the call that starts: as its handler, or as
/// one that could be.
#[cold]
pub(crate) fn starts(caller: &Caller<'_>) -> Option<Ticket> {
    let request = with_current(Arc::clone)?;
    apart(|| request.starts(caller))
}

/// Tells the current request its route.
pub(crate) fn refine_current(route: super::Route) {
    if let Some(request) = with_current(Arc::clone) {
        apart(|| request.refine(Some(route)));
    }
}
