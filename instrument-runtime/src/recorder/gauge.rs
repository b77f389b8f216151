//! A sharded gauge, made to go up and down by one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use metrics::GaugeFn;

use crate::recorder::family::{Instrument, Samples};
use crate::recorder::registry::Series;
use crate::recorder::shards::{Words, this_thread};

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
    /// The shards wrap one by one, so only their wrapping sum means something.
    fn steps(&self) -> i64 {
        self.words
            .shards()
            .map(|shard| shard.word(0).load(Ordering::Relaxed) as i64)
            .fold(0, i64::wrapping_add)
    }

    #[inline]
    fn step(&self, thread: usize, by: i64) {
        self.cell_of(thread).fetch_add(by as u64, Ordering::Relaxed);
    }

    /// Where a thread counts its steps.
    #[inline]
    pub(super) fn cell_of(&self, thread: usize) -> &AtomicU64 {
        self.words.of_thread(thread).word(0)
    }

    #[cold]
    fn add(&self, value: f64) {
        // From 2^53 on, a float is no longer an exact number of steps.
        const WHOLE: f64 = 9_007_199_254_740_992.0;
        if value.abs() < WHOLE && value.trunc() == value {
            self.step(this_thread(), value as i64);
        } else if value.is_finite() {
            self.base().value += value;
        }
        // Any other would stay for ever; only `set` may ask for that.
    }

    fn base(&self) -> MutexGuard<'_, Base> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn value(&self) -> f64 {
        let base = self.base();
        base.value + self.steps().wrapping_sub(base.steps) as f64
    }
}

impl Instrument for Gauge {
    const TYPE: &'static str = "gauge";
    type Layout = ();

    fn words((): &()) -> usize {
        1
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

impl GaugeFn for Series<Gauge> {
    #[inline]
    fn increment(&self, value: f64) {
        if value == 1.0 {
            self.instrument.step(this_thread(), 1);
        } else {
            self.instrument.add(value);
        }
    }

    #[inline]
    fn decrement(&self, value: f64) {
        if value == 1.0 {
            self.instrument.step(this_thread(), -1);
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

    fn gauge() -> Arc<Series<Gauge>> {
        Registry::<Gauge>::new((), 1, 8).series(LabelSet::default())
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
