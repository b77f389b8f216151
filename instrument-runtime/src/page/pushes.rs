//! How the pushes went. Kept for the process, which has one installation: each
//! page tells of them, whoever makes it.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use crate::error::PushError;
use crate::names::own::PUSHES;

static OUTCOMES: Mutex<Outcomes> = Mutex::new(Outcomes {
    pushing: false,
    ok: 0,
    error: 0,
    last_error: None,
});

#[derive(Debug)]
struct Outcomes {
    pushing: bool,
    ok: u64,
    error: u64,
    last_error: Option<PushError>,
}

fn with<T>(ask: impl FnOnce(&mut Outcomes) -> T) -> T {
    ask(&mut OUTCOMES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// From here on the pages tell of pushes.
pub(crate) fn begin() {
    with(|outcomes| outcomes.pushing = true);
}

pub(crate) fn count(outcome: Result<(), PushError>) {
    with(|outcomes| {
        match outcome {
            Ok(()) => outcomes.ok += 1,
            Err(_) => outcomes.error += 1,
        }
        outcomes.last_error = outcome.err();
    });
}

/// Why the last push failed, if it did.
pub(crate) fn last_error() -> Option<PushError> {
    with(|outcomes| outcomes.last_error.clone())
}

pub(super) fn is_pushing() -> bool {
    with(|outcomes| outcomes.pushing)
}

/// Nothing where nothing is pushed.
pub(crate) fn write(text: &mut String) {
    with(
        |Outcomes {
             pushing, ok, error, ..
         }| {
            if *pushing {
                // Writing to a string does not fail.
                let _ = write!(
                    text,
                    "# HELP {PUSHES} Pushes to the gateway, by how they ended.\n\
                 # TYPE {PUSHES} counter\n\
                 {PUSHES}{{outcome=\"error\"}} {error}\n\
                 {PUSHES}{{outcome=\"ok\"}} {ok}\n"
                );
            }
        },
    );
}
