//! Models of the storage that calls write to: thread numbers, shards, gauges, histograms and
//! the starts of calls in progress.

use std::sync::Arc;

use super::gauge::Gauge;
use super::histogram::{Buckets, Histogram};
use super::number::Measure;
use super::oldest::{Oldest, Place};
use super::point::Instrument;
use super::shards::{Allocator, Words};
use super::threads::Thread;
use crate::lock_free::sync::{AtomicBool, Mutex, Ordering, model, spawn};

/// A number of shards that leaves no thread a shard of its own.
const ALL_SHARED: usize = 1;
/// A number of shards that leaves one thread a shard of its own.
const ONE_OWN: usize = 5;
/// A number of shards that leaves two threads a shard of their own.
const TWO_OWN: usize = 6;

fn words(of_series: usize, shards: usize) -> Words {
    Allocator::new(of_series, shards).allocate()
}

fn add(words: &Words) {
    words.write(Thread::current(), |shard| {
        shard.add(0, 1, Ordering::Relaxed);
    });
}

fn total(words: &Words) -> u64 {
    words
        .shards()
        .map(|shard| shard.load(0, Ordering::Relaxed))
        .sum()
}

/// Adds once more when the thread's thread-locals are destroyed.
struct AddsAtTheEnd(Arc<Words>);

impl Drop for AddsAtTheEnd {
    fn drop(&mut self) {
        add(&self.0);
    }
}

thread_local! {
    static AT_THE_END: std::cell::RefCell<Option<AddsAtTheEnd>> = const { std::cell::RefCell::new(None) };
}

/// A thread's number passes to the next thread while other threads record. A word of an
/// own shard has one writer at a time, and the next thread sees what the previous thread
/// wrote.
pub fn thread_leases() {
    model(9, || {
        let words = Arc::new(words(1, TWO_OWN));
        let start = |at_the_end: bool| {
            let words = Arc::clone(&words);
            spawn(move || {
                add(&words);
                if at_the_end {
                    // Destroyed after the lease, because the lease was used first.
                    let adds = AddsAtTheEnd(Arc::clone(&words));
                    AT_THE_END.with(|at_the_end| at_the_end.replace(Some(adds)));
                }
                add(&words);
            })
        };
        let (first, second) = (start(true), start(false));
        second.join().expect("no panic");
        // The third thread leases the number of a thread that has ended, or a new number.
        let third = start(false);
        first.join().expect("no panic");
        third.join().expect("no panic");
        assert_eq!(total(&words), 7);
    });
}

/// Two threads without a shard of their own write to the same word. No count is lost.
pub fn shared_shard() {
    model(3, || {
        let words = Arc::new(words(1, ALL_SHARED));
        let threads = [(); 2].map(|()| {
            let words = Arc::clone(&words);
            spawn(move || {
                add(&words);
                add(&words);
            })
        });
        assert!(total(&words) <= 4);
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(total(&words), 4);
    });
}

/// A call starts on one thread and ends on another. The gauge is never below zero, and
/// never above the number of calls that have started.
pub fn gauge_order() {
    model(3, || {
        let gauge = Arc::new(Gauge::new(words(2, TWO_OWN), &()));
        let has_started = Arc::new(AtomicBool::new(false));
        let starts = {
            let (gauge, has_started) = (Arc::clone(&gauge), Arc::clone(&has_started));
            spawn(move || {
                gauge.up(Thread::current(), 1);
                // An async runtime that moves a task to another thread synchronizes the two
                // threads in the same way.
                has_started.store(true, Ordering::Release);
            })
        };
        let ends = {
            let (gauge, has_started) = (Arc::clone(&gauge), Arc::clone(&has_started));
            spawn(move || {
                if has_started.load(Ordering::Acquire) {
                    gauge.down(Thread::current(), 1);
                }
            })
        };
        let seen = gauge.value();
        assert!((0.0..=1.0).contains(&seen), "{seen}");
        starts.join().expect("no panic");
        ends.join().expect("no panic");
        let is_over = has_started.load(Ordering::Relaxed);
        assert!(is_over);
        assert!((0.0..=1.0).contains(&gauge.value()));
    });
}

