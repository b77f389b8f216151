//! A sharded histogram of durations or sizes.
//!
//! Samples are whole *amounts*: nanoseconds or bytes.

use std::sync::Arc;

use metrics::HistogramFn;

use crate::lock_free::sync::Ordering;
use crate::recorder::exemplars::{Exemplar, Exemplars};
use crate::recorder::native::{self, Grid, NativeBuckets};
use crate::recorder::number::Measure;
use crate::recorder::point::{HistogramPoint, Instrument, Kind, NativePoint, Point};
use crate::recorder::registry::Cell;
use crate::recorder::shards::{Shard, Words};
use crate::recorder::threads::Thread;

/// The low word of the sum. The words of a series in a shard are the low word, the high
/// word, and one word per bucket.
///
/// The low word wraps after 2^64 ns, 584 years of added-up latency; thousands of long
/// concurrent calls reach that in weeks. The high word cannot be a plain carry. A
/// reader cannot load both words at one instant, and between the wrap and the carry it
/// would see a sum that is 2^64 too low. So the high word counts units of 2^56 and overlaps with the low word:
///
/// ```text
///   bit 119                  64 63      56 55                    0
///       [         UNITS                  ]
///                              [              SUM                ]
/// ```
///
/// The sum is the smallest number that is at least `UNITS` × 2^56 and agrees with `SUM`
/// in its low 64 bits. It is exact under two conditions:
///
/// - `UNITS` is never ahead of the sum: writers add to `SUM` first, then to `UNITS` with
///   a release store. Readers load `UNITS` first, with acquire.
/// - `UNITS` lags by at most 255 units: less than about 580 years of latency are added
///   between a reader's two loads.
const SUM: usize = 0;
/// The high word of the sum, in units of 2^56.
const UNITS: usize = 1;
/// The count of the first bucket. The other buckets follow. With native buckets,
/// their window starts at this word.
const FIRST_BUCKET: usize = 2;

/// The binary logarithm of a unit of the high word.
const UNIT: u32 = 56;

/// A histogram with fixed buckets, whose sum is exact to the nanosecond or to the byte.
#[derive(Debug)]
pub(super) struct Histogram {
    words: Words,
    buckets: Arc<Buckets>,
    native: Option<NativeBuckets>,
    exemplars: Option<Exemplars>,
}

/// The bounds of the buckets, which all series of the metric share.
#[derive(Debug)]
pub(super) struct Buckets {
    measure: Measure,
    /// The upper bounds in seconds or bytes, strictly increasing. The bucket `+Inf` comes
    /// after them.
    bounds: Box<[f64]>,
    /// The same bounds as whole amounts, rounded down.
    amounts: Box<[i64]>,
    /// The fine buckets. `None` unless native histograms are on.
    grid: Option<Arc<Grid>>,
    has_exemplars: bool,
}

impl Buckets {
    pub(super) fn new(measure: Measure, bounds: &[f64]) -> Self {
        let amounts = bounds.iter().map(|bound| whole_amount(measure, *bound));
        Self {
            measure,
            bounds: bounds.into(),
            amounts: amounts.collect(),
            grid: None,
            has_exemplars: false,
        }
    }

    /// Adds native buckets. `shards` is the number of shards of a series.
    pub(super) fn with_native(mut self, shards: usize) -> Self {
        self.grid = Some(Arc::new(Grid::new(self.measure, &self.amounts, shards)));
        self
    }

    /// Adds exemplars.
    pub(super) fn with_exemplars(mut self) -> Self {
        self.has_exemplars = true;
        self
    }

    /// Returns the number of buckets, `+Inf` included.
    fn len(&self) -> usize {
        self.bounds.len() + 1
    }

    /// Returns the index of the bucket that counts an amount.
    #[inline(always)]
    fn index_of_amount(&self, amount: u64) -> usize {
        // Saturates at 292 years or 8 EiB. Whole bounds saturate there, too.
        let signed = i64::try_from(amount).unwrap_or(i64::MAX);
        self.amounts
            .iter()
            .position(|bound| signed <= *bound)
            .unwrap_or(self.amounts.len())
    }

