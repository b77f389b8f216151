//! The recorder behind a recording. It stores its values in maps, and reading the values
//! does not reset them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Counter, Gauge, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};

use crate::testing::snapshot::{Distribution, SeriesKey, Snapshot};

#[derive(Debug, Default)]
pub(super) struct LocalRecorder {
    counters: Handles<AtomicU64>,
    /// The bits of `f64` values.
    gauges: Handles<AtomicU64>,
    histograms: Handles<Observations>,
}

#[derive(Debug, Default)]
struct Observations(Mutex<Distribution>);

#[derive(Debug)]
struct Handles<T>(Mutex<BTreeMap<SeriesKey, Arc<T>>>);

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Handles<T> {
    fn of(&self, key: &Key) -> Arc<T> {
        Arc::clone(lock(&self.0).entry(SeriesKey::of(key)).or_default())
    }

    fn read<V>(&self, value: impl Fn(&T) -> V) -> BTreeMap<SeriesKey, V> {
        let series = lock(&self.0);
        let all = series.iter();
        all.map(|(series, cell)| (series.clone(), value(cell)))
            .collect()
    }
}

/// Locks a mutex. Ignores poisoning, because a test may read the recording after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LocalRecorder {
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            counters: self.counters.read(|cell| cell.load(Ordering::Acquire)),
            gauges: self
                .gauges
                .read(|cell| f64::from_bits(cell.load(Ordering::Acquire))),
            histograms: self.histograms.read(|samples| *lock(&samples.0)),
        }
    }
}

impl metrics::Recorder for LocalRecorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.counters.of(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.gauges.of(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::from_arc(self.histograms.of(key))
    }
}

impl HistogramFn for Observations {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, times: usize) {
        lock(&self.0).add(value, times as u64);
    }
}
