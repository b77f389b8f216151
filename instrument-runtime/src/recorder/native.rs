//! The exponential buckets of Prometheus's [native histograms], for durations.
//!
//! With schema s, bucket i holds the samples in seconds from 2^((i-1)/2^s) (exclusive) to
//! 2^(i/2^s) (inclusive). A series begins with schema 3, in which a bound is 9 % above the
//! previous one. If that takes more than 160 buckets, the schema is lowered by one: two
//! adjacent buckets become one, and no count is lost.
//!
//! # Storage
//!
//! A duration in nanoseconds falls into one of 515 *fine* buckets of schema 3. Most series
//! use only a few dozen of them. So each bucket that occurs gets a *slot*, which is a word
//! in the shards, and `slots` maps fine buckets to slots:
//!
//! ```text
//!              fine bucket     0    1    2   …   164  165   …   514
//!                           ┌────┬────┬────┬───┬────┬────┬───┬─────┐
//!  slots, plus one          │  0 │  0 │  0 │ … │  2 │  1 │ … │  0  │  0: no slot
//!                           └────┴────┴────┴───┴──┼─┴──┼─┴───┴─────┘
//!                                   ┌─────────────┼────┘
//!                               ┌───▼──┬──────┬───▼──┬ ┈ ┬──────┐
//!  pieces of 32 slots, sharded  │    0 │    1 ◄──┘   │   │   31 │  …
//!                               └──────┴──────┴──────┴ ┈ ┴──────┘
//! ```
//!
//! A call reads its map entry and adds to its thread's own word. Only the first sample of a
//! bucket takes a lock, to assign the slot, and to allocate the piece if necessary.
//!
//! Lowering the schema moves nothing: a slot stays with the fine bucket that it was created
//! for, and the reader merges the slots of a coarse bucket. From then on, a fine bucket that
//! occurs for the first time shares the slot of its coarse bucket.
//!
//! [native histograms]: https://prometheus.io/docs/specs/native_histograms/

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use crate::diagnostics::Message;
use crate::lock_free::sync::{AtomicU16, Mutex, MutexGuard, OnceLock, Ordering};
use crate::recorder::point::NativePoint;
use crate::recorder::shards::{Allocator, Words};
use crate::recorder::threads::Thread;

/// The schema of a new series: 8 buckets for each power of two.
const SCHEMA: i32 = 3;
/// The maximum number of buckets of a series. OpenTelemetry's SDKs have the same default.
const MOST_BUCKETS: usize = 160;

/// The index in schema 3 of the bucket that holds 1 ns.
const LOWEST: i32 = -239;
/// The index in schema 3 of the bucket that holds 2^64 ns.
const HIGHEST: i32 = 273;
/// The fine bucket of 0 ns, which is the zero bucket of native histograms.
const ZERO: usize = 0;
/// The fine bucket of samples that are not finite.
const INFINITE: usize = (HIGHEST - LOWEST) as usize + 2;
const FINE_BUCKETS: usize = INFINITE + 1;

/// The upper bound of the zero bucket in seconds, as in Prometheus's Go library. It is far
/// below 1 ns, so the zero bucket holds only calls of 0 ns.
pub(crate) const ZERO_THRESHOLD: f64 = 1.0 / (1_u128 << 127) as f64 / 2.0;

/// The number of slots in a piece.
const PIECE: usize = 32;
/// The number of pieces, which is enough for all slots that a series can get: 160 until
/// the schema is 2, then up to 80 more, because two fine buckets share at most one coarse
/// bucket. With schema 1 there are 129 buckets, of which at least 80 have a slot already.
const PIECES: usize = 10;

/// The table that finds the bucket of a duration, and the allocator of the pieces. All
/// series of a metric share it.
#[derive(Debug)]
pub(super) struct Grid {
    /// The largest whole number of nanoseconds in each fine bucket.
    bounds: Box<[u64]>,
    /// For durations with the same highest bit and the same five bits after it, the fine
    /// bucket of the shortest one. The longest one is at most one bucket further: it is at
    /// most 3 % longer, and a bucket is 9 % wide.
    cells: Box<[u16]>,
    allocator: Mutex<Allocator>,
}

/// The number of bits after the highest bit that select a cell.
const CELL_BITS: u32 = 5;

