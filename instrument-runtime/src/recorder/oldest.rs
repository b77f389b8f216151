//! The age of the oldest call in progress.
//!
//! A gauge of calls in progress is a number, and does not know when these calls started.
//! So a call *claims* a slot when it starts, stores its start there, and *releases* the slot
//! when it ends. A reader looks for the earliest start in all slots.
//!
//! Like the words of the other instruments, the slots are sharded by thread. A *part* has
//! the slots of one series in one shard. A slot is a word, which is either taken or free:
//!
//! ```text
//!          bit 63   bits 62 to 0
//!   taken  1        the start of the call, as read from the clock
//!   free   0        the position of the next free slot, or 0 if there is none
//! ```
//!
//! So the free slots form linked lists. A part has two lists, because a call may end on
//! another thread than the one on which it has started:
//!
//! ```text
//!  position    1         2        3         4        5        6
//!            ┌─────────┬────────┬─────────┬────────┬────────┬────────┬─ ┈
//!            │ start 7 │ next 5 │ start 9 │ next 0 │ next 0 │ unused │
//!            └─────────┴────────┴─────────┴────────┴────────┴────────┴─ ┈
//!
//!  free      4           released on the thread that owns the shard
//!  returned  2 ──> 5     released on other threads
//!  used      5           the positions of slots that were ever claimed are 1 to 5
//! ```
//!
//! - Only the owner of the shard accesses `free`, with loads and stores: it claims slots from
//!   this list, and puts back the slots of calls that end on its thread.
//! - Other threads put slots back into `returned`, with compare-and-swap. If `free` is empty,
//!   the owner takes the whole list `returned` at once.
//! - If both lists are empty, the owner claims a slot that was never used. Only this may
//!   allocate. So a part has as many used slots as calls in it were in progress at the same
//!   time, and any number of short calls use the same slots again and again.
//!
//! A shared shard has no owner. All its free slots are in `returned`, and each thread claims
//! the first of them with compare-and-swap. In the meantime, another thread may have claimed
//! the first two slots and put back the first one. The compare-and-swap must fail then,
//! although the first slot is the same, because the second slot is taken (the ABA problem).
//! So the upper half of `returned` is a tag that changes whenever a slot is claimed. It is
//! the same again only after 2^32 claims.
//!
//! # Ordering
//!
//! - The release on `returned` publishes the links of the list. All writes to `returned` are
//!   read-modify-writes, so each of them continues the release sequences of the earlier
//!   ones, and a load with acquire sees all links. `free` has one writer at a time: see
//!   [`threads`](super::threads).
//! - Everything else is relaxed. For the reader, coherence is enough: it sees the start of
//!   each call that has started before the read and ends after it, and it does not see a call
//!   that has ended before the read. (*Before* is happens-before. The reader may or may not
//!   see a call that starts or ends during the read.)

use std::num::NonZeroU32;
use std::{array, iter};

use crate::lock_free::sync::{AtomicU64, OnceLock, Ordering};
use crate::recorder::number::Number;
use crate::recorder::point::{Instrument, Kind, Point};
use crate::recorder::shards::{Words, shard_of};
use crate::recorder::threads::Thread;

/// The bit that is set in a slot that is taken.
const TAKEN: u64 = 1 << 63;
/// The bits of `returned` with the position of the first slot. The bits above are the tag.
const POSITION: u64 = TAG - 1;
/// The unit of the tag in `returned`.
const TAG: u64 = 1 << 32;

/// The number of slots in a part itself. With them, a part is one line of 128 bytes, so that
/// a call touches no other line if few calls are in progress.
const FIRST: usize = 11;
/// The binary logarithm of the number of slots in the first block. Each further block is
/// twice as large as the block before it.
const FIRST_BLOCK: u32 = 6;
/// The maximum number of blocks.
const BLOCKS: usize = 19;
/// The maximum number of slots in a part: about 33 million. Further calls have no slot.
const CAPACITY: u64 = FIRST as u64 + (((1 << BLOCKS) - 1) << FIRST_BLOCK);

/// The age of the oldest call in progress.
#[derive(Debug)]
pub(super) struct Oldest {
    /// By shard. Allocated when a call first starts there.
    parts: Box<[OnceLock<Box<Part>>]>,
    /// Converts a reading of the clock to the time since then, in nanoseconds.
    age: fn(u64) -> u64,
}

