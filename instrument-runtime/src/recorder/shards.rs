//! Storage: words of 64 bits, one copy in each shard. A thread has a shard to
//! write to by itself, or, where there are more threads than that, with few
//! others: two threads seldom write to one cache line.

use std::sync::Arc;
use std::thread;

use crate::lock_free::sync::{AtomicU64, OnceLock, Ordering};
use crate::recorder::threads::Thread;

/// What one core takes from another at a time, in bytes: two lines of 64 on x86,
/// where they are fetched in pairs.
const LINE: usize = 128;
const WORDS_PER_LINE: usize = LINE / size_of::<AtomicU64>();
/// The series that share a block. With 16 words a line, the copies of 16 series
/// fill whole lines however many words a series has: nothing is padding.
const SERIES_PER_BLOCK: usize = WORDS_PER_LINE;

/// The first shards are for all the threads that have none of their own, in turn.
const SHARED: usize = 4;

/// The shards of a series on this machine. A runtime has a thread for each core,
/// and there are the main thread and a few more. A shard that no thread writes to
/// takes no room.
pub(super) fn shard_count() -> usize {
    let cores = thread::available_parallelism().map_or(16, usize::from);
    SHARED + (2 * cores).clamp(8, 64)
}

/// The words of one series.
#[derive(Debug)]
pub(super) struct Words {
    block: Block,
    /// The series' first word in a shard.
    first: usize,
    /// The words of a part.
    of_part: usize,
}

/// The words of some series: for each shard a part, made when a thread first
/// writes there.
type Block = Arc<[OnceLock<Part>]>;

#[derive(Debug)]
struct Part {
    words: Box<[AtomicU64]>,
    /// Where the first whole line begins.
    start: usize,
}

impl Part {
    fn new(words: usize) -> Self {
        let spare = WORDS_PER_LINE - 1;
        let words: Box<[_]> = (0..words + spare).map(|_| AtomicU64::new(0)).collect();
        // It may fail to tell, which costs time and no count.
        let start = words.as_ptr().align_offset(LINE).min(spare);
        Self { words, start }
    }
}

/// A series' words in one shard.
#[derive(Clone, Copy)]
pub(super) struct Shard<'a> {
    words: &'a [AtomicU64],
    first: usize,
    is_own: bool,
}

impl Words {
    /// Gives the shard that this thread writes to. `thread` must be the current
    /// one: another would lose what its owner adds meanwhile.
    #[inline(always)]
    pub(super) fn write<T>(&self, thread: Thread, to: impl FnOnce(Shard<'_>) -> T) -> T {
        let index = SHARED + thread.number();
        match self.block.get(index).and_then(OnceLock::get) {
            // What `to` does is compiled twice, here without a read-modify-write.
            Some(part) => to(self.shard(part, true)),
            None => self.write_elsewhere(index, to),
        }
    }

    /// Where there is no shard of the thread's own, or not yet.
    #[cold]
    #[inline(never)]
    fn write_elsewhere<T>(&self, index: usize, to: impl FnOnce(Shard<'_>) -> T) -> T {
        let is_own = index < self.block.len();
        let index = if is_own {
            index
        } else {
            index % SHARED.min(self.block.len())
        };
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

    /// Every shard that was written to, for a reader.
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

    /// Adds, wrapping, and answers what was there before. `order` is that of the
    /// store.
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

/// Hands out words, a block at a time.
#[derive(Debug)]
pub(super) struct Allocator {
    words: usize,
    shards: usize,
    block: Block,
    /// The series that have their words in `block`.
    taken: usize,
    series: usize,
}

impl Allocator {
    /// The series that have all shards. The first series are the program's own
    /// handlers; past so many of them a set of labels is one of a crowd.
    const FULLY_SHARDED: usize = 4096;
    /// No thread's own among them.
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

    /// Few, so that threads of a test share some.
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
                    // The last ones stand for threads that share.
                    let thread = Thread::of_number(number);
                    for index in 0..words {
                        let address = series
                            .write(thread, |shard| std::ptr::from_ref(shard.word(index)).addr());
                        assert!(addresses.insert(address), "a word was given twice");
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
        // More threads than shards of their own, so some share; a number goes
        // from thread to thread.
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