/// Returns the cell of a duration, which must not be 0.
#[inline(always)]
fn cell(nanos: u64) -> usize {
    let zeros = nanos.leading_zeros();
    let highest = u64::from(63 - zeros);
    // The highest bit itself is shifted out.
    let next = (nanos << zeros << 1) >> (64 - CELL_BITS);
    (highest << CELL_BITS | next) as usize
}

impl Grid {
    /// `shards` is the number of shards of a series.
    pub(super) fn new(shards: usize) -> Self {
        let bound = |fine: usize| {
            let index = fine as i32 - 1 + LOWEST;
            let octave = f64::from(index.div_euclid(8));
            let eighth = f64::from(index.rem_euclid(8)) / 8.0;
            // Whole octaves are exact. The cast saturates.
            (1e9 * octave.exp2() * eighth.exp2()) as u64
        };
        let bounds: Box<[u64]> = (0..INFINITE)
            .map(|fine| if fine == ZERO { 0 } else { bound(fine) })
            .collect();
        let cells = (0..64_u64 << CELL_BITS)
            .map(|cell| {
                let (highest, next) = (cell >> CELL_BITS, cell & ((1 << CELL_BITS) - 1));
                let shortest = u128::from(1 << CELL_BITS | next) << highest >> CELL_BITS;
                let fine = bounds.partition_point(|bound| u128::from(*bound) < shortest);
                fine as u16
            })
            .collect();
        Self {
            bounds,
            cells,
            allocator: Mutex::new(Allocator::new(PIECE, shards)),
        }
    }

    /// Returns the fine bucket of a duration.
    #[inline(always)]
    fn fine(&self, nanos: u64) -> usize {
        if nanos == 0 {
            return ZERO;
        }
        let fine = usize::from(self.cells[cell(nanos)]);
        fine + usize::from(self.bounds[fine] < nanos)
    }
}

/// Returns the index of the bucket of `schema` that contains a fine bucket other than the
/// zero bucket.
fn index(fine: u16, schema: i32) -> i32 {
    let index = if usize::from(fine) == INFINITE {
        // Samples that are not finite are counted in the bucket after that of the largest
        // float, as the specification says.
        1024 * 8 + 1
    } else {
        i32::from(fine) - 1 + LOWEST
    };
    // Rounded up, because upper bounds are inclusive.
    (index + (1 << (SCHEMA - schema)) - 1) >> (SCHEMA - schema)
}

/// The native buckets of one series.
#[derive(Debug)]
pub(super) struct NativeBuckets {
    /// The slot of each fine bucket, plus one. 0 if it has no slot yet.
    slots: Box<[AtomicU16]>,
    /// The words of the slots. A piece is set before one of its slots is in `slots`.
    pieces: [OnceLock<Words>; PIECES],
    assigned: Mutex<Assigned>,
}

#[derive(Debug)]
struct Assigned {
    /// The maximum number of buckets.
    most: usize,
    schema: i32,
    /// The fine bucket that each slot was created for.
    slots: Vec<u16>,
}

impl NativeBuckets {
    pub(super) fn new() -> Self {
        Self::with_at_most(MOST_BUCKETS)
    }

    /// Creates a series with at most `most` buckets.
    pub(super) fn with_at_most(most: usize) -> Self {
        Self {
            slots: (0..FINE_BUCKETS).map(|_| AtomicU16::new(0)).collect(),
            pieces: std::array::from_fn(|_| OnceLock::new()),
            assigned: Mutex::new(Assigned {
                most,
                schema: SCHEMA,
                slots: Vec::new(),
            }),
        }
    }

    /// Counts a duration. `thread` must be the current thread.
    #[inline(always)]
    pub(super) fn record_nanos(&self, grid: &Grid, thread: Thread, nanos: u64) {
        self.add(grid, thread, grid.fine(nanos), 1);
    }

    /// Counts a sample `times` times, whose duration is `None` if it is not finite.
    pub(super) fn record(&self, grid: &Grid, thread: Thread, nanos: Option<u64>, times: u64) {
        let fine = nanos.map_or(INFINITE, |nanos| grid.fine(nanos));
        self.add(grid, thread, fine, times);
    }

    #[inline(always)]
    fn add(&self, grid: &Grid, thread: Thread, fine: usize, times: u64) {
        let slot = usize::from(self.slots[fine].load(Ordering::Acquire));
        if slot != 0
            && let Some(words) = self.pieces[(slot - 1) / PIECE].get()
        {
            count(words, thread, slot - 1, times);
        } else {
            self.add_first(grid, thread, fine, times);
        }
    }

