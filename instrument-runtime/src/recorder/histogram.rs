//! A sharded histogram of seconds.

use std::sync::Arc;

use metrics::HistogramFn;

use crate::lock_free::sync::Ordering;
use crate::recorder::registry::Cell;
use crate::recorder::samples::{Instrument, Samples};
use crate::recorder::shards::{Shard, Words};
use crate::recorder::threads::Thread;

/// A series' words in a shard: the sum in two, then the buckets.
///
/// The sum wraps after 2^64 ns, 584 years of added-up latency; thousands of long
/// concurrent calls reach that in weeks. No reader can load two words at once, so
/// the second word is no plain carry, which for a moment would be missing. It counts
/// units of 2^56 ns and overlaps with the first:
///
/// ```text
///   bit 119                  64 63      56 55                    0
///       [         UNITS                  ]
///                              [              SUM                ]
/// ```
///
/// `UNITS` may lag behind `SUM`, by up to 255 units: no 581 years are added between a
/// reader's two loads. It is never ahead: what is in it was in `SUM` before. The sum
/// is then the least number that is not below `UNITS` and agrees with `SUM` in its
/// last 64 bits.
const SUM: usize = 0;
const UNITS: usize = 1;
const FIRST_BUCKET: usize = 2;

/// A unit is 2 to the power of so many nanoseconds.
const UNIT: u32 = 56;

const NANOS_PER_SECOND: f64 = 1e9;

#[derive(Debug)]
pub(super) struct Histogram {
    words: Words,
    buckets: Arc<Buckets>,
}

/// The bounds that all series of the metric share.
#[derive(Debug)]
pub(super) struct Buckets {
    /// Strictly rising; the bucket `+Inf` comes after them.
    bounds: Box<[f64]>,
    /// The same in whole nanoseconds.
    nanos: Box<[i64]>,
    /// For each bucket the label `le`.
    labels: Box<[Box<str>]>,
}

impl Buckets {
    pub(super) fn new(bounds: &[f64]) -> Self {
        let label = |bound: &f64| format!("le=\"{bound}\"").into_boxed_str();
        let infinite = Box::from("le=\"+Inf\"");
        Self {
            bounds: bounds.into(),
            nanos: bounds.iter().map(|bound| whole_nanos(*bound)).collect(),
            labels: bounds.iter().map(label).chain([infinite]).collect(),
        }
    }

    /// The bucket of a sample: a bound is in the bucket below it.
    #[inline]
    fn index(&self, seconds: f64) -> usize {
        // From below, since most calls are short and a handler's are alike.
        self.bounds
            .iter()
            .position(|bound| seconds <= *bound)
            .unwrap_or(self.bounds.len())
    }
}

/// The last whole nanosecond that is not past the bound.
fn whole_nanos(bound: f64) -> i64 {
    let nanos = bound * NANOS_PER_SECOND;
    // A bound that was meant to be whole may not come out so: 0.0003 s do not.
    let nearest = nanos.round();
    let whole = if (nanos - nearest).abs() <= nearest.abs() * 1e-12 {
        nearest
    } else {
        nanos.floor()
    };
    whole as i64
}

impl Histogram {
    /// What took so many nanoseconds, by this thread.
    #[inline(always)]
    pub(super) fn record_nanos(&self, thread: Thread, nanos: u64) {
        // 292 years at most, which no bound tells from more.
        let signed = i64::try_from(nanos).unwrap_or(i64::MAX);
        let bounds = &self.buckets.nanos;
        let bucket = bounds
            .iter()
            .position(|bound| signed <= *bound)
            .unwrap_or(bounds.len());
        self.words.write(thread, move |shard| {
            add_to_sum(shard, nanos);
            shard.add(FIRST_BUCKET + bucket, 1, Ordering::Relaxed);
        });
    }

    #[inline]
    fn record(&self, seconds: f64, times: u64) {
        // A sample that no sum could be right with (below zero, infinite, NaN) is
        // counted and adds nothing to the sum.
        let nanos = if seconds.is_finite() {
            (seconds * NANOS_PER_SECOND + 0.5) as u64
        } else {
            0
        };
        let nanos = u128::from(nanos) * u128::from(times);
        let bucket = self.buckets.index(seconds);
        self.words.write(Thread::current(), move |shard| {
            // 2^64 ns change the units alone.
            let wraps = (nanos >> 64) as u64;
            if wraps != 0 {
                shard.add(UNITS, wraps << (64 - UNIT), Ordering::Release);
            }
            // In halves, so that the units do not lag too far behind.
            let rest = nanos as u64;
            add_to_sum(shard, rest / 2);
            add_to_sum(shard, rest - rest / 2);
            shard.add(FIRST_BUCKET + bucket, times, Ordering::Relaxed);
        });
    }

    /// The count of each bucket by itself, and the sum in nanoseconds.
    pub(super) fn read(&self) -> (Vec<u64>, u128) {
        let mut counts = vec![0_u64; self.buckets.labels.len()];
        let mut total = 0_u128;
        for shard in self.words.shards() {
            let load = |index| shard.load(index, Ordering::Relaxed);
            for (index, count) in counts.iter_mut().enumerate() {
                *count = count.wrapping_add(load(FIRST_BUCKET + index));
            }
            total = total.wrapping_add(sum(shard));
        }
        (counts, total)
    }
}

#[inline(always)]
fn add_to_sum(shard: Shard<'_>, nanos: u64) {
    let before = shard.add(SUM, nanos, Ordering::Relaxed);
    let units = units(u128::from(before) + u128::from(nanos)) - units(before.into());
    // Once in 2.3 years of added-up latency.
    if units != 0 {
        shard.add(UNITS, units, Ordering::Release);
    }
}

fn units(nanos: u128) -> u64 {
    (nanos >> UNIT) as u64
}

/// The nanoseconds of one shard.
fn sum(shard: Shard<'_>) -> u128 {
    // Acquire, and first: `SUM` is then not older than the units.
    let least = u128::from(shard.load(UNITS, Ordering::Acquire)) << UNIT;
    let sum = shard.load(SUM, Ordering::Relaxed);
    least + u128::from(sum.wrapping_sub(least as u64))
}

impl Instrument for Histogram {
    const TYPE: &'static str = "histogram";
    type Layout = Arc<Buckets>;

    fn words(buckets: &Arc<Buckets>) -> usize {
        FIRST_BUCKET + buckets.labels.len()
    }

    fn new(words: Words, buckets: &Arc<Buckets>) -> Self {
        Self {
            words,
            buckets: Arc::clone(buckets),
        }
    }

    fn write(&self, samples: &mut Samples<'_>) {
        let (counts, sum) = self.read();
        let mut total = 0;
        let mut lines = samples.lines_with("_bucket");
        for (label, count) in self.buckets.labels.iter().zip(counts) {
            total += count;
            lines.label(label).u64(total);
        }
        samples.line("_sum").seconds(sum);
        samples.line("_count").u64(total);
    }
}

impl HistogramFn for Cell<Histogram> {
    #[inline]
    fn record(&self, seconds: f64) {
        self.instrument.record(seconds, 1);
    }

    fn record_many(&self, seconds: f64, times: usize) {
        self.instrument.record(seconds, times as u64);
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
        let registry = Registry::<Histogram>::new(Arc::new(Buckets::new(bounds)), 1, SHARDS);
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
            nanos.instrument.record_nanos(thread, sample);
        }
        assert_eq!(nanos.instrument.read(), seconds.instrument.read());
        nanos.instrument.record_nanos(Thread::current(), u64::MAX);
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
            series.instrument.record_nanos(Thread::current(), 1 << 60);
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
