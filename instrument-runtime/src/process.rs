//! The process's own metrics (feature `process`), by Prometheus's names for them:
//! `process_cpu_seconds_total`, `process_resident_memory_bytes`,
//! `process_open_fds` and so on.

use std::sync::LazyLock;

use metrics_process::Collector;

static COLLECTOR: LazyLock<Collector> = LazyLock::new(Collector::default);

/// Once the global recorder is ours.
pub(crate) fn describe() {
    COLLECTOR.describe();
}

/// Reads them anew, for a page.
pub(crate) fn collect() {
    COLLECTOR.collect();
}
