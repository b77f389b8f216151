//! The exponential buckets of Prometheus's [native histograms], for durations and sizes.
//!
//! With schema s, bucket i holds the samples in seconds or bytes from 2^((i-1)/2^s) (exclusive) to
//! 2^(i/2^s) (inclusive). A series begins with schema 3, in which a bound is 9 % above the
//! previous one. If a series has more than 160 non-empty buckets, the schema is lowered by one: two
//! adjacent buckets become one, and no count is lost.
//!
//! # Storage
//!
//! Calls are counted in *fine* buckets, whose bounds are those of schema 3 and those of the classic
//! buckets. Each fine bucket is a part of one native and of one classic bucket. So a call
//! adds to one word only, and the reader gets both kinds of buckets from the same counts. It
//! also merges native buckets if it has to lower the schema.
//!
//! There are more than 500 fine buckets, and most series use only a few dozen adjacent ones.
//! So the words of the histogram have a *window* of 64 fine buckets, which are the fastest
//! to reach. It is placed around the 128th sample: the first call of a handler is often far
//! slower than the others. Samples outside the window, and earlier ones, are counted in
//! *pieces* of 64 fine buckets, which are allocated when a sample first falls into them. The
//! reader adds both:
//!
//! ```text
//!  fine buckets    0           64          128    ┈ 170         ┈ 234 ┈        531
//!                  ├───────────┼───────────┼────────┼─────────────┼─────────────┤
//!                              │           │        │             │
//!  words, sharded              │           │    ┌───▼─────────────▼┐
//!                              │           │    │ sum │   window   │
//!                              ▼           ▼    └──────────────────┘
//!  pieces, sharded             ┌───────────┐
//!                   (piece 0)  │  piece 1  │  (piece 2) ┈  allocated on demand
//!                              └───────────┘
//! ```
//!
//! [native histograms]: https://prometheus.io/docs/specs/native_histograms/

use std::sync::{Arc, PoisonError};

use crate::diagnostics::Message;
use crate::lock_free::sync::{AtomicUsize, Mutex, OnceLock, Ordering};
use crate::recorder::number::Measure;
use crate::recorder::point::NativePoint;
use crate::recorder::shards::{Allocator, Words};
use crate::recorder::threads::Thread;

/// The schema of the fine buckets: 8 buckets for each power of two.
const SCHEMA: i32 = 3;
/// The maximum number of buckets of a series. OpenTelemetry's SDKs have the same default.
const MOST_BUCKETS: usize = 160;

impl Measure {
    /// Returns the index in schema 3 of the bucket that holds the amount 1.
    fn lowest(self) -> i32 {
        match self {
            Self::Duration => -239,
            Self::Size => 0,
        }
    }

    /// Returns the index in schema 3 of the bucket that holds the amount 2^64.
    fn highest(self) -> i32 {
        match self {
            Self::Duration => 273,
            Self::Size => 512,
        }
    }
}

/// The index in schema 3 of the bucket of samples that are not finite: the one after that
/// of the largest float, as the specification says.
const INFINITE: i32 = 1024 * 8 + 1;

/// The upper bound of the zero bucket in seconds, as in Prometheus's Go library. It is far
/// below 1 ns, so the zero bucket holds only samples of 0.
pub(crate) const ZERO_THRESHOLD: f64 = 1.0 / (1_u128 << 127) as f64 / 2.0;

/// The number of fine buckets in the window.
pub(super) const WINDOW: usize = 64;
/// The number of fine buckets in the window that are below the sample that it is placed
/// around. There are more above it, because latencies have a long tail: the window reaches
/// from an eighth of the sample to 32 times the sample.
const BELOW: usize = 24;
/// The number of samples that are counted in pieces before the window is placed.
const EARLY: usize = 127;
/// The number of fine buckets in a piece.
const PIECE: usize = 64;

