//! The graceful shutdown of an instance: it waits for a last scrape, removes its target
//! file, then stops the server. In this order no count is lost, and Prometheus never
//! scrapes a target whose page is gone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::discovery::Presence;
use crate::stop::stopped;

/// The pause between the last scrape's answer and the removal of the target file: when
/// a target disappears, a scraper may discard the answer that it is still reading.
const TAKE_IN: Duration = Duration::from_millis(500);
/// The longest wait for a last scrape, about 30 years. `Instant::now()` plus a longer
/// duration, such as `Duration::MAX`, would overflow.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// What the installation has to do when the exporter stops. It is a `static`, because
/// a process has one installation, and dropping the exporter's handle must not remove
/// the target file.
static DEPARTURE: Mutex<Departure> = Mutex::new(Departure {
    presence: None,
    last_scrape: Duration::ZERO,
});

/// Whether a shutdown that waits for a last scrape has begun. Scrapes that begin after
/// that are complete.
static LEAVING: AtomicBool = AtomicBool::new(false);
/// The number of complete scrapes that were delivered. A scrape is subtracted again if
/// its connection fails later.
static DELIVERED: AtomicUsize = AtomicUsize::new(0);
static NEWLY_DELIVERED: Notify = Notify::const_new();

struct Departure {
    presence: Option<Presence>,
    last_scrape: Duration,
}

/// Stores what the exporter does when it stops.
pub(crate) fn prepare(presence: Option<Presence>, last_scrape: Duration) {
    *DEPARTURE.lock().unwrap_or_else(PoisonError::into_inner) = Departure {
        presence,
        last_scrape,
    };
}

/// Closes a forked child's copy of the target file. An open copy would hold the lock,
/// and make the parent look alive after its death.
pub(crate) fn leave_to_parent() {
    // A thread of the parent may have held the lock during the fork. That thread does
    // not exist in the child, so the lock is never released: do not wait.
    if let Ok(mut departure) = DEPARTURE.try_lock() {
        departure.presence = None;
    }
}

/// Waits until `told` is set, waits for the last scrape, removes the target file, then
/// sets `stop`.
pub(crate) async fn take_leave(told: watch::Receiver<bool>, stop: watch::Sender<bool>) {
    stopped(told).await;
    let departure = {
        let mut departure = DEPARTURE.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(
            &mut *departure,
            Departure {
                presence: None,
                last_scrape: Duration::ZERO,
            },
        )
    };
    if !departure.last_scrape.is_zero() {
        LEAVING.store(true, Ordering::Relaxed);
        last_scrape(Instant::now() + departure.last_scrape.min(LONGEST)).await;
    }
    // The target file goes first, so that Prometheus finds no target without a page.
    drop(departure.presence);
    stop.send_replace(true);
}

/// Waits until a complete scrape has been delivered, or until `deadline`. If a scrape is
/// answered shortly before `deadline`, the pause of [`TAKE_IN`] may end after `deadline`.
async fn last_scrape(deadline: Instant) {
    while timeout_at(deadline, NEWLY_DELIVERED.notified())
        .await
        .is_ok()
    {
        // Waits for `TAKE_IN` after each answered scrape: within that time, a scrape may
        // turn out to be lost.
        while timeout(TAKE_IN, NEWLY_DELIVERED.notified()).await.is_ok()
            && Instant::now() < deadline
        {}
        if DELIVERED.load(Ordering::Relaxed) > 0 {
            break;
        }
    }
}

/// A scrape (a `GET`) in progress. The scrape is complete, which means that it shows every
/// call, if it began after the shutdown began.
#[derive(Debug)]
#[must_use]
pub(crate) struct Scrape {
    shows_all: bool,
}

impl Scrape {
    pub(crate) fn begin() -> Self {
        Self {
            shows_all: LEAVING.load(Ordering::Relaxed),
        }
    }

    /// Returns a complete scrape.
    #[cfg(test)]
    pub(crate) fn of_all() -> Self {
        Self { shows_all: true }
    }

    /// Records that the whole answer was sent. Returns `None` unless the scrape is
    /// complete.
    ///
    /// Sent does not mean received: call [`Delivery::lost`] if the connection fails.
    pub(crate) fn delivered(self) -> Option<Delivery> {
        self.shows_all.then(|| {
            DELIVERED.fetch_add(1, Ordering::Relaxed);
            NEWLY_DELIVERED.notify_one();
            Delivery(())
        })
    }
}

#[cfg(test)]
pub(crate) fn delivered() -> usize {
    DELIVERED.load(Ordering::Relaxed)
}

/// A complete scrape that was sent. Dropping it counts the scrape as received.
#[derive(Debug)]
pub(crate) struct Delivery(());

impl Delivery {
    /// Records that the scraper has not received the answer.
    pub(crate) fn lost(self) {
        DELIVERED.fetch_sub(1, Ordering::Relaxed);
    }
}