    /// Returns the index of the bucket that counts a sample. Upper bounds are inclusive.
    /// NaN is counted in `+Inf`.
    #[inline]
    fn index(&self, sample: f64) -> usize {
        // A linear search from below: most calls are short, and the calls of one handler
        // take similar times, so the branches are predicted well.
        self.bounds
            .iter()
            .position(|bound| sample <= *bound)
            .unwrap_or(self.bounds.len())
    }
}

/// Returns the largest whole amount that does not exceed `bound`.
fn whole_amount(measure: Measure, bound: f64) -> i64 {
    let amount = bound * measure.scale();
    // Some bounds of whole nanoseconds are not whole after the multiplication: 0.0003 s
    // become 299999.99999999994 ns. Round those to the nearest whole number.
    let nearest = amount.round();
    let whole = if (amount - nearest).abs() <= nearest.abs() * 1e-12 {
        nearest
    } else {
        amount.floor()
    };
    whole as i64
}

impl Histogram {
    /// Records an amount, and returns the slot for its exemplar. `thread`
    /// must be the current thread.
    #[inline(always)]
    pub(super) fn record_amount(&self, thread: Thread, amount: u64) -> usize {
        let slot = match &self.native {
            None => self.buckets.index_of_amount(amount),
            Some(native) => match native.place(amount) {
                Some(place) => place,
                None => return self.record_elsewhere(native, thread, amount),
            },
        };
        self.words.write(thread, move |shard| {
            add_to_sum(shard, amount);
            shard.add(FIRST_BUCKET + slot, 1, Ordering::Relaxed);
        });
        slot
    }

    /// Records an amount that is not in the window of the native buckets.
    #[cold]
    #[inline(never)]
    fn record_elsewhere(&self, native: &NativeBuckets, thread: Thread, amount: u64) -> usize {
        self.words
            .write(thread, move |shard| add_to_sum(shard, amount));
        native.record(&self.words, thread, Some(amount), 1);
        native::WINDOW + self.buckets.index_of_amount(amount)
    }

    /// Returns the slot for the exemplar of an amount: the classic bucket, or the fine
    /// bucket in the window of the native buckets. The classic buckets of amounts that are
    /// not in the window come after the window.
    pub(super) fn slot(&self, amount: u64) -> usize {
        let bucket = self.buckets.index_of_amount(amount);
        match &self.native {
            None => bucket,
            Some(native) => native.place(amount).unwrap_or(native::WINDOW + bucket),
        }
    }

    /// Returns the exemplars, if they are turned on.
    #[inline(always)]
    pub(super) fn exemplars(&self) -> Option<&Exemplars> {
        self.exemplars.as_ref()
    }

    /// Returns the latest exemplar of each classic bucket.
    fn latest_exemplars(&self) -> Vec<Option<Exemplar>> {
        let Some(exemplars) = &self.exemplars else {
            return Vec::new();
        };
        let mut latest: Vec<Option<Exemplar>> = vec![None; self.buckets.len()];
        for (amount, exemplar) in exemplars.all() {
            let of_bucket = &mut latest[self.buckets.index_of_amount(amount)];
            if of_bucket.is_none_or(|other| other.at <= exemplar.at) {
                *of_bucket = Some(exemplar);
            }
        }
        latest
    }

    /// Records the same sample, in seconds or bytes, `times` times.
    #[inline]
    fn record(&self, sample: f64, times: u64) {
        // A negative, infinite or NaN sample would corrupt the sum. It is counted in its
        // bucket and adds nothing to the sum; a negative sample becomes 0 in the cast.
        let amount = if sample.is_finite() {
            (sample * self.buckets.measure.scale() + 0.5) as u64
        } else {
            0
        };
        let thread = Thread::current();
        let added = u128::from(amount) * u128::from(times);
        self.words.write(thread, move |shard| {
            // Multiples of 2^64 change the high word only.
            let wraps = (added >> 64) as u64;
            if wraps != 0 {
                shard.add(UNITS, wraps << (64 - UNIT), Ordering::Release);
            }
            // Added in two halves. In one step, `UNITS` could lag by 256 units, one more
            // than a reader can make up for.
            let rest = added as u64;
            add_to_sum(shard, rest / 2);
            add_to_sum(shard, rest - rest / 2);
        });
        match &self.native {
            None => {
                let word = FIRST_BUCKET + self.buckets.index(sample);
                self.words.write(thread, move |shard| {
                    shard.add(word, times, Ordering::Relaxed);
                });
            }
            // Native buckets count whole amounts, so a negative sample counts as 0.
            Some(native) => {
                let amount = (sample.is_finite() || sample < 0.0).then_some(amount);
                native.record(&self.words, thread, amount, times);
            }
        }
    }