/// The fine buckets, the table that finds the bucket of an amount, and the allocator of the
/// pieces. All series of a metric share it.
#[derive(Debug)]
pub(super) struct Grid {
    /// The largest amount in each fine bucket. The first is 0, the last is the largest of
    /// all. One more fine bucket follows, for samples that are not finite.
    bounds: Box<[u64]>,
    cells: Box<[Cell; CELLS]>,
    /// The number of fine buckets up to each classic bound.
    classic_ends: Box<[usize]>,
    /// The index in schema 3 of the native bucket of each fine bucket. The first fine bucket
    /// is the zero bucket, whose index is not used.
    indexes: Box<[i32]>,
    allocator: Mutex<Allocator>,
}

/// Amounts with the same highest bit and the same five bits after it. The largest of them
/// is at most 3 % larger than the smallest, so there is seldom more than one bound among
/// them.
#[derive(Clone, Copy, Debug)]
struct Cell {
    /// The fine bucket of the smallest amount.
    fine: usize,
    /// The largest amount in that bucket.
    bound: u64,
}

/// The number of bits after the highest bit that select a cell.
const CELL_BITS: u32 = 5;
const CELLS: usize = (64 << CELL_BITS) + (1 << CELL_BITS);

/// Returns the number of an amount's cell.
#[inline(always)]
fn cell(amount: u64) -> usize {
    // 0 is in the cell of 1.
    let amount = amount + u64::from(amount == 0);
    let zeros = amount.leading_zeros();
    // The highest bit itself, and the bits after it. That bit is always set, so the first
    // 32 cells are not used.
    let highest_bits = amount << zeros >> (63 - CELL_BITS);
    (zeros << CELL_BITS) as usize + highest_bits as usize
}

impl Grid {
    /// Creates the grid of a histogram with these classic bounds. `shards` is the number of
    /// shards of a series.
    pub(super) fn new(measure: Measure, classic: &[i64], shards: usize) -> Self {
        let amounts = classic
            .iter()
            .filter_map(|bound| u64::try_from(*bound).ok());
        let native = (measure.lowest()..=measure.highest()).map(|index| bound(measure, index));
        let mut bounds: Vec<u64> = native.chain(amounts).chain([0]).collect();
        bounds.sort_unstable();
        bounds.dedup();

        let mut cells = [Cell { fine: 0, bound: 0 }; CELLS];
        for (number, cell) in cells.iter_mut().enumerate().skip(1 << CELL_BITS) {
            let number = number - (1 << CELL_BITS);
            let zeros = number >> CELL_BITS;
            let highest_bits = 1_u128 << CELL_BITS | (number % (1 << CELL_BITS)) as u128;
            let smallest = match (highest_bits << (63 - zeros) >> CELL_BITS) as u64 {
                // 0 and 1 share a cell.
                1 => 0,
                smallest => smallest,
            };
            let fine = bounds.partition_point(|bound| *bound < smallest);
            let bound = bounds[fine];
            *cell = Cell { fine, bound };
        }
        let mut index = measure.lowest();
        let indexes = bounds.iter().map(|of_fine| {
            while bound(measure, index) < *of_fine {
                index += 1;
            }
            index
        });
        Self {
            cells: Box::new(cells),
            classic_ends: classic
                .iter()
                .map(|of_classic| {
                    let is_below = |of_fine: &u64| i128::from(*of_fine) <= i128::from(*of_classic);
                    bounds.partition_point(is_below)
                })
                .collect(),
            indexes: indexes.chain([INFINITE]).collect(),
            allocator: Mutex::new(Allocator::new(PIECE, shards)),
            bounds: bounds.into(),
        }
    }

    /// Returns the number of fine buckets.
    fn len(&self) -> usize {
        self.bounds.len() + 1
    }

    /// Returns the fine bucket of samples that are not finite.
    fn infinite(&self) -> usize {
        self.bounds.len()
    }

    /// Returns the fine bucket of an amount.
    #[inline(always)]
    fn fine(&self, amount: u64) -> usize {
        let Cell { mut fine, bound } = self.cells[cell(amount)];
        if bound < amount {
            fine += 1;
            while self.bounds[fine] < amount {
                fine += 1;
            }
        }
        fine
    }
}

/// Returns the largest amount in a native bucket of schema 3.
fn bound(measure: Measure, index: i32) -> u64 {
    if index >= measure.highest() {
        return u64::MAX;
    }
    let octave = f64::from(index.div_euclid(8));
    let eighth = f64::from(index.rem_euclid(8)) / 8.0;
    // Whole octaves are exact.
    (measure.scale() * octave.exp2() * eighth.exp2()) as u64
}

