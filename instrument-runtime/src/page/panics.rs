//! A panic while a page is made costs that page, and nothing else: the thread that
//! makes pages goes on, and the next page has the count.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// For the process, which has one installation.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// What a panic that kept the page from being made is answered with.
pub(crate) const PANICKED: &str =
    "500: a panic kept the page from being made; its message is where the process logs panics\n";

/// How many pages a panic has cost.
pub(crate) fn count() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// The page could not be made. The panic hook has said why, on stderr unless the
/// application has set another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Makes a page, or counts the panic.
///
/// Unwind safety: the recorder's storage is atomics and locks whose poison is
/// ignored, and what `make` itself holds is dropped by the unwinding.
pub(crate) fn caught<T>(make: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(make)).map_err(|_payload| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        Panicked
    })
}

/// The same for a page that the application makes itself: the panic is counted and
/// goes on.
pub(crate) fn counted<T>(make: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|payload| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        resume_unwind(payload)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_counted_and_goes_no_further_unless_it_is_to() {
        let before = count();
        assert_eq!(caught(|| 1), Ok(1));
        assert_eq!(caught(|| -> u8 { panic!("on purpose") }), Err(Panicked));
        // Other tests of this process may count too.
        assert!(count() > before);
        let before = count();
        assert_eq!(counted(|| 1), 1);
        let unwound = catch_unwind(|| counted(|| -> u8 { panic!("on purpose") }));
        let payload = unwound.expect_err("it goes on");
        assert_eq!(payload.downcast_ref(), Some(&"on purpose"));
        assert!(count() > before);
    }
}
