//! The number of the thread that records. While a thread lives its number is its
//! own, so that a word which only this number writes to needs no atomic
//! read-modify-write: a load and a store are three times as fast.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::PoisonError;

use crate::lock_free::sync::{Mutex, global};

/// The number of the thread that records. It stays on that thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread(usize, PhantomData<*const ()>);

/// What a thread-local has before its thread first records.
const UNKNOWN: usize = usize::MAX;
/// For a thread that records while its thread-locals are being destroyed: its lease
/// has already been returned.
const ENDING: usize = usize::MAX / 2;

thread_local! {
    /// Without a destructor, so that it can be read to the thread's very end.
    static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
    static LEASE: Lease = Lease::take();
}

impl Thread {
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

    /// A low number if there is one: no two live threads have the same below
    /// [`ENDING`].
    #[inline]
    pub(super) fn number(self) -> usize {
        self.0
    }

    #[cfg(test)]
    pub(super) fn of_number(number: usize) -> Self {
        Self(number, PhantomData)
    }
}

/// A number that is this thread's until it ends.
#[derive(Debug)]
struct Lease(usize);

#[derive(Debug)]
struct Numbers {
    next: usize,
    /// Those below `next` whose threads have ended.
    free: BTreeSet<usize>,
}

global! {
    static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers {
        next: 0,
        free: BTreeSet::new(),
    });
}

impl Lease {
    /// The lock orders what the number's last thread stored before what its next
    /// one loads.
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
        // Other tests of this process take numbers too, so not always the same.
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
            // One of them outlives the lease, whichever way they are dropped.
            FIRST.set(Some(Late(late.clone())));
            Thread::current();
            LAST.set(Some(Late(late)));
        })
        .join()
        .expect("no panic");
        assert!(seen.iter().any(|number| number == ENDING));
    }
}