    /// Returns the count of each bucket, not cumulative, and the sum.
    #[cfg_attr(not(test), allow(dead_code, reason = "for tests and models"))]
    pub(super) fn read(&self) -> (Vec<u64>, u128) {
        (self.counts().0, self.sum())
    }

    /// Returns the count of each bucket, not cumulative, and the native buckets.
    fn counts(&self) -> (Vec<u64>, Option<NativePoint>) {
        if let Some(native) = &self.native {
            let (counts, native) = native.read(&self.words);
            return (counts, Some(native));
        }
        let mut counts = vec![0_u64; self.buckets.len()];
        for shard in self.words.shards() {
            for (index, count) in counts.iter_mut().enumerate() {
                let of_shard = shard.load(FIRST_BUCKET + index, Ordering::Relaxed);
                *count = count.wrapping_add(of_shard);
            }
        }
        (counts, None)
    }

    fn sum(&self) -> u128 {
        self.words.shards().map(sum).fold(0, u128::wrapping_add)
    }
}

/// Adds to the low word, then to the high word if the sum has crossed a multiple of 2^56.
#[inline(always)]
fn add_to_sum(shard: Shard<'_>, amount: u64) {
    let before = shard.add(SUM, amount, Ordering::Relaxed);
    let units = units(u128::from(before) + u128::from(amount)) - units(before.into());
    // Rare: once in 2.3 years of added-up latency.
    if units != 0 {
        shard.add(UNITS, units, Ordering::Release);
    }
}

/// Returns the number of whole units in `amount`.
fn units(amount: u128) -> u64 {
    (amount >> UNIT) as u64
}

/// Returns the sum of one shard.
fn sum(shard: Shard<'_>) -> u128 {
    // `UNITS` is loaded first, with acquire, so that `SUM` is at least as new.
    let least = u128::from(shard.load(UNITS, Ordering::Acquire)) << UNIT;
    let sum = shard.load(SUM, Ordering::Relaxed);
    least + u128::from(sum.wrapping_sub(least as u64))
}

impl Instrument for Histogram {
    const KIND: Kind = Kind::Histogram;
    type Layout = Arc<Buckets>;

    fn words(buckets: &Arc<Buckets>) -> usize {
        FIRST_BUCKET
            + match buckets.grid {
                None => buckets.len(),
                Some(_) => native::WINDOW,
            }
    }

    fn new(words: Words, buckets: &Arc<Buckets>) -> Self {
        Self {
            words,
            buckets: Arc::clone(buckets),
            native: buckets
                .grid
                .as_ref()
                .map(|grid| NativeBuckets::new(grid, FIRST_BUCKET)),
            exemplars: buckets.has_exemplars.then(|| {
                let window = buckets.grid.as_ref().map_or(0, |_| native::WINDOW);
                Exemplars::new(window + buckets.len())
            }),
        }
    }

    fn point(&self) -> Point<'_> {
        let (counts, native) = self.counts();
        Point::Histogram(HistogramPoint {
            bounds: &self.buckets.bounds,
            counts,
            sum: self.buckets.measure.number(self.sum()),
            native,
            exemplars: self.latest_exemplars(),
        })
    }
}

impl HistogramFn for Cell<Histogram> {
    #[inline]
    fn record(&self, sample: f64) {
        self.instrument.record(sample, 1);
    }

