//! The metrics of the process (feature `process`), with the same names as in Prometheus's
//! client libraries: `process_cpu_seconds_total`, `process_resident_memory_bytes`,
//! `process_open_fds` and so on.
//!
//! They bypass the `metrics` facade, because its counters are integers and the CPU time
//! has fractions of a second.

use metrics_process::collector;

use crate::page::encoder::Encoder;
use crate::recorder::number::Number;
use crate::recorder::point::{Head, Kind, Point};

/// One metric of the process, with its current value.
pub(crate) struct ProcessMetric {
    pub(crate) name: &'static str,
    help: &'static str,
    kind: Kind,
    value: f64,
}

/// Reads the metrics of the process from the operating system. Leaves out those that the
/// platform does not provide.
pub(crate) fn families() -> impl Iterator<Item = ProcessMetric> {
    let read = collector::collect();
    let whole = |value: Option<u64>| value.map(|value| value as f64);
    [
        (
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            Kind::Counter,
            read.cpu_seconds_total,
        ),
        (
            "process_max_fds",
            "Maximum number of open file descriptors.",
            Kind::Gauge,
            whole(read.max_fds),
        ),
        (
            "process_open_fds",
            "Number of open file descriptors.",
            Kind::Gauge,
            whole(read.open_fds),
        ),
        (
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            Kind::Gauge,
            whole(read.resident_memory_bytes),
        ),
        (
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            Kind::Gauge,
            whole(read.start_time_seconds),
        ),
        (
            "process_threads",
            "Number of OS threads in the process.",
            Kind::Gauge,
            whole(read.threads),
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            Kind::Gauge,
            whole(read.virtual_memory_bytes),
        ),
        (
            "process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes.",
            Kind::Gauge,
            // 0 stands for no limit.
            whole(read.virtual_memory_max_bytes.filter(|limit| *limit > 0)),
        ),
    ]
    .into_iter()
    .filter_map(|(name, help, kind, value)| {
        Some(ProcessMetric {
            name,
            help,
            kind,
            value: value?,
        })
    })
}

impl ProcessMetric {
    /// Writes the metric. `labels` is the text of the global labels.
    pub(crate) fn write(&self, page: &mut dyn Encoder, labels: &str) {
        let Self {
            name,
            help,
            kind,
            value,
        } = *self;
        let value = Number::F64(value);
        let point = match kind {
            Kind::Counter => Point::counter(value),
            _ => Point::Gauge(value),
        };
        page.single(Head { name, help, kind }, labels, point);
    }
}
