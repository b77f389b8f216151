//! A sharded gauge, made to go up and down by one.

use std::sync::PoisonError;

use metrics::GaugeFn;

use crate::lock_free::sync::{Mutex, MutexGuard, Ordering};
use crate::recorder::registry::Cell;
use crate::recorder::samples::{Instrument, Samples};
use crate::recorder::shards::{Shard, Words};
use crate::recorder::threads::Thread;

/// A series' words in a shard: the steps up, and the steps down.
const UP: usize = 0;
const DOWN: usize = 1;

/// Whole steps are counted in the shards. `set` and broken steps, which our own
/// call sites never take, move the base under a lock.
#[derive(Debug)]
pub(super) struct Gauge {
    words: Words,
    base: Mutex<Base>,
}

#[derive(Debug, Default)]
struct Base {
    value: f64,
    /// The steps that `value` already has in it.
    steps: i64,
}

impl Gauge {
    /// The words wrap, so only the difference of their wrapping sums means
    /// something. What is down went up before: with the downs read first, no call
    /// that starts or ends meanwhile takes the gauge below zero.
    fn steps(&self) -> i64 {
        let sum = |index| {
            self.words
                .shards()
                .map(|shard| shard.load(index, Ordering::Acquire))
                .fold(0, u64::wrapping_add)
        };
        let down = sum(DOWN);
        sum(UP).wrapping_sub(down) as i64
    }

    #[inline]
    pub(super) fn up(&self, thread: Thread, by: u64) {
        let step = move |shard: Shard<'_>| shard.add(UP, by, Ordering::Relaxed);
        self.words.write(thread, step);
    }

    #[inline]
    pub(super) fn down(&self, thread: Thread, by: u64) {
        let step = move |shard: Shard<'_>| shard.add(DOWN, by, Ordering::Release);
        self.words.write(thread, step);
    }

    #[cold]
    fn add(&self, value: f64) {
        // From 2^53 on, a float is no longer an exact number of steps.
        const WHOLE: f64 = 9_007_199_254_740_992.0;
        if value.abs() < WHOLE && value.trunc() == value {
            let (thread, by) = (Thread::current(), value.abs() as u64);
            if value > 0.0 {
                self.up(thread, by);
            } else {
                self.down(thread, by);
            }
        } else if value.is_finite() {
            self.base().value += value;
        }
        // Any other would stay for ever; only `set` may ask for that.
    }

    fn base(&self) -> MutexGuard<'_, Base> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn value(&self) -> f64 {
        let base = self.base();
        base.value + self.steps().wrapping_sub(base.steps) as f64
    }
}

impl Instrument for Gauge {
    const TYPE: &'static str = "gauge";
    type Layout = ();

    fn words((): &()) -> usize {
        2
    }

    fn new(words: Words, (): &()) -> Self {
        Self {
            words,
            base: Mutex::default(),
        }
    }

    fn write(&self, samples: &mut Samples<'_>) {
        samples.line("").f64(self.value());
    }
}

impl GaugeFn for Cell<Gauge> {
    #[inline]
    fn increment(&self, value: f64) {
        if value == 1.0 {
            self.instrument.up(Thread::current(), 1);
        } else {
            self.instrument.add(value);
        }
    }

    #[inline]
    fn decrement(&self, value: f64) {
        if value == 1.0 {
            self.instrument.down(Thread::current(), 1);
        } else {
            self.instrument.add(-value);
        }
    }

    /// A step of another thread meanwhile counts as before it or after it.
    #[cold]
    fn set(&self, value: f64) {
        let mut base = self.instrument.base();
        base.value = value;
        base.steps = self.instrument.steps();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;
    use crate::recorder::labels::LabelSet;
    use crate::recorder::registry::Registry;
    use crate::recorder::shards::tests::SHARDS;

    fn gauge() -> Arc<Cell<Gauge>> {
        Registry::<Gauge>::new((), 1, SHARDS).series(LabelSet::default())
    }

    #[test]
    fn what_goes_up_on_one_thread_comes_down_on_another() {
        let series = gauge();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| series.increment(1.0)));
                scope.spawn(|| (0..10_000).for_each(|_| series.decrement(1.0)));
            }
        });
        assert_eq!(series.instrument.value(), 0.0);
    }

    #[test]
    fn any_other_use_is_right_too() {
        let series = gauge();
        let value = || series.instrument.value();
        series.increment(2.0);
        series.increment(0.25);
        series.decrement(5.0);
        assert_eq!(value(), -2.75);
        series.set(0.1);
        assert_eq!(value(), 0.1);
        series.increment(1.0);
        assert_eq!(value(), 1.1);
        series.increment(f64::NAN);
        series.decrement(f64::INFINITY);
        assert_eq!(value(), 1.1);
        series.set(f64::INFINITY);
        assert_eq!(value(), f64::INFINITY);
        series.set(1e300);
        series.decrement(1e300);
        assert_eq!(value(), 0.0);
    }
}
