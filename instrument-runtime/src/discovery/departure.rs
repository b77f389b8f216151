//! The end of an instance, in the order that loses nothing: a last scrape, no
//! target any more, no page any more.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::discovery::Presence;

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
static SCRAPED: Notify = Notify::const_new();

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

/// Waits for the word to stop and passes it on when the time has come.
pub(crate) async fn take_leave(mut told: watch::Receiver<bool>, stop: watch::Sender<bool>) {
    if told.wait_for(|stop| *stop).await.is_err() {
        // Every `Exporter` was dropped, which is no word to stop.
        pending::<()>().await;
    }
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
        let scraped = timeout(departure.last_scrape, SCRAPED.notified()).await;
        if scraped.is_ok() {
            sleep(TAKE_IN).await;
        }
    }
    // The target goes first, so that nobody finds a page that is not there.
    drop(departure.presence);
    stop.send_replace(true);
}

/// A scrape that has begun; one that began after the last call ended shows all.
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

    pub(crate) fn answered(self) {
        if self.shows_all {
            SCRAPED.notify_one();
        }
    }
}