/// The slot of a call in progress: its shard and its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place(NonZeroU32);

impl Place {
    /// The number of bits of the position. The shard is in the bits above.
    const POSITION: u32 = 25;

    /// `position` is not 0 and at most [`CAPACITY`].
    #[inline]
    fn new(shard: usize, position: u64) -> Option<Self> {
        NonZeroU32::new((shard as u32) << Self::POSITION | position as u32).map(Self)
    }

    #[inline]
    fn shard(self) -> usize {
        (self.0.get() >> Self::POSITION) as usize
    }

    #[inline]
    fn position(self) -> u64 {
        u64::from(self.0.get() & ((1 << Self::POSITION) - 1))
    }
}

// A position fits.
const _: () = assert!(CAPACITY < 1 << Place::POSITION);

/// The slots of one series in one shard.
///
/// Aligned, so that the parts of different threads do not share a line.
#[derive(Debug)]
#[repr(align(128))]
struct Part {
    /// The position of the first slot in the owner's list, or 0.
    free: AtomicU64,
    /// The position of the first slot in the list of the other threads, or 0; and the tag.
    returned: AtomicU64,
    /// The number of slots that were ever claimed. May exceed [`CAPACITY`].
    used: AtomicU64,
    first: [AtomicU64; FIRST],
    more: OnceLock<Box<[Block; BLOCKS]>>,
}

type Block = OnceLock<Box<[AtomicU64]>>;

impl Default for Part {
    fn default() -> Self {
        Self {
            free: AtomicU64::new(0),
            returned: AtomicU64::new(0),
            used: AtomicU64::new(0),
            first: array::from_fn(|_| AtomicU64::new(0)),
            more: OnceLock::new(),
        }
    }
}

/// Returns the number of a block, the number of its slots, and the index in the block of the
/// slot with this index in all blocks.
fn in_blocks(index: usize) -> (usize, usize, usize) {
    let shifted = index + (1 << FIRST_BLOCK);
    let len = 1 << shifted.ilog2();
    ((shifted.ilog2() - FIRST_BLOCK) as usize, len, shifted - len)
}

/// A slot that a call has claimed.
struct Claimed<'a> {
    slot: &'a AtomicU64,
    position: u64,
}

