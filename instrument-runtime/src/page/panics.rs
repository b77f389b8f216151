//! Catches and counts panics during a render.
//!
//! A panic loses only the page that was being rendered. The thread that renders pages
//! continues, and the next page shows the count.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of renders that panicked. It is a static, because a process has one
/// installation.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// The body of the response when the render has panicked.
pub(crate) const PANICKED: &str =
    "500: rendering the page panicked; see the process's log for the panic message\n";

/// Returns the number of renders that panicked.
pub(crate) fn count() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// The render has panicked. The panic hook has already printed the message, by default on
/// stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Calls `make`. If it panics, counts the panic and stops unwinding.
///
/// Asserting unwind safety is sound: the recorder stores its state in atomics and in
/// locks whose poisoning is ignored, and unwinding drops what `make` itself owns.
pub(crate) fn caught<T>(make: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(make)).map_err(|_payload| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        Panicked
    })
}

/// Calls `make` for a render on one of the application's threads. If it panics, counts
/// the panic and resumes unwinding.
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
        // Other tests in this process may cause panics too.
        assert!(count() > before);
        let before = count();
        assert_eq!(counted(|| 1), 1);
        let unwound = catch_unwind(|| counted(|| -> u8 { panic!("on purpose") }));
        let payload = unwound.expect_err("it goes on");
        assert_eq!(payload.downcast_ref(), Some(&"on purpose"));
        assert!(count() > before);
    }
}
