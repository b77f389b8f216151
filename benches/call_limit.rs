//! The lower limit of what the three metrics can cost: two clock readings and four relaxed
//! atomic operations. The cells belong to a handler, or to one thread of a handler.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The cells of a handler, or of one thread of a handler.
///
/// Aligned to two cache lines, against false sharing with other cells.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Cells {
    in_progress: AtomicU64,
    requests: AtomicU64,
    nanos: AtomicU64,
}

impl Cells {
    pub(crate) const fn new() -> Self {
        Self {
            in_progress: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn started(&self) {
        self.in_progress.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn ended(&self, nanos: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        self.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The number of shards. It is larger than the benchmark's number of threads, so no two
/// threads share a shard.
const SHARDS: usize = 16;
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Separate cells for each thread.
#[derive(Debug)]
pub(crate) struct Sharded([Cells; SHARDS]);

impl Sharded {
    pub(crate) const fn new() -> Self {
        Self([const { Cells::new() }; SHARDS])
    }

    /// Returns the cells of the current thread.
    #[inline]
    pub(crate) fn mine(&self) -> &Cells {
        let mut shard = SHARD.get();
        if shard == usize::MAX {
            shard = NEXT.fetch_add(1, Ordering::Relaxed);
            SHARD.set(shard);
        }
        &self.0[shard % SHARDS]
    }
}
