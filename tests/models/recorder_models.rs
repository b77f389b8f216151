//! Models of the storage that calls write to: thread numbers, shards, gauges and
//! histograms.

use std::sync::Arc;

use super::gauge::Gauge;
use super::histogram::{Buckets, Histogram};
use super::number::Measure;
use super::point::Instrument;
use super::shards::{Allocator, Words};
use super::threads::Thread;
use crate::lock_free::sync::{AtomicBool, Ordering, model, spawn};

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
