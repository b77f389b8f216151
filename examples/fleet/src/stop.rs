//! The word to stop, which every wait hears: what was started is then stopped
//! on the way out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

static STOPPED: AtomicBool = AtomicBool::new(false);

/// Whether the program was told to stop.
#[must_use]
pub fn is_stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// Hears Ctrl+C, SIGTERM and a closed terminal from here on.
///
/// # Errors
///
/// When the system lets nobody listen for them.
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