impl Part {
    /// Claims a slot. `is_own` is whether the current thread owns the shard. `None` if there
    /// are too many calls in progress.
    #[inline]
    fn claim(&self, is_own: bool) -> Option<Claimed<'_>> {
        if !is_own {
            return self.claim_shared();
        }
        let mut position = self.free.load(Ordering::Relaxed);
        if position == 0 {
            position = self.take_returned();
        }
        if position == 0 {
            return self.claim_unused(true);
        }
        let slot = self.slot(position)?;
        self.free
            .store(slot.load(Ordering::Relaxed), Ordering::Relaxed);
        Some(Claimed { slot, position })
    }

    /// Takes the whole list of the slots that other threads have put back.
    fn take_returned(&self) -> u64 {
        // Usually there is no such slot, and a load costs less than a read-modify-write.
        if self.returned.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.returned.swap(0, Ordering::Acquire)
    }

    #[inline(never)]
    fn claim_shared(&self) -> Option<Claimed<'_>> {
        let mut head = self.returned.load(Ordering::Acquire);
        loop {
            let position = head & POSITION;
            if position == 0 {
                return self.claim_unused(false);
            }
            let slot = self.slot(position)?;
            // Part of a start, if another thread has claimed the slot. The tag has changed
            // then.
            let next = slot.load(Ordering::Relaxed) & POSITION;
            let tag = (head & !POSITION).wrapping_add(TAG);
            match self.returned.compare_exchange(
                head,
                tag | next,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(Claimed { slot, position }),
                Err(now) => head = now,
            }
        }
    }

    /// Claims a slot that was never used.
    #[cold]
    fn claim_unused(&self, is_own: bool) -> Option<Claimed<'_>> {
        let used = if is_own {
            let used = self.used.load(Ordering::Relaxed);
            self.used.store(used + 1, Ordering::Relaxed);
            used
        } else {
            self.used.fetch_add(1, Ordering::Relaxed)
        };
        if used >= CAPACITY {
            return None;
        }
        let position = used + 1;
        if let Some(index) = (used as usize).checked_sub(FIRST) {
            let (block, len, _) = in_blocks(index);
            let blocks = || Box::new(array::from_fn(|_| OnceLock::new()));
            let slots = || (0..len).map(|_| AtomicU64::new(0)).collect();
            let block = self.more.get_or_init(blocks).get(block)?;
            block.get_or_init(slots);
        }
        let slot = self.slot(position)?;
        Some(Claimed { slot, position })
    }

    /// Puts a slot back. `is_own` is whether the current thread owns the shard.
    #[inline]
    fn release(&self, position: u64, is_own: bool) {
        let Some(slot) = self.slot(position) else {
            return;
        };
        if is_own {
            slot.store(self.free.load(Ordering::Relaxed), Ordering::Relaxed);
            self.free.store(position, Ordering::Relaxed);
        } else {
            self.put_back(slot, position);
        }
    }

    #[inline(never)]
    fn put_back(&self, slot: &AtomicU64, position: u64) {
        let mut head = self.returned.load(Ordering::Relaxed);
        loop {
            slot.store(head & POSITION, Ordering::Relaxed);
            match self.returned.compare_exchange(
                head,
                head & !POSITION | position,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Returns a slot. It is there if its position, which is not 0, was ever claimed.
    #[inline]
    fn slot(&self, position: u64) -> Option<&AtomicU64> {
        let index = (position as usize).wrapping_sub(1);
        match self.first.get(index) {
            Some(slot) => Some(slot),
            None => self.slot_in_blocks(index.wrapping_sub(FIRST)),
        }
    }

    fn slot_in_blocks(&self, index: usize) -> Option<&AtomicU64> {
        let (block, _, index) = in_blocks(index);
        self.more.get()?.get(block)?.get()?.get(index)
    }

    /// Returns the number of slots that were ever claimed.
    fn len(&self) -> usize {
        self.used.load(Ordering::Relaxed).min(CAPACITY) as usize
    }

    /// Returns the number of slots in both lists.
    fn free(&self) -> usize {
        let heads = [&self.free, &self.returned];
        let lists = heads.map(|head| {
            let some = |position: u64| (position != 0).then_some(position);
            let next = |position: &u64| some(self.slot(*position)?.load(Ordering::Relaxed));
            iter::successors(some(head.load(Ordering::Acquire) & POSITION), next).count()
        });
        lists.iter().sum()
    }

    /// Returns the earliest start, marked as [`TAKEN`].
    fn earliest(&self) -> Option<u64> {
        let blocks = self.more.get().into_iter().flat_map(|blocks| &**blocks);
        let in_blocks = blocks.filter_map(OnceLock::get).flat_map(|block| &**block);
        let slots = self.first.iter().chain(in_blocks).take(self.len());
        slots
            .map(|slot| slot.load(Ordering::Relaxed))
            .filter(|word| word & TAKEN != 0)
            .min()
    }
}

impl Oldest {
    /// Records a call that starts. `thread` must be the current thread, and `start` is a
    /// reading of the clock. `None` if the call has no slot, because there are too many calls
    /// in progress.
    #[inline(always)]
    pub(super) fn started(&self, thread: Thread, start: u64) -> Option<Place> {
        let (shard, is_own) = shard_of(thread, self.parts.len());
        let part = self.parts.get(shard)?.get_or_init(Box::default);
        let Claimed { slot, position } = part.claim(is_own)?;
        slot.store(TAKEN | start, Ordering::Relaxed);
        Place::new(shard, position)
    }

    /// Records the end of the call in `place`. `thread` must be the current thread.
    #[inline]
    pub(super) fn ended(&self, thread: Thread, place: Place) {
        let is_own = shard_of(thread, self.parts.len()) == (place.shard(), true);
        if let Some(part) = self.parts.get(place.shard()).and_then(OnceLock::get) {
            part.release(place.position(), is_own);
        }
    }

    /// Returns the start of the oldest call in progress.
    pub(super) fn start(&self) -> Option<u64> {
        let parts = self.parts.iter().filter_map(OnceLock::get);
        let earliest = parts.filter_map(|part| part.earliest()).min();
        earliest.map(|word| word & !TAKEN)
    }

    /// Returns the number of slots that were ever claimed, and how many of them are free. No
    /// call may start or end at the same time.
    #[cfg_attr(not(test), allow(dead_code, reason = "for tests and models"))]
    pub(super) fn slots(&self) -> (usize, usize) {
        let parts = self.parts.iter().filter_map(OnceLock::get);
        let counts = parts.map(|part| (part.len(), part.free()));
        counts.fold((0, 0), |all, part| (all.0 + part.0, all.1 + part.1))
    }
}

impl Instrument for Oldest {
    const KIND: Kind = Kind::Gauge;
    /// Converts a reading of the clock to the time since then, in nanoseconds.
    type Layout = fn(u64) -> u64;

    /// Returns 0: the number of slots grows, so they are not in the words of the series.
    fn words(_: &Self::Layout) -> usize {
        0
    }

    fn new(words: Words, age: &Self::Layout) -> Self {
        Self {
            parts: (0..words.shard_count()).map(|_| OnceLock::new()).collect(),
            age: *age,
        }
    }

    fn point(&self) -> Point<'_> {
        let nanos = self.start().map_or(0, self.age);
        Point::Gauge(Number::Nanos(nanos.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;
    use crate::recorder::labels::LabelSet;
    use crate::recorder::registry::Registry;
    use crate::recorder::shards::tests::SHARDS;

    /// Returns a series with a clock that is always at 1000 ns.
    fn oldest() -> Oldest {
        with_shards(SHARDS)
    }

    fn with_shards(shards: usize) -> Oldest {
        let words = crate::recorder::shards::Allocator::new(0, shards).allocate();
        Oldest::new(words, &((|start| 1000 - start) as fn(u64) -> u64))
    }

    /// Numbers that look random and are the same in every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            // Knuth's MMIX generator. The lower bits are less random.
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
            self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % bound
        }
    }

    #[test]
    fn the_value_is_the_age_of_the_oldest_call_or_zero() {
        let registry = Registry::<Oldest>::new(|start| 1000 - start, 1, SHARDS);
        let series = registry.series(LabelSet::default());
        let value = || match series.instrument.point() {
            Point::Gauge(value) => value,
            other => panic!("{other:?}"),
        };
        let thread = Thread::current();
        assert_eq!(value(), Number::Nanos(0));
        let late = series.instrument.started(thread, 900);
        assert_eq!(value(), Number::Nanos(100));
        let early = series.instrument.started(thread, 300);
        assert_eq!(value(), Number::Nanos(700));
        for place in [early, late] {
            series.instrument.ended(thread, place.expect("a place"));
        }
        assert_eq!(value(), Number::Nanos(0));
    }

    #[test]
    fn a_part_is_a_line() {
        assert_eq!(size_of::<Part>(), 128);
        assert_eq!(align_of::<Part>(), 128);
    }

    #[test]
    fn every_slot_has_one_position() {
        let part = Part::default();
        let mut addresses = HashSet::new();
        for position in 1..=5_000 {
            let claimed = part.claim_unused(true).expect("a slot");
            assert_eq!(claimed.position, position);
            assert!(addresses.insert(std::ptr::from_ref(claimed.slot).addr()));
            let found = part.slot(position).expect("the slot");
            assert!(std::ptr::eq(found, claimed.slot));
        }
        // The last slot is the last slot of the last block.
        let (block, len, index) = in_blocks(CAPACITY as usize - FIRST - 1);
        assert_eq!((block, index), (BLOCKS - 1, len - 1));
    }

    #[test]
    fn a_call_beyond_the_capacity_has_no_slot() {
        for is_own in [true, false] {
            let part = Part::default();
            part.used.store(CAPACITY, Ordering::Relaxed);
            assert!(part.claim(is_own).is_none());
            assert!(part.claim(is_own).is_none());
            // A slot that is put back is used again.
            part.release(3, is_own);
            let claimed = part.claim(is_own).expect("a slot");
            assert_eq!(claimed.position, 3);
        }
    }

    #[test]
    fn a_place_keeps_its_shard_and_its_position() {
        for shard in [0, 1, 67, 127] {
            for position in [1, 11, 12, CAPACITY] {
                let place = Place::new(shard, position).expect("not 0");
                assert_eq!((place.shard(), place.position()), (shard, position));
            }
        }
    }

    /// Calls start and end in random order on random threads. After each step, the result is
    /// that of a sorted map.
    #[test]
    fn the_oldest_call_is_that_of_a_plain_model() {
        const STEPS: u64 = if cfg!(miri) { 300 } else { 6_000 };
        for shards in [SHARDS, SHARDS + 20, 2, 1] {
            let oldest = with_shards(shards);
            let mut random = Random(shards as u64);
            let mut live: BTreeMap<u64, Place> = BTreeMap::new();
            let mut most = 0;
            for step in 1..=STEPS {
                // Numbers above 2 have no shard of their own.
                let thread = Thread::of_number(random.below(6));
                // Up and down between few and many calls in progress.
                let starts_more = (step / 1_000) % 2 == 0;
                if live.is_empty() || (random.below(3) > 0) == starts_more {
                    let place = oldest.started(thread, step).expect("a place");
                    let is_new = !live.values().any(|other| *other == place);
                    assert!(is_new, "two calls have the same place");
                    live.insert(step, place);
                } else {
                    let chosen = random.below(live.len());
                    let start = *live.keys().nth(chosen).expect("not empty");
                    let place = live.remove(&start).expect("live");
                    oldest.ended(thread, place);
                }
                most = most.max(live.len());
                assert_eq!(oldest.start(), live.keys().next().copied());
            }
            // A shard uses a new slot only if all its slots are taken.
            let (slots, free) = oldest.slots();
            assert!(slots <= most * shards, "{slots} slots for {most} calls");
            assert_eq!(slots - free, live.len());
        }
    }

    #[test]
    fn short_calls_use_the_same_slots_again() {
        const CALLS: u64 = if cfg!(miri) { 100 } else { 1_000_000 };
        let oldest = oldest();
        for number in [0, 100] {
            let thread = Thread::of_number(number);
            for start in 0..CALLS {
                let place = oldest.started(thread, start).expect("a place");
                oldest.ended(thread, place);
            }
        }
        assert_eq!(oldest.slots(), (2, 2));
    }

    #[test]
    fn calls_that_end_on_another_thread_use_the_same_slots_again() {
        const CALLS: u64 = if cfg!(miri) { 100 } else { 100_000 };
        const IN_FLIGHT: usize = 10;
        let oldest = oldest();
        let (started, ends) = std::sync::mpsc::sync_channel(IN_FLIGHT);
        thread::scope(|scope| {
            scope.spawn(|| {
                for place in ends {
                    oldest.ended(Thread::current(), place);
                }
            });
            for start in 0..CALLS {
                let place = oldest.started(Thread::current(), start);
                started.send(place.expect("a place")).expect("received");
            }
            drop(started);
        });
        assert_eq!(oldest.start(), None);
        // In the channel, and one at each end of it.
        let (slots, free) = oldest.slots();
        assert!(slots <= IN_FLIGHT + 2, "{slots} slots");
        assert_eq!(free, slots);
    }

    /// While many threads start and end calls of each other, a reader sees every call that
    /// goes on, and no call that is over.
    #[test]
    fn a_reader_sees_the_oldest_call_among_many() {
        const CALLS: u64 = if cfg!(miri) { 30 } else { 30_000 };
        const PINNED: u64 = 10;
        const EARLIER: u64 = 5;
        let oldest = oldest();
        let over = oldest.started(Thread::current(), EARLIER);
        let pinned = oldest.started(Thread::current(), PINNED);
        oldest.ended(Thread::current(), over.expect("a place"));
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            // A ring of threads: each ends the calls that the thread before it has started.
            // Some of the threads have no shard of their own.
            let (mut sends, mut receives) = (Vec::new(), Vec::new());
            for _ in 0..6 {
                let (send, receive) = channel::<Place>();
                sends.push(send);
                receives.push(receive);
            }
            sends.rotate_left(1);
            let threads: Vec<_> = sends
                .into_iter()
                .zip(receives)
                .map(|(send, receive)| {
                    let oldest = &oldest;
                    scope.spawn(move || {
                        for start in 0..CALLS {
                            let place = oldest.started(Thread::current(), PINNED + 1 + start);
                            send.send(place.expect("a place")).expect("received");
                            let place = receive.recv().expect("sent");
                            oldest.ended(Thread::current(), place);
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    assert_eq!(oldest.start(), Some(PINNED));
                }
            });
            // The reader must end also if a thread has panicked.
            let joined: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
            is_done.store(true, Ordering::Relaxed);
            for thread in joined {
                thread.expect("no panic");
            }
        });
        oldest.ended(Thread::current(), pinned.expect("a place"));
        assert_eq!(oldest.start(), None);
        let (slots, free) = oldest.slots();
        assert_eq!(free, slots, "a slot was lost");
    }
}
