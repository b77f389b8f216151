//! Thread numbers, which select the shard that a thread writes to.
//!
//! No two live threads have the same number. A word that is written only under one
//! number therefore has one writer at a time, which can add with a load and a store
//! instead of an atomic read-modify-write. That is about three times as fast.
//!
//! A thread leases its number when it first records, and returns it when it ends. The
//! lowest free number is leased first, so that low numbers, which have shards of their
//! own, are reused:
//!
//! ```text
//!  thread         NUMBER     LEASE         NUMBERS (one for the process, locked)
//!
//!  starts         UNKNOWN                  { next: 4, free: {1} }
//!  records        1          Lease(1)      { next: 4, free: {} }      lease 1
//!  records again  1          Lease(1)      no access: NUMBER is thread-local
//!  ends           ENDING     (dropped)     { next: 4, free: {1} }     return 1
//!  records while
//!  ending         ENDING     (dropped)     no access: uses a shared shard
//! ```
//!
//! If no number is free, a lease takes `next` and increments it. `ENDING` is never
//! leased, and is so high that it never has a shard of its own. A thread whose `NUMBER`
//! is `ENDING` therefore uses a shared shard, where it adds with a read-modify-write.
//!
//! Returning a number and leasing it again both lock `NUMBERS`. So the writes of a
//! number's previous thread happen before the reads of its next thread.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::PoisonError;

use crate::lock_free::sync::{Mutex, global};

/// The number of the current thread. Not `Send`, because it is valid on that thread
/// only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread(usize, PhantomData<*const ()>);

/// The value of `NUMBER` until the thread first records.
const UNKNOWN: usize = usize::MAX;
/// The value of `NUMBER` for a thread that records while its thread-locals are being
/// destroyed. Its lease has already been returned.
const ENDING: usize = usize::MAX / 2;

thread_local! {
    /// The number, or `UNKNOWN`, or `ENDING`. A `Cell<usize>` has no destructor, so it
    /// remains readable while the thread-locals of the thread are being destroyed.
    static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
    /// Returns the number when the thread ends.
    static LEASE: Lease = Lease::take();
}

impl Thread {
    /// Returns the number of the current thread. The first call on a thread leases it.
    #[inline]
    pub(crate) fn current() -> Self {
        match NUMBER.with(Cell::get) {
            UNKNOWN => Self::first(),
            number => Self(number, PhantomData),
        }
    }

    #[cold]
    fn first() -> Self {
        let number = LEASE.try_with(|lease| lease.0).unwrap_or(ENDING);
        NUMBER.with(|known| known.set(number));
        Self(number, PhantomData)
    }

    /// Returns the number. It was the lowest free number when the thread leased it. No
    /// two live threads have the same number, except for [`ENDING`].
    #[inline]
    pub(super) fn number(self) -> usize {
        self.0
    }

    #[cfg(test)]
    pub(super) fn of_number(number: usize) -> Self {
        Self(number, PhantomData)
    }
}

/// A number that belongs to this thread until the lease is dropped.
#[derive(Debug)]
struct Lease(usize);

#[derive(Debug)]
struct Numbers {
    /// The lowest number that was never leased.
    next: usize,
    /// The numbers below `next` whose threads have ended.
    free: BTreeSet<usize>,
}

global! {
    static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers {
        next: 0,
        free: BTreeSet::new(),
    });
}

impl Lease {
    /// Leases the lowest free number. The lock establishes the happens-before relation
    /// between the stores of the number's previous thread and the loads of this thread.
    fn take() -> Self {
        let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.free.pop_first().unwrap_or_else(|| {
            numbers.next += 1;
            numbers.next - 1
        });
        Self(number)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        NUMBER.with(|known| known.set(ENDING));
        let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.free.insert(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    #[test]
    fn no_two_live_threads_have_one_number() {
        const THREADS: usize = 8;
        for _ in 0..50 {
            let all_have_one = Barrier::new(THREADS);
            let numbers: HashSet<usize> = thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS)
                    .map(|_| {
                        scope.spawn(|| {
                            let number = Thread::current().number();
                            all_have_one.wait();
                            assert_eq!(Thread::current().number(), number);
                            number
                        })
                    })
                    .collect();
                let joined = threads.into_iter().map(|thread| thread.join());
                joined.map(|number| number.expect("no panic")).collect()
            });
            assert_eq!(numbers.len(), THREADS, "{numbers:?}");
        }
    }

    #[test]
    fn a_number_is_used_again() {
        // Other tests in this process lease numbers too, so the number may vary.
        let numbers: HashSet<usize> = (0..1000)
            .map(|_| thread::spawn(|| Thread::current().number()))
            .map(|thread| thread.join().expect("no panic"))
            .collect();
        assert!(numbers.len() < 500, "{} numbers", numbers.len());
    }

    #[test]
    fn what_records_while_its_thread_ends_has_no_number() {
        struct Late(std::sync::mpsc::Sender<usize>);
        impl Drop for Late {
            fn drop(&mut self) {
                let _ = self.0.send(Thread::current().number());
            }
        }
        thread_local! {
            static FIRST: RefCell<Option<Late>> = const { RefCell::new(None) };
            static LAST: RefCell<Option<Late>> = const { RefCell::new(None) };
        }
        let (late, seen) = channel();
        thread::spawn(move || {
            // One of the two thread-locals outlives the lease, whichever order of
            // destruction the platform has.
            FIRST.set(Some(Late(late.clone())));
            Thread::current();
            LAST.set(Some(Late(late)));
        })
        .join()
        .expect("no panic");
        assert!(seen.iter().any(|number| number == ENDING));
    }
}