    /// Assigns a slot to a fine bucket, and counts its first sample.
    #[cold]
    #[inline(never)]
    fn add_first(&self, grid: &Grid, thread: Thread, fine: usize, times: u64) {
        let slot = {
            let mut assigned = self.assigned();
            // Another thread may have assigned the slot before this one had the lock.
            match self.slots[fine].load(Ordering::Acquire) {
                0 => {
                    let slot = assigned.slot(fine as u16);
                    self.piece(grid, slot);
                    self.slots[fine].store(slot as u16 + 1, Ordering::Release);
                    slot
                }
                slot => usize::from(slot) - 1,
            }
        };
        count(self.piece(grid, slot), thread, slot, times);
    }

    /// Returns the words of the piece with this slot, and allocates them if necessary.
    fn piece(&self, grid: &Grid, slot: usize) -> &Words {
        self.pieces[slot / PIECE].get_or_init(|| {
            let allocator = grid.allocator.lock();
            allocator.unwrap_or_else(PoisonError::into_inner).allocate()
        })
    }

    fn assigned(&self) -> MutexGuard<'_, Assigned> {
        self.assigned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all buckets.
    pub(super) fn read(&self) -> NativePoint {
        loop {
            let (schema, slots) = {
                let assigned = self.assigned();
                (assigned.schema, assigned.slots.clone())
            };
            let mut zero_count = 0_u64;
            let mut buckets = BTreeMap::new();
            for (slot, fine) in slots.into_iter().enumerate() {
                let count = self.count(slot);
                if usize::from(fine) == ZERO {
                    zero_count = count;
                } else if count != 0 {
                    *buckets.entry(index(fine, schema)).or_default() += count;
                }
            }
            // If the schema was lowered meanwhile, slots may contain samples of other fine
            // buckets than those that they were created for. A sample that was read cannot
            // have been recorded after this lock is taken, and the lock was held when its
            // fine bucket got the slot. So the lowered schema is visible here.
            if self.assigned().schema == schema {
                return NativePoint {
                    schema,
                    zero_count,
                    buckets: buckets.into_iter().collect(),
                };
            }
        }
    }

    fn count(&self, slot: usize) -> u64 {
        let words = self.pieces[slot / PIECE].get();
        let shards = words.into_iter().flat_map(Words::shards);
        shards
            .map(|shard| shard.load(slot % PIECE, Ordering::Relaxed))
            .fold(0, u64::wrapping_add)
    }
}

#[inline(always)]
fn count(words: &Words, thread: Thread, slot: usize, times: u64) {
    words.write(thread, |shard| {
        shard.add(slot % PIECE, times, Ordering::Relaxed)
    });
}

