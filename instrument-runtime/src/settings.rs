//! What one installation is set to: written by the builder, read by the
//! recorder and, for the names, by every call site.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::names::MetricNames;

/// The latency buckets unless told otherwise, in seconds: those of the
/// OpenTelemetry conventions for `http.server.request.duration`, with three
/// finer ones below for handlers that answer from memory.
pub(crate) const DEFAULT_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];

/// The default bound on the series of one metric.
pub(crate) const DEFAULT_MAX_SERIES: usize = 2_000;

/// Checked settings: the builder has refused whatever would be wrong here.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) names: MetricNames,
    /// Upper bounds in seconds: finite, strictly rising, without `+Inf`.
    pub(crate) buckets: Vec<f64>,
    /// The bounds of the application's own histograms, by metric; the others have
    /// `buckets`.
    pub(crate) other_buckets: Vec<(String, Vec<f64>)>,
    /// On every series; `app_name` comes first.
    pub(crate) global_labels: Vec<(String, String)>,
    pub(crate) max_series: usize,
}

#[cfg(test)]
impl Default for Settings {
    fn default() -> Self {
        Self {
            names: MetricNames::default(),
            buckets: DEFAULT_BUCKETS.to_vec(),
            other_buckets: Vec::new(),
            global_labels: Vec::new(),
            max_series: DEFAULT_MAX_SERIES,
        }
    }
}

static INSTALLED: OnceLock<Arc<Settings>> = OnceLock::new();
/// Held while an installation takes effect.
static TAKING_EFFECT: Mutex<()> = Mutex::new(());

/// The settings of the one installation of this process, once there is one.
pub(crate) fn installed() -> Option<&'static Settings> {
    let get = || INSTALLED.get().map(Arc::as_ref);
    get().or_else(|| {
        // A call that meets the new recorder must not miss its names.
        let _settled = TAKING_EFFECT.lock().unwrap_or_else(PoisonError::into_inner);
        get()
    })
}

/// The names that the installation gave the metrics; the defaults without one.
pub(crate) fn names() -> &'static MetricNames {
    static DEFAULT: MetricNames = MetricNames::DEFAULT;
    installed().map_or(&DEFAULT, |settings| &settings.names)
}

/// Runs `set_recorder`; the settings are in force if it succeeds.
pub(crate) fn take_effect<E>(
    settings: Arc<Settings>,
    set_recorder: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    let _taking_effect = TAKING_EFFECT.lock().unwrap_or_else(PoisonError::into_inner);
    set_recorder()?;
    // Cannot be set before: a process has one recorder.
    let _ = INSTALLED.set(settings);
    Ok(())
}