/// Returns the index in `schema` of the bucket that contains a bucket of schema 3.
fn merged(index: i32, schema: i32) -> i32 {
    // Rounded up, because upper bounds are inclusive.
    (index + (1 << (SCHEMA - schema)) - 1) >> (SCHEMA - schema)
}

/// The native buckets of one series.
#[derive(Debug)]
pub(super) struct NativeBuckets {
    grid: Arc<Grid>,
    /// The index of the first word of the window in the words of the histogram.
    first: usize,
    /// The first fine bucket of the window, or [`NO_WINDOW`] until it is placed.
    window: AtomicUsize,
    /// The number of samples so far, until the window is placed.
    early: AtomicUsize,
    /// The words of the fine buckets that are not in the window.
    pieces: Box<[OnceLock<Words>]>,
}

/// A window start that no fine bucket reaches.
const NO_WINDOW: usize = usize::MAX / 2;

impl NativeBuckets {
    /// `first` is the index of the first of [`WINDOW`] words in the words of the histogram.
    pub(super) fn new(grid: &Arc<Grid>, first: usize) -> Self {
        Self {
            grid: Arc::clone(grid),
            first,
            window: AtomicUsize::new(NO_WINDOW),
            early: AtomicUsize::new(0),
            pieces: (0..grid.len().div_ceil(PIECE))
                .map(|_| OnceLock::new())
                .collect(),
        }
    }

    /// Returns the place of an amount in the window. `None` if the amount is not in the
    /// window; then use [`record`](Self::record).
    #[inline(always)]
    pub(super) fn place(&self, amount: u64) -> Option<usize> {
        let window = self.window.load(Ordering::Relaxed);
        let place = self.grid.fine(amount).wrapping_sub(window);
        (place < WINDOW).then_some(place)
    }

    /// Counts a sample `times` times. `amount` is `None` if the sample is not finite.
    /// `words` are those of the histogram, and `thread` must be the current thread.
    pub(super) fn record(&self, words: &Words, thread: Thread, amount: Option<u64>, times: u64) {
        let fine = amount.map_or(self.grid.infinite(), |amount| self.grid.fine(amount));
        self.add(words, thread, fine, times);
    }

    fn add(&self, words: &Words, thread: Thread, fine: usize, times: u64) {
        let mut window = self.window.load(Ordering::Relaxed);
        if window == NO_WINDOW && self.early.fetch_add(1, Ordering::Relaxed) == EARLY {
            window = fine.saturating_sub(BELOW);
            self.window.store(window, Ordering::Relaxed);
        }
        let place = fine.wrapping_sub(window);
        let (words, index) = if place < WINDOW {
            (words, self.first + place)
        } else {
            (self.piece(fine), fine % PIECE)
        };
        words.write(thread, move |shard| {
            shard.add(index, times, Ordering::Relaxed);
        });
    }

    /// Returns the words of the piece that contains a fine bucket, and allocates them if
    /// necessary.
    fn piece(&self, fine: usize) -> &Words {
        self.pieces[fine / PIECE].get_or_init(|| {
            let allocator = self.grid.allocator.lock();
            let mut allocator = allocator.unwrap_or_else(PoisonError::into_inner);
            allocator.allocate()
        })
    }

    /// Reads the classic buckets, not cumulative, and the native ones. `words` are those of
    /// the histogram.
    pub(super) fn read(&self, words: &Words) -> (Vec<u64>, NativePoint) {
        let mut counts = vec![0_u64; self.grid.len()];
        let window = self.window.load(Ordering::Relaxed);
        if window != NO_WINDOW {
            let of_window = counts[window..].iter_mut().take(WINDOW);
            sum(words, self.first, of_window);
        }
        let pieces = self.pieces.iter().zip(counts.chunks_mut(PIECE));
        for (piece, of_piece) in pieces {
            if let Some(words) = piece.get() {
                sum(words, 0, of_piece.iter_mut());
            }
        }
        let mut begin = 0;
        let ends = self.grid.classic_ends.iter().copied().chain([counts.len()]);
        let classic = ends.map(|end| {
            let counts = &counts[std::mem::replace(&mut begin, end)..end];
            counts.iter().copied().fold(0, u64::wrapping_add)
        });
        (
            classic.collect(),
            NativePoint::new(&counts, &self.grid.indexes),
        )
    }
}

