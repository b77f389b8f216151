//! The storage of the instruments: 64-bit words, with one copy per shard.
//!
//! If all threads counted in the same word, its cache line would move from core to core
//! at every call. So each shard has its own copy of a series' words, a thread writes to
//! one shard only, and a reader adds up the copies.
//!
//! A *block* holds the words of 16 series. It has one *part* for each shard, which is
//! allocated when a thread first writes to it:
//!
//! ```text
//!  writers               shard   the block's parts
//!                                ┌──────────┬──────────┬─ ┈ ─┬───────────┐
//!  threads 8, 12, … ──────> 0    │ series 0 │ series 1 │  …  │ series 15 │  shared:
//!                                └──────────┴──────────┴─ ┈ ─┴───────────┘  fetch_add
//!  threads 9, 13, … ──────> 1    …
//!  threads 10, 14, … ─────> 2    (no such thread yet: not allocated)
//!  threads 11, 15, … ─────> 3    (no such thread yet: not allocated)
//!                                ┌──────────┬──────────┬─ ┈ ─┬───────────┐
//!  thread 0 ──────────────> 4    │ series 0 │ series 1 │  …  │ series 15 │  own:
//!                                └──────────┴──────────┴─ ┈ ─┴───────────┘  load, store
//!  thread 1 ──────────────> 5    …
//!   ⋮
//!  thread 7 ──────────────> 11   …
//! ```
//!
//! This is the layout on a machine with up to 4 cores, which has 12 shards. The numbers
//! of the threads come from [`threads`](super::threads): no two live threads have the
//! same number, so an own shard has one writer at a time.
//!
//! A part is a sequence of whole 128-byte lines, with the words of the series packed
//! one after the other. For gauges, which have 2 words (up and down):
//!
//! ```text
//!           line 0: 16 words                  line 1
//!  ┆ spare ┃ u d │ u d │ u d │ ┈ │ u d ┃ u d │ u d │ u d │ ┈ │ u d ┃ spare ┆
//!  series:    0     1     2    ┈    7     8     9    10    ┈   15
//! ```
//!
//! 16 series of w words are exactly w lines, whatever w is. So no line belongs to two
//! parts, which rules out false sharing between own shards, and no word is lost to
//! padding between series. A part is allocated with 15 spare words, so that its first
//! line can start at an aligned address. Adjacent series may share a line, but within
//! one shard they have the same writers.

use std::sync::Arc;
use std::thread;

use crate::lock_free::sync::{AtomicU64, OnceLock, Ordering};
use crate::recorder::threads::Thread;

/// The distance in bytes at which two words do not cause false sharing. On x86, that is
/// two cache lines of 64 bytes, because the prefetcher fetches lines in pairs; see
/// crossbeam's [`CachePadded`].
///
/// [`CachePadded`]: https://docs.rs/crossbeam-utils/latest/crossbeam_utils/struct.CachePadded.html
const LINE: usize = 128;
const WORDS_PER_LINE: usize = LINE / size_of::<AtomicU64>();
/// The number of series in a block. With as many series as a line has words, a part
/// fills whole lines without padding, however many words a series has.
const SERIES_PER_BLOCK: usize = WORDS_PER_LINE;

/// The number of shared shards, which come first. Threads without a shard of their own
/// are spread over them by their numbers.
const SHARED: usize = 4;

/// Returns the number of shards of a series: the shared shards, and two own shards for
/// each core (at least 8 and at most 64). An async runtime has one thread per core, and
/// the process has its main thread and a few others. Assumes 16 cores if their number is
/// unknown. Shards without a writer take no memory.
pub(super) fn shard_count() -> usize {
    let cores = thread::available_parallelism().map_or(16, usize::from);
    SHARED + (2 * cores).clamp(8, 64)
}

/// Returns the index of the shard that `thread` writes to if there are `shards` shards, and
/// whether this is the thread's own shard.
#[inline]
pub(super) fn shard_of(thread: Thread, shards: usize) -> (usize, bool) {
    let own = SHARED + thread.number();
    if own < shards {
        (own, true)
    } else {
        (own % SHARED.min(shards), false)
    }
}

/// The words of one series, in all shards.
#[derive(Debug)]
pub(super) struct Words {
    block: Block,
    /// The index of the series' first word, counted from the start of a part's first
    /// line.
    first: usize,
    /// The number of words in a part, without spare words.
    of_part: usize,
}

