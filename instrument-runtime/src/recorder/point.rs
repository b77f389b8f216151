//! The value of a series at one moment, which every format of the page is written from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::recorder::shards::Words;

/// A counter, a gauge or a histogram: the state of one series.
pub(super) trait Instrument: Sized {
    const KIND: Kind;
    /// The settings that all series of a metric share, such as buckets.
    type Layout: std::fmt::Debug;

    /// Returns the number of words of a series in one shard.
    fn words(layout: &Self::Layout) -> usize;
    /// Creates an instrument that stores its state in `words`, which are zero.
    fn new(words: Words, layout: &Self::Layout) -> Self;
    /// Reads the current value.
    fn point(&self) -> Point<'_>;
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Untyped,
    /// A gauge that is always 1, for its labels. OpenMetrics has a type for it.
    Info,
}

/// The metadata of a family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    /// The name of the family in Prometheus's text format, which is that of its samples.
    pub(crate) name: &'a str,
    /// The HELP text, not escaped. Empty if there is none.
    pub(crate) help: &'a str,
    pub(crate) kind: Kind,
}

/// One series of a family.
#[derive(Debug)]
pub(crate) struct Series<'a> {
    /// The labels as text without braces: `name="value"`, escaped and separated by commas.
    pub(crate) labels: &'a str,
    /// The time at which a counter, a histogram or a summary began at zero.
    pub(crate) started: Option<UnixTime>,
    pub(crate) point: Point<'a>,
}

/// The value of a series.
#[derive(Debug)]
pub(crate) enum Point<'a> {
    Counter(Number),
    Gauge(Number),
    Untyped(Number),
    Histogram(HistogramPoint<'a>),
    Summary(SummaryPoint<'a>),
}

#[derive(Debug)]
pub(crate) struct HistogramPoint<'a> {
    /// The upper bounds of the buckets, without `+Inf`.
    pub(crate) bounds: &'a [f64],
    /// The count of each bucket, not cumulative. `+Inf` comes last.
    pub(crate) counts: Vec<u64>,
    pub(crate) sum: Number,
    pub(crate) native: Option<NativePoint>,
}

impl HistogramPoint<'_> {
    /// Returns the number of samples.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().copied().fold(0, u64::wrapping_add)
    }
}

/// The buckets of a native histogram.
#[derive(Debug, PartialEq)]
pub(crate) struct NativePoint {
    pub(crate) schema: i32,
    pub(crate) zero_count: u64,
    /// The index and the count of each bucket that is not empty, sorted.
    pub(crate) buckets: Vec<(i32, u64)>,
}

#[cfg(test)]
impl NativePoint {
    pub(super) fn total(&self) -> u64 {
        let counts = self.buckets.iter().map(|(_, count)| *count);
        counts.fold(self.zero_count, u64::wrapping_add)
    }
}

#[derive(Debug)]
pub(crate) struct SummaryPoint<'a> {
    /// Each quantile with its value.
    pub(crate) quantiles: &'a [(f64, Number)],
    pub(crate) sum: Number,
    pub(crate) count: u64,
}

/// A value on the page. Text formats write integers and nanoseconds exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    U64(u64),
    F64(f64),
    /// A number of nanoseconds, which stands for a value in seconds.
    Nanos(u128),
}

impl Number {
    /// Returns the nearest float.
    pub(crate) fn to_f64(self) -> f64 {
        match self {
            Self::U64(value) => value as f64,
            Self::F64(value) => value,
            // Up to 2^53 ns, the conversion is exact and only the division rounds.
            Self::Nanos(nanos) if nanos <= 1 << f64::MANTISSA_DIGITS => nanos as f64 / 1e9,
            // Beyond that, both would round. The parser rounds once, as a scraper of a text
            // format does.
            Self::Nanos(nanos) => seconds(nanos).parse().unwrap_or_default(),
        }
    }
}

/// Returns nanoseconds in seconds, exactly and without trailing zeros.
pub(crate) fn seconds(nanos: u128) -> String {
    const NANOS_PER_SECOND: u128 = 1_000_000_000;
    let whole = nanos / NANOS_PER_SECOND;
    match nanos % NANOS_PER_SECOND {
        0 => whole.to_string(),
        fraction => {
            let mut text = format!("{whole}.{fraction:09}");
            text.truncate(text.trim_end_matches('0').len());
            text
        }
    }
}

/// A time, as the duration since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnixTime(pub(crate) Duration);

impl UnixTime {
    /// Returns the current time, or the epoch if the clock is before it.
    pub(crate) fn now() -> Self {
        Self(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        )
    }
}
