//! Counts pushes by outcome, for every page of the process.
//!
//! The counts are kept in a static, because a process has one installation.

use std::sync::{Mutex, PoisonError};

use crate::error::PushError;
use crate::names::own::PUSHES;
use crate::page::encoder::Encoder;
use crate::recorder::number::Number;
use crate::recorder::point::{Head, Kind, Point, Series};

static OUTCOMES: Mutex<Outcomes> = Mutex::new(Outcomes {
    pushing: false,
    ok: 0,
    error: 0,
    last_error: None,
});

#[derive(Debug)]
struct Outcomes {
    /// Whether pushing is configured. If not, the page does not show these metrics.
    pushing: bool,
    ok: u64,
    error: u64,
    last_error: Option<PushError>,
}

fn with<T>(ask: impl FnOnce(&mut Outcomes) -> T) -> T {
    ask(&mut OUTCOMES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Adds the metrics of pushes to the pages rendered from now on.
pub(crate) fn begin() {
    with(|outcomes| outcomes.pushing = true);
}

/// Counts a push. `outcome` is the reason for the failure, if it failed.
pub(crate) fn count(outcome: &Result<(), PushError>) {
    with(|outcomes| {
        match outcome {
            Ok(()) => outcomes.ok += 1,
            Err(_) => outcomes.error += 1,
        }
        outcomes.last_error = outcome.as_ref().err().cloned();
    });
}

/// Returns the error of the last push, or `None` if that push succeeded.
pub(crate) fn last_error() -> Option<PushError> {
    with(|outcomes| outcomes.last_error.clone())
}

/// Writes the metrics of pushes, if pushing is configured.
pub(super) fn write(page: &mut dyn Encoder) {
    let counts = with(|outcomes| outcomes.pushing.then_some([outcomes.error, outcomes.ok]));
    let Some(counts) = counts else {
        return;
    };
    page.family(&Head {
        name: PUSHES,
        help: "Total number of pushes to the Pushgateway, by outcome.",
        kind: Kind::Counter,
    });
    for (outcome, count) in ["error", "ok"].into_iter().zip(counts) {
        page.series(&Series {
            labels: &format!("outcome=\"{outcome}\""),
            started: None,
            point: Point::counter(Number::U64(count)),
        });
    }
}
