//! The least that three such metrics can cost: two readings of a clock and
//! four relaxed atomics, on cells that each handler has, or that each of its
//! threads has.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a handler, or one thread of it, counts into; alone on its cache lines.
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

/// More than there are threads here, so that none share.
const SHARDS: usize = 16;
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Cells for each thread.
#[derive(Debug)]
pub(crate) struct Sharded([Cells; SHARDS]);

impl Sharded {
    pub(crate) const fn new() -> Self {
        Self([const { Cells::new() }; SHARDS])
    }

    /// This thread's.
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
