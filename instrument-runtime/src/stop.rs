//! The signal that stops the exporter.

use std::future::pending;

use tokio::sync::watch;

/// Completes when the exporter must stop, which is when `stop` becomes `true`.
///
/// Never completes if all senders are dropped before that, because dropping an
/// `Exporter` does not stop it.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        pending::<()>().await;
    }
}
