//! The signal that stops the exporter.

use std::future::pending;

use tokio::sync::watch;

/// Completes once the exporter is to stop. Never completes if every sender is dropped
/// without a word: dropping an `Exporter` stops nothing.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        pending::<()>().await;
    }
}