/// The words of 16 series: one part for each shard.
type Block = Arc<[OnceLock<Part>]>;

/// The words of 16 series in one shard.
#[derive(Debug)]
struct Part {
    words: Box<[AtomicU64]>,
    /// The index of the first word that is at the start of a line.
    start: usize,
}

impl Part {
    fn new(words: usize) -> Self {
        let spare = WORDS_PER_LINE - 1;
        let words: Box<[_]> = (0..words + spare).map(|_| AtomicU64::new(0)).collect();
        // `align_offset` is allowed to fail, with `usize::MAX`. The lines are then not
        // aligned, which costs speed only.
        let start = words.as_ptr().align_offset(LINE).min(spare);
        Self { words, start }
    }
}

/// The words of a series in one shard.
#[derive(Clone, Copy)]
pub(super) struct Shard<'a> {
    words: &'a [AtomicU64],
    first: usize,
    is_own: bool,
}

impl Words {
    /// Calls `to` with the shard that `thread` writes to. `thread` must be the current
    /// thread: a write to another thread's own shard could overwrite what that thread
    /// adds at the same time.
    #[inline(always)]
    pub(super) fn write<T>(&self, thread: Thread, to: impl FnOnce(Shard<'_>) -> T) -> T {
        match self.own_shard(thread) {
            Some(shard) => to(shard),
            None => self.write_elsewhere(thread, to),
        }
    }

    /// Returns the own shard of `thread`, which must be the current thread. `None` if
    /// [`write`](Self::write) has to allocate it, or if the thread has no own shard.
    #[inline(always)]
    pub(super) fn own_shard(&self, thread: Thread) -> Option<Shard<'_>> {
        let part = self.block.get(SHARED + thread.number())?.get()?;
        // `is_own` is a constant here, so what is inlined into the caller contains no atomic
        // read-modify-write.
        Some(self.shard(part, true))
    }

    /// Handles the rare cases of [`write`](Self::write): allocates the part of the
    /// thread's own shard, or writes to a shared shard if the thread has no shard of its
    /// own.
    #[cold]
    #[inline(never)]
    fn write_elsewhere<T>(&self, thread: Thread, to: impl FnOnce(Shard<'_>) -> T) -> T {
        let (index, is_own) = shard_of(thread, self.block.len());
        let part = self.block[index].get_or_init(|| Part::new(self.of_part));
        to(self.shard(part, is_own))
    }

    #[inline]
    fn shard<'a>(&self, part: &'a Part, is_own: bool) -> Shard<'a> {
        Shard {
            words: &part.words,
            first: part.start + self.first,
            is_own,
        }
    }

    /// Returns the number of shards.
    pub(super) fn shard_count(&self) -> usize {
        self.block.len()
    }

    /// Returns every shard that was written to. The caller must not write to these
    /// shards, because own shards belong to other threads.
    pub(super) fn shards(&self) -> impl Iterator<Item = Shard<'_>> {
        let parts = self.block.iter().filter_map(OnceLock::get);
        parts.map(|part| self.shard(part, false))
    }
}

impl<'a> Shard<'a> {
    #[inline]
    fn word(self, index: usize) -> &'a AtomicU64 {
        &self.words[self.first + index]
    }

    /// Adds `value`, wrapping around, and returns the previous value. `order` is the
    /// memory ordering of the store.
    #[inline]
    pub(super) fn add(self, index: usize, value: u64, order: Ordering) -> u64 {
        let word = self.word(index);
        if self.is_own {
            let before = word.load(Ordering::Relaxed);
            word.store(before.wrapping_add(value), order);
            before
        } else {
            word.fetch_add(value, order)
        }
    }

    #[inline]
    pub(super) fn load(self, index: usize, order: Ordering) -> u64 {
        self.word(index).load(order)
    }
}

/// Allocates the words of a metric's series, a block at a time.
#[derive(Debug)]
pub(super) struct Allocator {
    /// The number of words of a series in one shard.
    words: usize,
    /// The number of shards of the next block.
    shards: usize,
    block: Block,
    /// The number of series in `block`.
    taken: usize,
    /// The number of series in all blocks.
    series: usize,
}

