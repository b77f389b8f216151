//! A global stop flag. A signal handler sets the flag.
//!
//! Every function that waits checks the flag, and returns an error when the flag is set.
//! `main` then returns, and the destructors stop all child processes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

static STOPPED: AtomicBool = AtomicBool::new(false);

/// Returns whether a signal has asked the program to stop.
#[must_use]
pub fn is_stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// Sets the stop flag on Ctrl+C (SIGINT), SIGTERM and SIGHUP, instead of exiting at once.
///
/// # Errors
///
/// Returns an error if the signal handlers cannot be installed.
pub fn on_signals() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate, mut hang_up) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        )
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
        });
        STOPPED.store(true, Ordering::Relaxed);
    });
    Ok(())
}