impl Assigned {
    /// Returns the slot for a fine bucket that has none. Lowers the schema if the bucket
    /// would be one too many.
    fn slot(&mut self, fine: u16) -> usize {
        static LOWERED: Message = Message::new();
        let is_zero = |fine: u16| usize::from(fine) == ZERO;
        if is_zero(fine) {
            self.slots.push(fine);
            return self.slots.len() - 1;
        }
        loop {
            let bucket = index(fine, self.schema);
            let in_bucket = |other: &u16| !is_zero(*other) && index(*other, self.schema) == bucket;
            if let Some(slot) = self.slots.iter().position(in_bucket) {
                return slot;
            }
            let others = self.slots.iter().filter(|other| !is_zero(**other));
            let buckets: BTreeSet<i32> = others.map(|other| index(*other, self.schema)).collect();
            if buckets.len() < self.most && self.slots.len() < PIECES * PIECE {
                self.slots.push(fine);
                return self.slots.len() - 1;
            }
            self.schema -= 1;
            LOWERED.write(format_args!(
                "a native histogram has more than {} buckets, so its resolution was \
                 halved to schema {}: its durations differ by a factor of more than a million. \
                 No count is lost. The same may happen to other series without a message",
                self.most, self.schema
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::shards::tests::SHARDS;

    fn seconds(nanos: u64) -> f64 {
        nanos as f64 / 1e9
    }

    /// The bounds of a bucket in seconds.
    fn bounds(index: i32, schema: i32) -> (f64, f64) {
        let bound = |index: i32| (f64::from(index) / f64::from(1 << schema)).exp2();
        (bound(index - 1), bound(index))
    }

    /// Durations around every power of two and every bound, and others.
    fn durations(grid: &Grid) -> Vec<u64> {
        let mut random = 1_u64;
        let random = (0..20_000).map(move |_| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            random >> (random >> 58)
        });
        let near = |nanos: &u64| [nanos.saturating_sub(1), *nanos, nanos.saturating_add(1)];
        let powers: Vec<u64> = (0..64).map(|bit| 1 << bit).collect();
        let edges = grid.bounds.iter().chain(&powers).flat_map(near);
        edges.chain(0..2_000).chain(random).collect()
    }

    #[test]
    fn a_duration_is_in_its_bucket() {
        let grid = Grid::new(SHARDS);
        for nanos in durations(&grid) {
            let fine = grid.fine(nanos);
            if nanos == 0 {
                assert_eq!(fine, ZERO);
                continue;
            }
            let exact = grid.bounds.partition_point(|bound| *bound < nanos);
            assert_eq!(fine, exact, "{nanos}");
            let index = index(fine as u16, SCHEMA);
            let (low, high) = bounds(index, SCHEMA);
            // Beyond 2^53 ns, neighbouring durations are the same float.
            let (low, high) = (low * (1.0 - 1e-15), high * (1.0 + 1e-15));
            let seconds = seconds(nanos);
            assert!(low < seconds && seconds <= high, "{nanos} in {index}");
        }
        assert_eq!(index(grid.fine(1) as u16, SCHEMA), LOWEST);
        assert_eq!(index(grid.fine(u64::MAX) as u16, SCHEMA), HIGHEST);
    }

    #[test]
    fn whole_powers_of_two_belong_to_the_lower_bucket() {
        let grid = Grid::new(SHARDS);
        for schema in 0..=SCHEMA {
            for exponent in -9..30_i32 {
                let nanos = (1e9 * f64::from(exponent).exp2()) as u64;
                let of = |nanos| index(grid.fine(nanos) as u16, schema);
                assert_eq!(of(nanos), exponent << schema, "2^{exponent} s");
                assert_eq!(of(nanos + 1), (exponent << schema) + 1, "2^{exponent} s");
            }
        }
    }

    #[test]
    fn nothing_is_lost_when_the_schema_is_lowered() {
        let grid = Grid::new(SHARDS);
        let orders: [Box<dyn Fn(usize) -> usize>; 4] = [
            Box::new(|step| step),
            Box::new(|step| FINE_BUCKETS - 1 - step),
            // Every other bucket first, so that as few as possible share a coarse one.
            Box::new(|step| step * 2 % FINE_BUCKETS),
            Box::new(|step| step * 89 % FINE_BUCKETS),
        ];
        for order in orders {
            let native = NativeBuckets::new();
            let mut expected = BTreeMap::new();
            for step in 0..FINE_BUCKETS {
                let fine = order(step);
                for thread in 0..2 {
                    native.add(&grid, Thread::of_number(thread), fine, fine as u64 + 1);
                }
                *expected.entry(fine).or_default() += 2 * (fine as u64 + 1);
                let point = native.read();
                let zero = expected.get(&ZERO).copied().unwrap_or_default();
                assert_eq!(point.zero_count, zero);
                let mut coarse: BTreeMap<i32, u64> = BTreeMap::new();
                for (fine, count) in expected.iter().filter(|(fine, _)| **fine != ZERO) {
                    *coarse.entry(index(*fine as u16, point.schema)).or_default() += count;
                }
                assert!(coarse.len() <= MOST_BUCKETS, "{}", coarse.len());
                assert_eq!(point.buckets, coarse.into_iter().collect::<Vec<_>>());
            }
            let assigned = native.assigned();
            assert_eq!(assigned.schema, 1);
            assert!(
                assigned.slots.len() < PIECES * PIECE,
                "{}",
                assigned.slots.len()
            );
        }
    }

    #[test]
    fn a_typical_series_takes_little_memory() {
        let grid = Grid::new(SHARDS);
        let native = NativeBuckets::new();
        for nanos in (500_000..100_000_000).step_by(10_000) {
            native.record_nanos(&grid, Thread::of_number(0), nanos);
        }
        let pieces = native.pieces.iter().filter(|piece| piece.get().is_some());
        assert_eq!(pieces.count(), 2, "62 buckets from 0.5 ms to 100 ms");
        assert_eq!(native.read().schema, SCHEMA);
    }

    #[test]
    fn the_zero_threshold_is_that_of_the_go_library() {
        assert_eq!(ZERO_THRESHOLD, (-128_f64).exp2());
    }
}