/// A quarter of the range of the low word of a sum.
const QUARTER: u64 = 1 << 62;

/// Returns a histogram with a sum of three quarters, recorded by a thread that has ended
/// and whose shard the next thread takes over. Models may add less than 2^64 ns while a
/// reader reads.
fn histogram(shards: usize) -> Arc<Histogram> {
    let buckets = Arc::new(Buckets::new(Measure::Duration, &[1.0]));
    let words = words(Histogram::words(&buckets), shards);
    let histogram = Arc::new(Histogram::new(words, &buckets));
    record(&histogram, 3).join().expect("no panic");
    histogram
}

fn record(histogram: &Arc<Histogram>, times: usize) -> loom::thread::JoinHandle<()> {
    let histogram = Arc::clone(histogram);
    spawn(move || {
        for _ in 0..times {
            histogram.record_amount(Thread::current(), QUARTER);
        }
    })
}

/// Asserts that a concurrent reader sees only sums that existed, and that no sum is below
/// the previous one.
fn assert_sums_rise(histogram: &Histogram) {
    let mut before = 3;
    for _ in 0..2 {
        let (_, sum) = histogram.read();
        assert_eq!(sum % u128::from(QUARTER), 0, "{sum}");
        let quarters = sum / u128::from(QUARTER);
        assert!((before..=5).contains(&quarters), "{before} then {quarters}");
        before = quarters;
    }
}

/// The sum passes 2^64 ns on an own shard.
pub fn histogram_carry() {
    model(3, || {
        let histogram = histogram(ONE_OWN);
        let thread = record(&histogram, 2);
        assert_sums_rise(&histogram);
        thread.join().expect("no panic");
        assert_eq!(histogram.read(), (vec![0, 5], 5 << 62));
    });
}

/// The sum passes 2^64 ns on a shard that two threads share.
pub fn histogram_carry_of_two() {
    model(2, || {
        let histogram = histogram(ALL_SHARED);
        let threads = [1, 1].map(|times| record(&histogram, times));
        assert_sums_rise(&histogram);
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(histogram.read(), (vec![0, 5], 5 << 62));
    });
}

fn oldest(shards: usize) -> Arc<Oldest> {
    let age: fn(u64) -> u64 = |start| start;
    Arc::new(Oldest::new(words(0, shards), &age))
}

fn start(oldest: &Oldest, at: u64) -> Place {
    let place = oldest.started(Thread::current(), at);
    place.expect("there are few calls")
}

fn end(oldest: &Oldest, place: Place) {
    oldest.ended(Thread::current(), place);
}

/// Ends the calls, from the oldest to the youngest. Asserts that each of them is the oldest
/// in turn, so no slot was given to two calls, and that no slot is lost at the end.
fn assert_all(oldest: &Oldest, mut live: Vec<(u64, Place)>) {
    live.sort_by_key(|(at, _)| *at);
    for (at, place) in live {
        assert_eq!(oldest.start(), Some(at));
        end(oldest, place);
    }
    assert_eq!(oldest.start(), None);
    let (slots, free) = oldest.slots();
    assert_eq!(free, slots, "a slot is lost");
}

