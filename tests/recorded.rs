//! Reads what a handler recorded, from a recorder that is local to this thread.

use std::time::{Duration, Instant};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// A recorder to run a test with; see [`Recorded::during`].
#[derive(Debug)]
pub struct Recorded(Snapshotter);

impl Recorded {
    /// Runs `test` with its own recorder on this thread.
    pub fn during<T>(test: impl FnOnce(&Self) -> T) -> T {
        let recorder = DebuggingRecorder::new();
        let recorded = Self(recorder.snapshotter());
        metrics::with_local_recorder(&recorder, || test(&recorded))
    }

    /// Does the same for an async test, on a current-thread runtime with paused time.
    ///
    /// # Panics
    ///
    /// Panics if the runtime cannot be created.
    pub fn during_async<T>(test: impl AsyncFnOnce(&Self) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        Self::during(|recorded| runtime.block_on(test(recorded)))
    }

    /// Takes everything that was recorded, as sorted lines, one per series, such as
    /// `requests_total endpoint=f outcome=ok 1`. The value of a histogram is its number
    /// of samples.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines_and_seconds().0
    }

    /// Takes everything that was recorded, and returns the sum of the latency samples, in
    /// seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.lines_and_seconds().1
    }

    fn lines_and_seconds(&self) -> (Vec<String>, f64) {
        let (mut lines, mut seconds) = (Vec::new(), 0.0);
        for (key, _, _, value) in self.0.snapshot().into_vec() {
            let mut line = key.key().name().to_owned();
            for label in key.key().labels() {
                line += &format!(" {}={}", label.key(), label.value());
            }
            let value = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(gauge) => gauge.into_inner(),
                DebugValue::Histogram(samples) => {
                    seconds += samples
                        .iter()
                        .map(|sample| sample.into_inner())
                        .sum::<f64>();
                    samples.len() as f64
                }
            };
            lines.push(format!("{line} {value}"));
        }
        lines.sort();
        (lines, seconds)
    }
}

/// The minimum duration of [`work`].
const WORK: Duration = Duration::from_millis(1);

/// Takes some time, so that the latency of an annotated function differs from the time
/// that creating its future takes.
pub async fn work() {
    tokio::task::yield_now().await;
    std::thread::sleep(WORK);
    tokio::task::yield_now().await;
}

/// Makes one call that does some [`work`], and checks its count, its outcome and its
/// duration. `labels` and `end` are the same as for [`one_call`].
///
/// # Panics
///
/// Panics if something else was recorded.
pub fn measured<T>(labels: &str, end: &str, call: impl AsyncFnOnce() -> T) -> T {
    Recorded::during_async(async |recorded| {
        let started = Instant::now();
        let value = call().await;
        let at_most = started.elapsed();
        let (lines, seconds) = recorded.lines_and_seconds();
        assert_eq!(lines, one_call(labels, end));
        let took = Duration::from_secs_f64(seconds);
        assert!(
            (WORK..=at_most).contains(&took),
            "{took:?} is not between {WORK:?} and {at_most:?}"
        );
        value
    })
}

/// Returns the three lines of one call. `end` has the labels that `requests_total` has in
/// addition to `labels`, with `http_status` last.
#[must_use]
pub fn one_call(labels: &str, end: &str) -> Vec<String> {
    let outcome = end.split(' ').next().unwrap_or_default();
    let mut lines = vec![
        format!("requests_total {labels} {end} 1"),
        format!("request_latency_seconds {labels} {outcome} 1"),
        format!("requests_in_progress {labels} 0"),
    ];
    lines.sort();
    lines
}