    fn record_many(&self, sample: f64, times: usize) {
        self.instrument.record(sample, times as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::recorder::labels::LabelSet;
    use crate::recorder::registry::Registry;
    use crate::recorder::shards::tests::SHARDS;

    fn histogram(bounds: &[f64]) -> Arc<Cell<Histogram>> {
        let registry = Registry::<Histogram>::new(
            Arc::new(Buckets::new(Measure::Duration, bounds)),
            1,
            SHARDS,
        );
        registry.series(LabelSet::default())
    }

    #[test]
    fn a_sample_on_a_bound_is_in_the_bucket_below() {
        let bounds = crate::settings::DEFAULT_BUCKETS;
        let series = histogram(bounds);
        for bound in bounds {
            series.record(*bound);
        }
        let (counts, _) = series.instrument.read();
        assert_eq!(counts[..bounds.len()], vec![1; bounds.len()]);
        for bound in bounds {
            series.record(bound.next_up());
        }
        let (counts, _) = series.instrument.read();
        assert_eq!(counts[0], 1);
        assert_eq!(counts[1..bounds.len()], vec![2; bounds.len() - 1]);
        assert_eq!(counts[bounds.len()], 1);
    }

    #[test]
    fn nanoseconds_fall_where_seconds_do() {
        let bounds = [-1.0, 0.0003, 0.0005, 0.075, 1.0 / 3.0, 2.5, 1e6];
        let (seconds, nanos) = (histogram(&bounds), histogram(&bounds));
        for sample in [
            0,
            299_999,
            300_000,
            300_001,
            500_000,
            500_001,
            75_000_000,
            75_000_001,
            333_333_333,
            333_333_334,
            2_500_000_000,
            2_500_000_001,
            1_000_000_000_000_000,
        ] {
            seconds.record(sample as f64 / 1e9);
            let thread = Thread::current();
            nanos.instrument.record_amount(thread, sample);
        }
        assert_eq!(nanos.instrument.read(), seconds.instrument.read());
        nanos.instrument.record_amount(Thread::current(), u64::MAX);
        assert_eq!(nanos.instrument.read().0[bounds.len()], 1);
    }

    #[test]
    fn what_is_no_duration_is_counted_and_poisons_nothing() {
        let series = histogram(&[1.0, 2.0]);
        series.record(1.5);
        for sample in [f64::NAN, f64::INFINITY] {
            series.record(sample);
        }
        for sample in [f64::NEG_INFINITY, -1.0, -0.0] {
            series.record(sample);
        }
        assert_eq!(
            series.instrument.read(),
            (vec![3, 1, 2], 1_500_000_000_u128)
        );
    }

    #[test]
    fn the_sum_goes_on_past_its_first_word() {
        let series = histogram(&[1.0]);
        series.record(f64::MAX);
        series.record(f64::MAX);
        series.record(1.0);
        let nanos = 2 * u128::from(u64::MAX) + 1_000_000_000;
        assert_eq!(series.instrument.read(), (vec![1, 2], nanos));
        series.record_many(f64::MAX, 3);
        series.record_many(0.25, 2);
        series.record_many(0.25, 0);
        let nanos = nanos + 3 * u128::from(u64::MAX) + 500_000_000;
        assert_eq!(series.instrument.read(), (vec![3, 5], nanos));
        for _ in 0..1_000 {
            series.instrument.record_amount(Thread::current(), 1 << 60);
        }
        let nanos = nanos + (1_000 << 60);
        assert_eq!(series.instrument.read(), (vec![3, 1_005], nanos));
    }

    #[test]
    fn no_sample_is_lost_between_threads_and_no_count_goes_down() {
        const EACH: u64 = 20_000;
        let series = histogram(&[0.001, 0.002]);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut before = vec![0; 3];
                let started = Instant::now();
                while !done.load(Ordering::Acquire) {
                    assert!(started.elapsed() < Duration::from_secs(60));
                    let (counts, _) = series.instrument.read();
                    let pairs = counts.iter().zip(&before);
                    assert!(
                        pairs.clone().all(|(now, before)| now >= before),
                        "{before:?} then {counts:?}"
                    );
                    before = counts;
                }
            });
            let recording: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for number in 0..EACH {
                            series.record([0.001, 0.002, 0.003][number as usize % 3]);
                        }
                    })
                })
                .collect();
            for thread in recording {
                thread.join().expect("no panic");
            }
            done.store(true, Ordering::Release);
        });
        let (counts, sum) = series.instrument.read();
        assert_eq!(counts, [4 * 6667, 4 * 6667, 4 * 6666]);
        let nanos = 6667 + 2 * 6667 + 3 * 6666;
        assert_eq!(sum, 4 * nanos * 1_000_000);
    }
}
