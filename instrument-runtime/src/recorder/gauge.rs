//! A sharded gauge, optimized for steps of one.
//!
//! A call may go up on one thread and down on another, so every shard has two words:
//! the sum of its steps up, and the sum of its steps down. The value is the sum of all
//! ups minus the sum of all downs.
//!
//! A reader cannot load all words at one instant, so it loads all downs before it loads
//! any up. The up of a call happens before its down. The down is a release store, and
//! the reader loads it with acquire. So a reader that sees the down of a call also sees
//! its up, and the value never falls below zero:
//!
//! ```text
//!  thread 1     thread 2     reader
//!  up
//!     └────────> down
//!                  └───────> load downs (acquire)
//!                            load ups: includes the up of every down seen above
//! ```
//!
//! In the opposite order, a call that starts and ends between the two loads would be
//! counted as a down without its up, and an idle service would show -1. In the order
//! above, such a call is counted as in progress, which it was during the read.

use std::sync::PoisonError;

use metrics::GaugeFn;

use crate::lock_free::sync::{Mutex, MutexGuard, Ordering};
use crate::recorder::number::Number;
use crate::recorder::point::{Instrument, Kind, Point};
use crate::recorder::registry::Cell;
use crate::recorder::shards::{Shard, Words};
use crate::recorder::threads::Thread;

/// The word in a shard that sums up the steps up.
const UP: usize = 0;
/// The word in a shard that sums up the steps down.
const DOWN: usize = 1;

/// A gauge that counts whole steps in its shards, without a lock.
///
/// `set` and fractional steps change `base` under a lock. Our own call sites use
/// neither.
#[derive(Debug)]
pub(super) struct Gauge {
    words: Words,
    base: Mutex<Base>,
}

/// The part of a gauge's value that is not counted in its shards.
#[derive(Debug, Default)]
struct Base {
    value: f64,
    /// The steps in the shards that `value` already includes.
    steps: i64,
}

impl Gauge {
    /// Returns the ups minus the downs of all shards. The words wrap around, so only the
    /// difference of their wrapping sums is meaningful.
    fn steps(&self) -> i64 {
        let sum = |index| {
            self.words
                .shards()
                .map(|shard| shard.load(index, Ordering::Acquire))
                .fold(0, u64::wrapping_add)
        };
        // Downs first: see the module's documentation.
        let down = sum(DOWN);
        sum(UP).wrapping_sub(down) as i64
    }

    /// Raises the gauge by `by`. A relaxed store is enough, because the later `down` of
    /// the same call is a release store.
    #[inline]
    pub(super) fn up(&self, thread: Thread, by: u64) {
        let step = move |shard: Shard<'_>| shard.add(UP, by, Ordering::Relaxed);
        self.words.write(thread, step);
    }

    /// Lowers the gauge by `by`. The release store publishes the call's `up`.
    #[inline]
    pub(super) fn down(&self, thread: Thread, by: u64) {
        let step = move |shard: Shard<'_>| shard.add(DOWN, by, Ordering::Release);
        self.words.write(thread, step);
    }

    /// Adds any value, which may be negative or fractional. Ignores NaN and infinity.
    #[cold]
    fn add(&self, value: f64) {
        // 2^53: from there on, `f64` cannot represent every whole number.
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
        // NaN and infinity would make every later value NaN or infinite. Only `set`
        // stores them.
    }

    fn base(&self) -> MutexGuard<'_, Base> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the current value.
    pub(super) fn value(&self) -> f64 {
        let base = self.base();
        base.value + self.steps().wrapping_sub(base.steps) as f64
    }
}

impl Instrument for Gauge {
    const KIND: Kind = Kind::Gauge;
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

    fn point(&self) -> Point<'_> {
        Point::Gauge(Number::F64(self.value()))
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

    /// Sets the value. A concurrent step on another thread counts either as before or as
    /// after the `set`.
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