impl Allocator {
    /// The number of series that get all shards. The first series are those of the
    /// program's handlers. Later series come from labels of high cardinality, and each of
    /// these series is seldom written to.
    const FULLY_SHARDED: usize = 4096;
    /// The number of shards of each later series. All threads share these shards.
    const SHARDS_PAST_THAT: usize = 2;

    /// Creates an allocator for series of `words` words each.
    pub(super) fn new(words: usize, shards: usize) -> Self {
        Self {
            words,
            shards,
            block: Arc::new([]),
            taken: SERIES_PER_BLOCK,
            series: 0,
        }
    }

    /// Allocates the words of a new series. They are zero.
    pub(super) fn allocate(&mut self) -> Words {
        if self.series == Self::FULLY_SHARDED {
            self.shards = self.shards.min(Self::SHARDS_PAST_THAT);
        }
        if self.taken == SERIES_PER_BLOCK {
            self.block = (0..self.shards).map(|_| OnceLock::new()).collect();
            self.taken = 0;
        }
        let words = Words {
            block: Arc::clone(&self.block),
            first: self.taken * self.words,
            of_part: self.words * SERIES_PER_BLOCK,
        };
        self.taken += 1;
        self.series += 1;
        words
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::{HashMap, HashSet};
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// The number of shards in tests. It is so small that the threads of a test must
    /// share some of the shards.
    pub(in crate::recorder) const SHARDS: usize = SHARED + 3;

    #[test]
    fn no_word_belongs_to_two_series_and_no_line_to_two_shards() {
        for words in [1, 2, 20] {
            let mut allocator = Allocator::new(words, SHARDS);
            let series: Vec<Words> = (0..40).map(|_| allocator.allocate()).collect();
            let mut addresses = HashSet::new();
            let mut shards = HashMap::new();
            for series in &series {
                for number in 0..7 {
                    // Only numbers 0 to 2 have a shard of their own.
                    let thread = Thread::of_number(number);
                    for index in 0..words {
                        let address = series
                            .write(thread, |shard| std::ptr::from_ref(shard.word(index)).addr());
                        assert!(addresses.insert(address), "a word was allocated twice");
                        let of_line = shards.entry(address / LINE).or_insert(number);
                        assert_eq!(*of_line, number, "a line is shared by shards");
                    }
                }
            }
            assert_eq!(addresses.len(), 40 * 7 * words);
        }
    }

    #[test]
    fn a_crowd_of_series_has_few_shards() {
        let mut allocator = Allocator::new(1, SHARDS);
        let last = (0..Allocator::FULLY_SHARDED)
            .map(|_| allocator.allocate())
            .last();
        assert_eq!(last.expect("some").block.len(), 7);
        assert_eq!(allocator.allocate().block.len(), 2);
    }

    #[test]
    fn a_shard_without_a_writer_takes_no_room() {
        let words = Allocator::new(1, SHARDS).allocate();
        assert_eq!(words.shards().count(), 0);
        for (number, shards) in [(1, 1), (1, 1), (100, 2), (104, 2), (101, 3)] {
            words.write(Thread::of_number(number), |_| ());
            assert_eq!(words.shards().count(), shards);
        }
    }

    #[test]
    fn nothing_is_lost_by_threads_that_come_and_go() {
        const GENERATIONS: usize = if cfg!(miri) { 4 } else { 300 };
        const ADDED: u64 = if cfg!(miri) { 20 } else { 2_000 };
        // There are more threads than own shards, so some threads share a shard. Thread
        // numbers are reused by later threads.
        const THREADS: usize = 6;
        for shards in [SHARDS, SHARED + 1, Allocator::SHARDS_PAST_THAT] {
            let words = Allocator::new(1, shards).allocate();
            let left = AtomicUsize::new(GENERATIONS);
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        while left
                            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                                left.checked_sub(1)
                            })
                            .is_ok()
                        {
                            thread::scope(|scope| {
                                scope.spawn(|| {
                                    for _ in 0..ADDED {
                                        words.write(Thread::current(), |shard| {
                                            shard.add(0, 1, Ordering::Relaxed)
                                        });
                                    }
                                });
                            });
                        }
                    });
                }
            });
            let total: u64 = words
                .shards()
                .map(|shard| shard.load(0, Ordering::Relaxed))
                .sum();
            assert_eq!(total, GENERATIONS as u64 * ADDED, "{shards} shards");
        }
    }
}
