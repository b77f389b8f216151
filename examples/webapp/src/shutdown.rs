//! Waits for the signal to stop.

use tokio::signal;

/// Resolves on Ctrl+C and, on Unix, on SIGTERM.
pub(crate) async fn signal() {
    #[cfg(unix)]
    let terminated = async {
        match signal::unix::signal(signal::unix::SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(error) => {
                eprintln!("cannot listen for SIGTERM: {error}");
                std::future::pending().await
            }
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();

    tokio::select! {
        result = signal::ctrl_c() => {
            if let Err(error) = result {
                eprintln!("cannot listen for Ctrl+C: {error}");
            }
        }
        () = terminated => {}
    }
}
