//! Storage: words of 64 bits, one copy in each shard, and for each thread a
//! shard to write to, so that two threads seldom write to one cache line.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

/// What one core takes from another at a time: two lines of 64 bytes on x86,
/// where they are fetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([AtomicU64; WORDS_PER_LINE]);

const WORDS_PER_LINE: usize = 16;
/// The series that share a block. With 16 words a line, the copies of 16 series
/// fill whole lines however many words a series has: nothing is padding.
const SERIES_PER_BLOCK: usize = WORDS_PER_LINE;

const MOST_SHARDS: usize = 16;
/// A few cores still have more threads than that.
const FEWEST_SHARDS: usize = 4;

/// The shards of this machine: a power of two.
pub(super) fn shard_count() -> usize {
    thread::available_parallelism()
        .map_or(MOST_SHARDS, usize::from)
        .next_power_of_two()
        .clamp(FEWEST_SHARDS, MOST_SHARDS)
}

/// This thread's number. Threads are numbered in turn, as each first records.
#[inline]
pub(super) fn this_thread() -> usize {
    const NONE: usize = usize::MAX;
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(NONE) };
    }

    #[cold]
    fn number() -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // Not `NONE`, even after so many threads.
        let number = NEXT.fetch_add(1, Ordering::Relaxed) & (NONE >> 1);
        NUMBER.set(number);
        number
    }

    match NUMBER.get() {
        NONE => number(),
        number => number,
    }
}

/// The words of one series.
#[derive(Debug)]
pub(super) struct Words {
    block: Arc<[Line]>,
    /// The series' first word in a shard's part of the block.
    first: usize,
    /// The words of a shard's part.
    stride: usize,
    /// One less than the number of shards.
    mask: usize,
}

/// A series' words in one shard.
#[derive(Clone, Copy)]
pub(super) struct Shard<'a> {
    lines: &'a [Line],
    first: usize,
}

impl Words {
    /// The shard that this thread writes to.
    #[inline]
    pub(super) fn here(&self) -> Shard<'_> {
        self.of_thread(this_thread())
    }

    /// The shard that the thread of this number writes to.
    #[inline]
    pub(super) fn of_thread(&self, thread: usize) -> Shard<'_> {
        self.shard(thread & self.mask)
    }

    /// Every shard, for a reader.
    pub(super) fn shards(&self) -> impl Iterator<Item = Shard<'_>> {
        (0..=self.mask).map(|index| self.shard(index))
    }

    #[inline]
    fn shard(&self, index: usize) -> Shard<'_> {
        Shard {
            lines: &self.block,
            first: index * self.stride + self.first,
        }
    }
}

impl<'a> Shard<'a> {
    #[inline]
    pub(super) fn word(self, index: usize) -> &'a AtomicU64 {
        let at = self.first + index;
        &self.lines[at / WORDS_PER_LINE].0[at % WORDS_PER_LINE]
    }
}

/// Hands out words, a block at a time.
#[derive(Debug)]
pub(super) struct Allocator {
    words: usize,
    shards: usize,
    block: Arc<[Line]>,
    /// The series that have their words in `block`.
    taken: usize,
    series: usize,
}

impl Allocator {
    /// The series that have all shards. The first series are the program's own
    /// handlers; past so many of them a set of labels is one of a crowd, and
    /// its share of the calls is small.
    const FULLY_SHARDED: usize = 4096;
    const SHARDS_PAST_THAT: usize = 2;

    /// For series of so many words each.
    pub(super) fn new(words: usize, shards: usize) -> Self {
        Self {
            words,
            shards,
            block: Arc::new([]),
            taken: SERIES_PER_BLOCK,
            series: 0,
        }
    }

    /// Words that are zero.
    pub(super) fn allocate(&mut self) -> Words {
        if self.taken == SERIES_PER_BLOCK {
            if self.series == Self::FULLY_SHARDED {
                self.shards = self.shards.min(Self::SHARDS_PAST_THAT);
            }
            let lines = self.shards * self.words * SERIES_PER_BLOCK / WORDS_PER_LINE;
            self.block = (0..lines).map(|_| Line::default()).collect();
            self.taken = 0;
        }
        let words = Words {
            block: Arc::clone(&self.block),
            first: self.taken * self.words,
            stride: self.words * SERIES_PER_BLOCK,
            mask: self.shards - 1,
        };
        self.taken += 1;
        self.series += 1;
        words
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_word_belongs_to_two_series_and_no_line_to_two_shards() {
        for words in [1, 2, 20] {
            let mut allocator = Allocator::new(words, 8);
            let series: Vec<Words> = (0..40).map(|_| allocator.allocate()).collect();
            let mut addresses = HashSet::new();
            let mut shards = std::collections::HashMap::new();
            for series in &series {
                for (number, shard) in series.shards().enumerate() {
                    for index in 0..words {
                        let address = std::ptr::from_ref(shard.word(index)).addr();
                        assert!(addresses.insert(address), "a word was given twice");
                        let of_line = shards.entry(address / 128).or_insert(number);
                        assert_eq!(*of_line, number, "a line is shared by shards");
                    }
                }
            }
            assert_eq!(addresses.len(), 40 * 8 * words);
        }
    }

    #[test]
    fn a_crowd_of_series_has_few_shards() {
        let mut allocator = Allocator::new(1, 16);
        let last = (0..Allocator::FULLY_SHARDED)
            .map(|_| allocator.allocate())
            .last();
        assert_eq!(last.expect("some").shards().count(), 16);
        assert_eq!(allocator.allocate().shards().count(), 2);
    }

    #[test]
    fn threads_take_turns_at_the_shards() {
        let mut numbers: Vec<usize> = (0..4)
            .map(|_| thread::spawn(|| (this_thread(), this_thread())))
            .map(|thread| thread.join().expect("no panic"))
            .map(|(first, again)| {
                assert_eq!(first, again);
                first
            })
            .collect();
        numbers.dedup();
        assert_eq!(numbers.len(), 4, "{numbers:?}");
    }
}