/// Adds the words from `first` on, in all shards, to `counts`.
fn sum<'a>(words: &Words, first: usize, counts: impl Iterator<Item = &'a mut u64>) {
    for (index, count) in (first..).zip(counts) {
        for shard in words.shards() {
            *count = count.wrapping_add(shard.load(index, Ordering::Relaxed));
        }
    }
}

impl NativePoint {
    /// Merges buckets until there are few enough. Counts never decrease, so the schema of a
    /// series never rises. `counts` and `indexes` belong to the fine buckets.
    fn new(counts: &[u64], indexes: &[i32]) -> Self {
        static LOWERED: Message = Message::new();
        let mut schema = SCHEMA;
        loop {
            let mut buckets: Vec<(i32, u64)> = Vec::new();
            for (count, index) in counts.iter().zip(indexes).skip(1) {
                if *count != 0 {
                    let index = merged(*index, schema);
                    match buckets.last_mut() {
                        Some((last, total)) if *last == index => {
                            *total = total.wrapping_add(*count);
                        }
                        _ => buckets.push((index, *count)),
                    }
                }
            }
            if buckets.len() <= MOST_BUCKETS {
                if schema < SCHEMA {
                    LOWERED.write(format_args!(
                        "a series of a histogram needs more than {MOST_BUCKETS} native \
                         buckets, because its values differ by a factor of more than a \
                         million. Its resolution is now schema {schema} instead of {SCHEMA}. No \
                         count is lost. This message is written once per process"
                    ));
                }
                return Self {
                    schema,
                    zero_count: counts.first().copied().unwrap_or_default(),
                    buckets,
                };
            }
            schema -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::recorder::shards::tests::SHARDS;

    /// Some are bounds of schema 3, some are close together, some are not durations.
    const CLASSIC: [i64; 10] = [
        -1,
        0,
        1,
        500_000,
        1_000_000_000,
        1_000_000_001,
        1_000_000_002,
        1_001_000_000,
        7_500_000_000,
        i64::MAX,
    ];

    /// The bounds of a native bucket in seconds.
    fn bounds(index: i32, schema: i32) -> (f64, f64) {
        let bound = |index: i32| (f64::from(index) / f64::from(1 << schema)).exp2();
        (bound(index - 1), bound(index))
    }

    fn grid() -> Grid {
        Grid::new(Measure::Duration, &CLASSIC, SHARDS)
    }

    /// Amounts around every power of two and every bound, and others.
    fn amounts(measure: Measure) -> impl Iterator<Item = u64> {
        let mut random = 1_u64;
        let random = (0..20_000).map(move |_| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            random >> (random >> 58)
        });
        let near = |amount: u64| [amount.saturating_sub(1), amount, amount.saturating_add(1)];
        let powers = (0..64).map(|bit| 1 << bit);
        let native = (measure.lowest()..=measure.highest()).map(move |index| bound(measure, index));
        let classic = CLASSIC
            .into_iter()
            .filter_map(|bound| bound.try_into().ok());
        let edges = native.chain(powers).chain(classic).flat_map(near);
        edges.chain(0..2_000).chain(random)
    }

    #[test]
    fn an_amount_is_in_its_buckets() {
        for measure in [Measure::Duration, Measure::Size] {
            let grid = Grid::new(measure, &CLASSIC, SHARDS);
            for amount in amounts(measure) {
                let fine = grid.fine(amount);
                assert!(amount <= grid.bounds[fine], "{amount}");
                assert!(fine == 0 || grid.bounds[fine - 1] < amount, "{amount}");
                let classic = grid.classic_ends.partition_point(|end| *end <= fine);
                let expected = CLASSIC
                    .iter()
                    .position(|bound| i128::from(amount) <= (*bound).into());
                assert_eq!(classic, expected.unwrap_or(CLASSIC.len()), "{amount}");
                if amount == 0 {
                    assert_eq!(fine, 0);
                    continue;
                }
                let index = grid.indexes[fine];
                let (low, high) = bounds(index, SCHEMA);
                // Beyond 2^53, neighbouring amounts are the same float.
                let (low, high) = (low * (1.0 - 1e-15), high * (1.0 + 1e-15));
                let sample = amount as f64 / measure.scale();
                assert!(low < sample && sample <= high, "{amount} in {index}");
            }
            assert_eq!(grid.indexes[grid.fine(1)], measure.lowest());
            assert_eq!(grid.indexes[grid.fine(u64::MAX)], measure.highest());
        }
    }

    #[test]
    fn whole_powers_of_two_belong_to_the_lower_bucket() {
        let grid = grid();
        for schema in 0..=SCHEMA {
            for exponent in -9..30_i32 {
                let nanos = (1e9 * f64::from(exponent).exp2()) as u64;
                let of = |nanos| merged(grid.indexes[grid.fine(nanos)], schema);
                assert_eq!(of(nanos), exponent << schema, "2^{exponent} s");
                assert_eq!(of(nanos + 1), (exponent << schema) + 1, "2^{exponent} s");
            }
        }
    }

    #[test]
    fn nothing_is_lost_when_the_schema_is_lowered() {
        let grid = Arc::new(grid());
        let all = grid.len();
        let orders: [&dyn Fn(usize) -> usize; 4] = [
            &|step| step,
            &|step| all - 1 - step,
            &|step| step * 2 % all + usize::from(all.is_multiple_of(2) && step >= all / 2),
            &|step| step * 89 % all,
        ];
        for order in orders {
            let native = NativeBuckets::new(&grid, 2);
            let words = Allocator::new(2 + WINDOW, SHARDS).allocate();
            let mut expected = vec![0; all];
            let mut before = SCHEMA;
            for step in 0..all {
                let fine = order(step);
                for thread in [0, 1].map(Thread::of_number) {
                    native.add(&words, thread, fine, fine as u64 + 1);
                }
                assert_eq!(expected[fine], 0, "each fine bucket once");
                expected[fine] = 2 * (fine as u64 + 1);
                let (classic, point) = native.read(&words);
                assert_eq!(point.zero_count, expected[0]);
                let mut merged_counts: BTreeMap<i32, u64> = BTreeMap::new();
                for (count, index) in expected.iter().zip(&grid.indexes).skip(1) {
                    let index = merged(*index, point.schema);
                    *merged_counts.entry(index).or_default() += count;
                }
                merged_counts.retain(|_, count| *count != 0);
                assert!(merged_counts.len() <= MOST_BUCKETS);
                assert_eq!(point.buckets, merged_counts.into_iter().collect::<Vec<_>>());
                assert_eq!(classic.iter().sum::<u64>(), point.total());
                assert!(point.schema <= before);
                before = point.schema;
            }
            assert_eq!(before, 1);
        }
    }

    #[test]
    fn a_typical_series_needs_no_more_than_the_window() {
        let native = NativeBuckets::new(&Arc::new(grid()), 2);
        let words = Allocator::new(2 + WINDOW, SHARDS).allocate();
        let thread = Thread::of_number(0);
        let mut elsewhere = 0;
        // The first call is slow.
        for nanos in [30_000_000_000]
            .into_iter()
            .chain((1_000_000..30_000_000).step_by(10_000))
        {
            match native.place(nanos) {
                Some(place) => {
                    words.write(thread, |shard| shard.add(2 + place, 1, Ordering::Relaxed));
                }
                None => {
                    native.record(&words, thread, Some(nanos), 1);
                    elsewhere += 1;
                }
            }
        }
        assert_eq!(elsewhere, 128);
        let pieces = native.pieces.iter().filter(|piece| piece.get().is_some());
        assert_eq!(pieces.count(), 2, "for the first call and for early ones");
        assert_eq!(native.read(&words).1.total(), 1 + 2_900);
    }

    #[test]
    fn the_zero_threshold_is_that_of_the_go_library() {
        assert_eq!(ZERO_THRESHOLD, (-128_f64).exp2());
    }
}
