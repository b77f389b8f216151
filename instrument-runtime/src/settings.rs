//! The settings of an installation. The builder writes them, the recorder reads them, and
//! call sites read the metric names.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::diagnostics::Message;
use crate::names::MetricNames;
use crate::objective::Objective;
use crate::recorder::exemplars::TraceContext;
use crate::recorder::objectives::Known;

/// The default bounds of the latency buckets, in seconds: the bounds that OpenTelemetry's
/// semantic conventions advise for `http.server.request.duration`, and three smaller bounds
/// for handlers that respond from memory.
pub(crate) const DEFAULT_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];

/// The default bounds of the response sizes, in bytes: powers of 4 from 64 B to 1 GiB.
pub(crate) const DEFAULT_SIZE_BUCKETS: &[f64] = &[
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
];

/// The default maximum number of series of one metric.
pub(crate) const DEFAULT_MAX_SERIES: usize = 2_000;

/// Settings that the builder has validated.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) names: MetricNames,
    /// The upper bounds of the application's own histograms: finite and strictly increasing.
    /// `+Inf` is not included.
    pub(crate) buckets: Vec<f64>,
    /// The bounds of the latency histogram, in seconds. They include the thresholds of all
    /// objectives.
    pub(crate) latency_buckets: Vec<f64>,
    /// The bounds of the histograms of OpenTelemetry's conventions, in seconds. They include
    /// the thresholds of all objectives.
    pub(crate) convention_buckets: Vec<f64>,
    /// The bounds for the sizes of responses, in bytes.
    pub(crate) size_buckets: Vec<f64>,
    /// The bounds of some of the application's own histograms, by metric name. The other
    /// histograms of the application use `buckets`.
    pub(crate) other_buckets: Vec<(String, Vec<f64>)>,
    /// The labels of every series except those of the exporter's own metrics. `app_name`
    /// is the first label, if series have it.
    pub(crate) global_labels: Vec<(String, String)>,
    /// The labels of `target_info`. There is no such metric if they are empty.
    pub(crate) target_info: Vec<(String, String)>,
    /// The maximum number of series of each metric, not counting the overflow series.
    pub(crate) max_series: usize,
    /// The methods that the label `method` may have. `None` stands for the standard methods.
    pub(crate) known_methods: Option<Vec<String>>,
    /// The objectives that the first page shows.
    pub(crate) objectives: Vec<Known>,
    /// The objectives of the requests that a layer counts, by route.
    pub(crate) objectives_of_routes: BTreeMap<String, Vec<Objective>>,
    /// Whether the latency histogram has native buckets beside the others.
    pub(crate) native_histograms: bool,
    /// The source of exemplars. `None` if they are turned off.
    pub(crate) exemplars: Option<ExemplarSource>,
    /// Converts a reading of the clock that times calls to the time since then, in
    /// nanoseconds. `None` if the age of the oldest call in progress is turned off.
    pub(crate) oldest_in_progress: Option<fn(u64) -> u64>,
    /// The URL of Prometheus, to which the live view links. It has no slash at its end.
    pub(crate) prometheus_url: Option<String>,
}

/// A function that returns the current trace.
#[derive(Clone)]
pub(crate) struct ExemplarSource {
    source: Arc<dyn Fn() -> Option<TraceContext> + Send + Sync>,
    /// Set by the first panic of the source. It is not called again then, because every
    /// panic writes a message.
    has_panicked: Arc<AtomicBool>,
}

// A panic is caught where the source is called.
impl UnwindSafe for ExemplarSource {}
impl RefUnwindSafe for ExemplarSource {}

impl ExemplarSource {
    pub(crate) fn new(source: impl Fn() -> Option<TraceContext> + Send + Sync + 'static) -> Self {
        Self {
            source: Arc::new(source),
            has_panicked: Arc::default(),
        }
    }

    /// Calls the source. Returns `None` also if its ids are invalid, or if it panics: a call
    /// may ask while it is being unwound, and a second panic would abort the process.
    pub(crate) fn ask(&self) -> Option<TraceContext> {
        static PANICKED: Message = Message::new();
        if self.has_panicked.load(Ordering::Relaxed) {
            return None;
        }
        match catch_unwind(AssertUnwindSafe(|| (self.source)())) {
            Ok(trace) => trace.filter(TraceContext::is_valid),
            Err(payload) => {
                // Dropping the payload could panic again.
                std::mem::forget(payload);
                self.has_panicked.store(true, Ordering::Relaxed);
                PANICKED.write(format_args!(
                    "the source of exemplars panicked, so there will be no more exemplars. Fix \
                     the function that is passed to `Builder::exemplars`; the panic message is \
                     above"
                ));
                None
            }
        }
    }
}

impl fmt::Debug for ExemplarSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExemplarSource").finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Default for Settings {
    fn default() -> Self {
        Self {
            names: MetricNames::default(),
            buckets: DEFAULT_BUCKETS.to_vec(),
            latency_buckets: DEFAULT_BUCKETS.to_vec(),
            convention_buckets: crate::conventions::BUCKETS.to_vec(),
            size_buckets: DEFAULT_SIZE_BUCKETS.to_vec(),
            other_buckets: Vec::new(),
            global_labels: Vec::new(),
            target_info: Vec::new(),
            max_series: DEFAULT_MAX_SERIES,
            known_methods: None,
            objectives: Vec::new(),
            objectives_of_routes: BTreeMap::new(),
            native_histograms: false,
            exemplars: None,
            oldest_in_progress: None,
            prometheus_url: None,
        }
    }
}

static INSTALLED: OnceLock<Arc<Settings>> = OnceLock::new();
/// Locked while an installation takes effect.
static TAKING_EFFECT: Mutex<()> = Mutex::new(());
/// Whether `TAKING_EFFECT` is locked. Without an installation, each request of a layer asks
/// for the settings, and must not lock for that.
static IS_TAKING_EFFECT: AtomicBool = AtomicBool::new(false);

/// Returns the settings of this process's installation, or `None` before `install`.
pub(crate) fn installed() -> Option<&'static Settings> {
    let get = || INSTALLED.get().map(Arc::as_ref);
    get().or_else(|| {
        // `take_effect` sets the recorder before the settings. A call that already sees
        // the new recorder waits here, so that it does not use the default names: it also
        // sees the flag, or the settings.
        if IS_TAKING_EFFECT.load(Ordering::Acquire) {
            let _settled = TAKING_EFFECT.lock().unwrap_or_else(PoisonError::into_inner);
        }
        get()
    })
}

/// Returns the metric names of the installation, or the default names before `install`.
pub(crate) fn names() -> &'static MetricNames {
    static DEFAULT: MetricNames = MetricNames::DEFAULT;
    installed().map_or(&DEFAULT, |settings| &settings.names)
}

/// Runs `set_recorder`. If that succeeds, stores `settings` as those of the installation.
///
/// # Errors
///
/// Returns the error of `set_recorder`, and changes nothing.
pub(crate) fn take_effect<E>(
    settings: Arc<Settings>,
    set_recorder: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    let _taking_effect = TAKING_EFFECT.lock().unwrap_or_else(PoisonError::into_inner);
    IS_TAKING_EFFECT.store(true, Ordering::Relaxed);
    let set = set_recorder();
    if set.is_ok() {
        // `set_recorder` succeeds once per process, so `INSTALLED` is still empty.
        let _ = INSTALLED.set(settings);
    }
    IS_TAKING_EFFECT.store(false, Ordering::Release);
    set
}