/// A call goes on, while another one starts on the same thread and ends on another thread. A
/// reader that knows that a call has started and not ended sees this call, and a reader that
/// knows that a call has ended does not see it.
pub fn oldest_order() {
    model(3, || {
        let oldest = oldest(TWO_OWN);
        let goes_on = Arc::new(AtomicBool::new(false));
        let is_over = Arc::new(AtomicBool::new(false));
        let moves = Arc::new(Mutex::new(None));
        let starts = {
            let (oldest, moves) = (Arc::clone(&oldest), Arc::clone(&moves));
            let goes_on = Arc::clone(&goes_on);
            spawn(move || {
                let place = start(&oldest, 5);
                goes_on.store(true, Ordering::Release);
                *moves.lock().expect("no panic") = Some(start(&oldest, 3));
                place
            })
        };
        let ends = {
            let (oldest, moves) = (Arc::clone(&oldest), Arc::clone(&moves));
            let is_over = Arc::clone(&is_over);
            spawn(move || {
                let place = moves.lock().expect("no panic").take();
                if let Some(place) = place {
                    end(&oldest, place);
                    is_over.store(true, Ordering::Release);
                }
            })
        };
        let was_over = is_over.load(Ordering::Acquire);
        let went_on = goes_on.load(Ordering::Acquire);
        match oldest.start() {
            Some(5) => {}
            Some(3) => assert!(!was_over, "the call was over"),
            None => assert!(!went_on, "the call goes on"),
            other => panic!("{other:?}"),
        }
        let place = starts.join().expect("no panic");
        ends.join().expect("no panic");
        let mut live = vec![(5, place)];
        live.extend(
            moves
                .lock()
                .expect("no panic")
                .take()
                .map(|place| (3, place)),
        );
        assert_all(&oldest, live);
    });
}

/// The owner of a shard starts and ends calls, while another thread ends calls of that shard.
/// The shard was taken over from a thread that has ended.
pub fn oldest_handover() {
    model(3, || {
        let oldest = oldest(TWO_OWN);
        let before = {
            let oldest = Arc::clone(&oldest);
            spawn(move || {
                let places = [1, 2, 3].map(|at| start(&oldest, at));
                end(&oldest, places[1]);
                [places[0], places[2]]
            })
        };
        let [first, third] = before.join().expect("no panic");
        // This thread leases the number of the thread before.
        let owner = {
            let oldest = Arc::clone(&oldest);
            spawn(move || {
                let mut live: Vec<_> = [4, 5].map(|at| (at, start(&oldest, at))).into();
                end(&oldest, live.remove(0).1);
                live.extend([6, 7].map(|at| (at, start(&oldest, at))));
                live
            })
        };
        let other = {
            let oldest = Arc::clone(&oldest);
            spawn(move || {
                end(&oldest, first);
                end(&oldest, third);
                vec![(8, start(&oldest, 8))]
            })
        };
        let mut live = owner.join().expect("no panic");
        live.extend(other.join().expect("no panic"));
        assert_all(&oldest, live);
    });
}

/// Threads without a shard of their own claim and put back slots of the same list. A thread
/// that is interrupted must notice that the first slot was claimed and put back.
pub fn oldest_shared() {
    model(3, || {
        let oldest = oldest(ALL_SHARED);
        for place in [1, 2].map(|at| start(&oldest, at)) {
            end(&oldest, place);
        }
        let takes = {
            let oldest = Arc::clone(&oldest);
            spawn(move || [3, 4].map(|at| (at, start(&oldest, at))).to_vec())
        };
        let puts_back = {
            let oldest = Arc::clone(&oldest);
            spawn(move || {
                let [first, second] = [5, 6].map(|at| (at, start(&oldest, at)));
                end(&oldest, first.1);
                vec![second]
            })
        };
        let mut live = takes.join().expect("no panic");
        live.extend(puts_back.join().expect("no panic"));
        assert_all(&oldest, live);
    });
}

/// Two threads that share a shard need more slots than it has so far, while a reader reads.
pub fn oldest_growth() {
    model(2, || {
        let oldest = oldest(ALL_SHARED);
        // As many as there are slots outside the blocks.
        let mut live: Vec<_> = (1..=11).map(|at| (at, start(&oldest, at))).collect();
        let threads = [20, 30].map(|at| {
            let oldest = Arc::clone(&oldest);
            spawn(move || (at, start(&oldest, at)))
        });
        assert_eq!(oldest.start(), Some(1));
        for thread in threads {
            live.push(thread.join().expect("no panic"));
        }
        assert_all(&oldest, live);
    });
}
