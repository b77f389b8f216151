//! What a handler recorded, read from a recorder of this thread alone.

use std::time::{Duration, Instant};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// A recorder to run a test with; see [`Recorded::during`].
#[derive(Debug)]
pub struct Recorded(Snapshotter);

impl Recorded {
    /// Runs `test` with a recorder of its own on this thread.
    pub fn during<T>(test: impl FnOnce(&Self) -> T) -> T {
        let recorder = DebuggingRecorder::new();
        let recorded = Self(recorder.snapshotter());
        metrics::with_local_recorder(&recorder, || test(&recorded))
    }

    /// The same for an async test, on a runtime of this thread with paused time.
    ///
    /// # Panics
    ///
    /// When no runtime can be made.
    pub fn during_async<T>(test: impl AsyncFnOnce(&Self) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        Self::during(|recorded| runtime.block_on(test(recorded)))
    }

    /// All that was recorded, once: a look empties it. Sorted: a line a series, such
    /// as `requests_total endpoint=f outcome=ok 1`. A histogram's value is its
    /// number of samples.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines_and_seconds().0
    }

    /// The sum of the latency samples, in seconds.
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

/// How long [`work`] takes at least.
const WORK: Duration = Duration::from_millis(1);

/// What an annotated function does so that its latency can be told from that
/// of making its future.
pub async fn work() {
    tokio::task::yield_now().await;
    std::thread::sleep(WORK);
    tokio::task::yield_now().await;
}

/// Makes one call that does some [`work`], and checks its count, its outcome
/// and its duration. `labels` and `end` are as for [`one_call`].
///
/// # Panics
///
/// When something else was recorded.
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

/// The three lines of one call of one series; `end` is what `requests_total`
/// has beside `labels`, its `http_status` last.
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
