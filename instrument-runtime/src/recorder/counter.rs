//! A sharded counter.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use metrics::CounterFn;

use crate::recorder::exemplars::Exemplar;
use crate::recorder::number::Number;
use crate::recorder::point::{Instrument, Kind, Point};
use crate::recorder::registry::Cell;
use crate::recorder::shards::{Shard, Words};
use crate::recorder::threads::Thread;

/// A counter of one word per shard.
#[derive(Debug)]
pub(super) struct Counter {
    words: Words,
    exemplar: Mutex<Option<Box<Exemplar>>>,
}

impl Counter {
    #[inline]
    pub(super) fn add(&self, thread: Thread, value: u64) {
        let count = move |shard: Shard<'_>| shard.add(0, value, Ordering::Relaxed);
        self.words.write(thread, count);
    }

    /// Shows a call as the exemplar of the counter.
    pub(super) fn keep_exemplar(&self, exemplar: Exemplar) {
        let value = Number::U64(1);
        // Does not wait for a render that is reading the exemplar.
        if let Ok(mut kept) = self.exemplar.try_lock() {
            *kept = Some(Box::new(Exemplar { value, ..exemplar }));
        }
    }

    pub(super) fn value(&self) -> u64 {
        self.words
            .shards()
            .map(|shard| shard.load(0, Ordering::Relaxed))
            .fold(0, u64::wrapping_add)
    }
}

impl Instrument for Counter {
    const KIND: Kind = Kind::Counter;
    type Layout = ();

    fn words((): &()) -> usize {
        1
    }

    fn new(words: Words, (): &()) -> Self {
        Self {
            words,
            exemplar: Mutex::default(),
        }
    }

    fn point(&self) -> Point<'_> {
        let exemplar = {
            let kept = self.exemplar.lock().unwrap_or_else(PoisonError::into_inner);
            kept.as_deref().copied()
        };
        Point::Counter {
            value: Number::U64(self.value()),
            exemplar,
        }
    }
}

impl CounterFn for Cell<Counter> {
    #[inline]
    fn increment(&self, value: u64) {
        self.instrument.add(Thread::current(), value);
    }

    /// Raises the counter to `value`, and never lowers it. Takes a lock, which is
    /// acceptable because our own call sites only increment.
    #[cold]
    fn absolute(&self, value: u64) {
        // Without the lock, two concurrent calls could both add the difference.
        static ABSOLUTE: Mutex<()> = Mutex::new(());
        let _one_at_a_time = ABSOLUTE.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = value.saturating_sub(self.instrument.value());
        self.increment(missing);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::recorder::labels::LabelSet;
    use crate::recorder::registry::Registry;
    use crate::recorder::shards::tests::SHARDS;

    #[test]
    fn no_increment_is_lost_between_threads() {
        let series = Registry::<Counter>::new((), 1, SHARDS).series(LabelSet::default());
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10_000).for_each(|_| series.increment(1)));
            }
        });
        assert_eq!(series.instrument.value(), 80_000);
    }

    #[test]
    fn absolute_raises_and_never_lowers() {
        let series = Registry::<Counter>::new((), 1, SHARDS).series(LabelSet::default());
        series.increment(3);
        series.absolute(10);
        assert_eq!(series.instrument.value(), 10);
        series.absolute(5);
        assert_eq!(series.instrument.value(), 10);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|value| series.absolute(value)));
            }
        });
        assert_eq!(series.instrument.value(), 999);
    }
}
