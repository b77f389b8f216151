//! Prometheus metrics for async handlers, by one attribute.

mod names;
mod settings;

pub use names::MetricNames;
