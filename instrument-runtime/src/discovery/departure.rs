//! The end of an instance, in the order that loses nothing: a last scrape, no
//! target any more, no page any more.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::discovery::Presence;
use crate::stop::stopped;

/// Between the answer to the last scrape and the target's end: the scraper may
/// drop what it is still reading of a target that is gone.
const TAKE_IN: Duration = Duration::from_millis(500);

/// What an installation leaves behind. A process has one, and it outlives the
/// exporter's handle, whose drop is to stop nothing.
static DEPARTURE: Mutex<Departure> = Mutex::new(Departure {
    presence: None,
    last_scrape: Duration::ZERO,
});

static LEAVING: AtomicBool = AtomicBool::new(false);
/// Scrapes that show all and, as far as is known, have arrived.
static DELIVERED: AtomicUsize = AtomicUsize::new(0);
static NEWLY_DELIVERED: Notify = Notify::const_new();

struct Departure {
    presence: Option<Presence>,
    last_scrape: Duration,
}

/// Keeps the target until the exporter stops.
pub(crate) fn prepare(presence: Option<Presence>, last_scrape: Duration) {
    *DEPARTURE.lock().unwrap_or_else(PoisonError::into_inner) = Departure {
        presence,
        last_scrape,
    };
}

/// In a forked child: keeps nothing that would make a dead parent look alive.
pub(crate) fn leave_to_parent() {
    // Another thread of the parent may have held the lock, for ever in this process.
    if let Ok(mut departure) = DEPARTURE.try_lock() {
        departure.presence = None;
    }
}

/// Waits for the word to stop and passes it on when the time has come.
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
        last_scrape(Instant::now() + departure.last_scrape).await;
    }
    // The target goes first, so that nobody finds a page that is not there.
    drop(departure.presence);
    stop.send_replace(true);
}

/// Waits for a scrape that shows all and arrives, but no longer than this for it
/// to be answered.
async fn last_scrape(deadline: Instant) {
    while timeout_at(deadline, NEWLY_DELIVERED.notified())
        .await
        .is_ok()
    {
        // Each has its time, those that are lost later as well.
        while timeout(TAKE_IN, NEWLY_DELIVERED.notified()).await.is_ok()
            && Instant::now() < deadline
        {}
        if DELIVERED.load(Ordering::Relaxed) > 0 {
            break;
        }
    }
}

/// A scrape (a `GET`) that has begun; one that began after the last call ended
/// shows all.
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

    #[cfg(test)]
    pub(crate) fn of_all() -> Self {
        Self { shows_all: true }
    }

    /// The whole answer was sent. Whether the scraper takes it in shows a little
    /// later, if at all.
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

/// A scrape that shows all and was sent. Dropping it leaves it at that.
#[derive(Debug)]
pub(crate) struct Delivery(());

impl Delivery {
    /// The scraper broke off after all.
    pub(crate) fn lost(self) {
        DELIVERED.fetch_sub(1, Ordering::Relaxed);
    }
}
