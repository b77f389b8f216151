//! [`Snapshot`]: a copy of the recorded values, with queries and assertions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use metrics::Key;

use crate::conventions::{HTTP_ACTIVE, HTTP_DURATION, RPC_DURATION};
use crate::settings;

/// A copy of the values that a [`Recording`](crate::testing::Recording) contains at one
/// point in time.
///
/// A query matches every series that has the given labels; a matching series may have more
/// labels. `&[]` matches all series of the metric. If the process has an installation with
/// other [`names`](crate::Builder::names), the three metrics have these names in the
/// recording, and the queries use them too. With
/// [`MetricNames::opentelemetry`](crate::MetricNames::opentelemetry), the queries add the
/// metrics of the conventions.
///
/// `Display` writes one line per series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    pub(super) counters: BTreeMap<SeriesKey, u64>,
    pub(super) gauges: BTreeMap<SeriesKey, f64>,
    pub(super) histograms: BTreeMap<SeriesKey, Distribution>,
}

/// The latency of calls that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Latency {
    /// The number of calls.
    pub count: u64,
    /// The sum of their latencies, exact to the nanosecond.
    pub sum: Duration,
}

/// The count and the sum of a histogram's samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Histogram {
    /// The number of samples.
    pub count: u64,
    /// The sum of the samples.
    pub sum: f64,
}

impl Snapshot {
    /// Returns the number of calls that have ended (`requests_total`).
    #[must_use]
    pub fn requests(&self, labels: &[(&str, &str)]) -> u64 {
        let counted = self.counter(&settings::names().requests_total, labels);
        let mut sum = Distribution::default();
        for histogram in of_conventions(&[HTTP_DURATION, RPC_DURATION]) {
            sum.add_all(self.distribution(histogram, labels));
        }
        counted + sum.count
    }

    /// Returns the number of calls that have started and not ended
    /// (`requests_in_progress`).
    #[must_use]
    pub fn in_progress(&self, labels: &[(&str, &str)]) -> i64 {
        let others = of_conventions(&[HTTP_ACTIVE]).iter();
        let others: f64 = others.map(|gauge| self.gauge(gauge, labels)).sum();
        (self.gauge(&settings::names().requests_in_progress, labels) + others) as i64
    }

    /// Returns the latency of the calls that have ended (`request_latency_seconds`).
    #[must_use]
    pub fn latency(&self, labels: &[(&str, &str)]) -> Latency {
        let mut found = self.distribution(&settings::names().request_latency_seconds, labels);
        for histogram in of_conventions(&[HTTP_DURATION, RPC_DURATION]) {
            found.add_all(self.distribution(histogram, labels));
        }
        Latency {
            count: found.count,
            sum: found.duration(),
        }
    }

    /// Returns the value of any counter, including the application's own counters.
    #[must_use]
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        matching(&self.counters, name, labels).sum()
    }

    /// Returns the value of any gauge, including the application's own gauges.
    #[must_use]
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        // Not `sum()`, because `sum()` returns -0.0 for an empty iterator, and a failing
        // assertion would print `-0`.
        matching(&self.gauges, name, labels).fold(0.0, |sum, value| sum + value)
    }

    /// Returns the count and sum of any histogram, including the application's own
    /// histograms.
    #[must_use]
    pub fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Histogram {
        let Distribution { count, sum, .. } = self.distribution(name, labels);
        Histogram { count, sum }
    }

    fn distribution(&self, name: &str, labels: &[(&str, &str)]) -> Distribution {
        let mut sum = Distribution::default();
        for found in matching(&self.histograms, name, labels) {
            sum.add_all(found);
        }
        sum
    }

    /// Asserts the number of calls that have ended.
    ///
    /// # Panics
    ///
    /// Panics if the number is not `expected`. The message lists every recorded series.
    #[track_caller]
    pub fn assert_requests(&self, labels: &[(&str, &str)], expected: u64) {
        let found = self.requests(labels);
        if found != expected {
            let mut names = vec![&*settings::names().requests_total];
            names.extend(of_conventions(&[HTTP_DURATION, RPC_DURATION]));
            self.fail(
                self.counters.keys().chain(self.histograms.keys()),
                &names,
                labels,
                &found,
                &expected,
                found < expected,
            );
        }
    }

    /// Asserts the number of calls that have started and not ended.
    ///
    /// # Panics
    ///
    /// Panics if the number is not `expected`. The message lists every recorded series.
    #[track_caller]
    pub fn assert_in_progress(&self, labels: &[(&str, &str)], expected: i64) {
        let found = self.in_progress(labels);
        if found != expected {
            let mut names = vec![&*settings::names().requests_in_progress];
            names.extend(of_conventions(&[HTTP_ACTIVE]));
            self.fail(
                self.gauges.keys(),
                &names,
                labels,
                &found,
                &expected,
                found < expected,
            );
        }
    }

    #[track_caller]
    fn fail<'a>(
        &self,
        series: impl Iterator<Item = &'a SeriesKey>,
        names: &[&str],
        labels: &[(&str, &str)],
        found: &dyn fmt::Display,
        expected: &dyn fmt::Display,
        is_fewer: bool,
    ) -> ! {
        let name = names.join(" + ");
        let asked = SeriesKey::new(&name, labels.iter().copied());
        let mut message = format!("{asked} is {found}, not {expected}\n");
        if self.is_empty() {
            message += "nothing was recorded: make sure that the call runs inside `run` or \
                        `scope` and that its future is polled; wrap a spawned task in its own \
                        `scope`";
            panic!("{message}");
        }
        let series: Vec<_> = series
            .filter(|series| names.contains(&&*series.name))
            .collect();
        let mut is_explained = false;
        for (label, value) in labels {
            let values: BTreeSet<&str> = series.iter().filter_map(|s| s.value(label)).collect();
            if !series.is_empty() && !values.contains(value) {
                is_explained = true;
                message += &format!("no {name} series has {label}={value:?}");
                if values.is_empty() {
                    let names: BTreeSet<&str> = series.iter().flat_map(|s| s.names()).collect();
                    let names: Vec<_> = names.into_iter().collect();
                    message += &format!("; recorded labels: {}", names.join(", "));
                } else {
                    let values: Vec<_> = values.iter().map(|v| format!("{v:?}")).collect();
                    message += &format!("; recorded values: {}", values.join(", "));
                }
                message += "\n";
            }
        }
        if is_explained {
            // The lines above already explain the failure.
        } else if !series.iter().any(|series| series.has(labels)) {
            message += "no single series has all of these labels\n";
        } else if is_fewer {
            message += "a spawned task is recorded only if it is wrapped in its own `scope`\n";
        }
        message += "recorded:";
        for line in self.to_string().lines() {
            message += "\n  ";
            message += line;
        }
        panic!("{message}");
    }

    /// Returns whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty() && self.gauges.is_empty() && self.histograms.is_empty()
    }

    /// Returns the difference to an earlier snapshot of the same recording.
    ///
    /// For counters and histograms, the result contains the increase since `earlier`, and
    /// omits the series that did not change. Gauges keep their current values, because a
    /// gauge describes a state.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut added = self.clone();
        added.counters.retain(|series, count| {
            let before = earlier.counters.get(series);
            *count = count.saturating_sub(*before.unwrap_or(&0));
            *count != 0 || before.is_none()
        });
        added.histograms.retain(|series, samples| {
            let before = earlier.histograms.get(series);
            samples.take_away(before.copied().unwrap_or_default());
            samples.count != 0 || before.is_none()
        });
        added
    }
}

