//! The value of a series at one moment. Every format writes the page from these values.

use crate::recorder::exemplars::Exemplar;
use crate::recorder::number::{Number, UnixTime};
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
    Counter {
        value: Number,
        exemplar: Option<Exemplar>,
    },
    Gauge(Number),
    Untyped(Number),
    Histogram(HistogramPoint<'a>),
    Summary(SummaryPoint<'a>),
}

impl Point<'_> {
    /// Returns the value of a counter without an exemplar.
    pub(crate) fn counter(value: Number) -> Self {
        Self::Counter {
            value,
            exemplar: None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct HistogramPoint<'a> {
    /// The upper bounds of the buckets, without `+Inf`.
    pub(crate) bounds: &'a [f64],
    /// The count of each bucket, not cumulative. `+Inf` comes last.
    pub(crate) counts: Vec<u64>,
    pub(crate) sum: Number,
    pub(crate) native: Option<NativePoint>,
    /// The exemplar of each bucket. Empty if there are none.
    pub(crate) exemplars: Vec<Option<Exemplar>>,
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