/// Returns the names if the calls have the metrics of OpenTelemetry's conventions.
fn of_conventions(names: &'static [&'static str]) -> &'static [&'static str] {
    if settings::names().has_conventions {
        names
    } else {
        &[]
    }
}

fn matching<'a, V: Copy>(
    all: &'a BTreeMap<SeriesKey, V>,
    name: &'a str,
    labels: &'a [(&str, &str)],
) -> impl Iterator<Item = V> {
    all.iter()
        .filter(move |(series, _)| series.matches(name, labels))
        .map(|(_, value)| *value)
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = self.counters.iter().map(|(s, v)| (s, v.to_string()));
        let gauges = self.gauges.iter().map(|(s, v)| (s, v.to_string()));
        let histograms = self.histograms.iter().map(|(series, samples)| {
            let Distribution { count, sum, .. } = samples;
            (series, format!("count {count}, sum {sum}"))
        });
        let mut lines: Vec<_> = counters.chain(gauges).chain(histograms).collect();
        if lines.is_empty() {
            return f.write_str("nothing was recorded");
        }
        lines.sort();
        for (index, (series, value)) in lines.iter().enumerate() {
            let end_of_line = if index == 0 { "" } else { "\n" };
            write!(f, "{end_of_line}{series} {value}")?;
        }
        Ok(())
    }
}

/// A metric's name and one set of labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeriesKey {
    name: String,
    labels: BTreeMap<String, String>,
}

impl SeriesKey {
    /// Creates a key. If two labels have the same name, the last one wins, as on the
    /// page.
    fn new<'a>(name: &str, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let labels = labels.into_iter();
        Self {
            name: name.to_owned(),
            labels: labels
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    pub(super) fn of(key: &Key) -> Self {
        Self::new(
            key.name(),
            key.labels().map(|label| (label.key(), label.value())),
        )
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.labels.keys().map(String::as_str)
    }

    fn value(&self, label: &str) -> Option<&str> {
        self.labels.get(label).map(String::as_str)
    }

    fn matches(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.name == name && self.has(labels)
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        let mut labels = labels.iter();
        labels.all(|(label, value)| self.value(label) == Some(value))
    }
}

impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (index, (label, value)) in self.labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            write!(f, "{before}{label}={value:?}")?;
        }
        if self.labels.is_empty() {
            return Ok(());
        }
        f.write_str("}")
    }
}

/// The count and the sum of one histogram series.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Distribution {
    count: u64,
    sum: f64,
    /// The sum in nanoseconds, if the samples are in seconds. Unlike `sum`, it is exact.
    nanos: i128,
}

impl Distribution {
    pub(super) fn add(&mut self, value: f64, times: u64) {
        self.count += times;
        self.sum += value * times as f64;
        // This sum is used only for samples in seconds. Samples in other units may be very
        // large, so the operations saturate.
        let nanos = ((value * 1e9).round() as i128).saturating_mul(i128::from(times));
        self.nanos = self.nanos.saturating_add(nanos);
    }

    fn add_all(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.nanos = self.nanos.saturating_add(other.nanos);
    }

    fn take_away(&mut self, earlier: Self) {
        self.count = self.count.saturating_sub(earlier.count);
        self.sum -= earlier.sum;
        self.nanos = self.nanos.saturating_sub(earlier.nanos);
    }

    fn duration(&self) -> Duration {
        const NANOS_PER_SECOND: i128 = 1_000_000_000;
        let nanos = self.nanos.max(0);
        Duration::new(
            u64::try_from(nanos / NANOS_PER_SECOND).unwrap_or(u64::MAX),
            (nanos % NANOS_PER_SECOND) as u32,
        )
    }
}
