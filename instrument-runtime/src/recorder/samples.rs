//! Writes the samples of a series as lines of the page.

use std::fmt::Debug;
use std::ops::Range;

use crate::recorder::shards::Words;
use crate::recorder::text;

/// A counter, a gauge or a histogram: the state of one series.
pub(super) trait Instrument: Sized {
    /// The type in the TYPE line.
    const TYPE: &'static str;
    /// The settings that all series of a metric share, such as buckets.
    type Layout: Debug;

    /// Returns the number of words of a series in one shard.
    fn words(layout: &Self::Layout) -> usize;
    /// Creates an instrument that stores its state in `words`, which are zero.
    fn new(words: Words, layout: &Self::Layout) -> Self;
    /// Writes the samples of the series.
    fn write(&self, samples: &mut Samples<'_>);
}

/// The end of the page, where a series appends its lines.
#[derive(Debug)]
pub(super) struct Samples<'a> {
    page: &'a mut String,
    name: &'a str,
    labels: &'a str,
}

impl<'a> Samples<'a> {
    pub(super) fn new(page: &'a mut String, name: &'a str, labels: &'a str) -> Self {
        Self { page, name, labels }
    }
}

impl Samples<'_> {
    /// Starts a line with the metric's name, `suffix` and the labels of the series.
    pub(super) fn line(&mut self, suffix: &str) -> Value<'_> {
        self.page.push_str(self.name);
        self.page.push_str(suffix);
        if !self.labels.is_empty() {
            self.page.push('{');
            self.page.push_str(self.labels);
            self.page.push('}');
        }
        self.page.push(' ');
        Value(self.page)
    }

    /// Starts lines with `suffix` that each have one more label than the series.
    pub(super) fn lines_with(&mut self, suffix: &str) -> LabelledLines<'_> {
        let start = self.page.len();
        self.page.push_str(self.name);
        self.page.push_str(suffix);
        self.page.push('{');
        self.page.push_str(self.labels);
        if !self.labels.is_empty() {
            self.page.push(',');
        }
        LabelledLines {
            prefix: start..self.page.len(),
            page: self.page,
        }
    }
}

/// Lines of one series that differ only in their last label and their value.
#[derive(Debug)]
pub(super) struct LabelledLines<'a> {
    page: &'a mut String,
    /// The range of the page that holds the common start of all lines. It is part of the
    /// first line, and is copied for every later line.
    prefix: Range<usize>,
}

impl LabelledLines<'_> {
    /// Starts a line whose last label is `label`, which is already escaped.
    pub(super) fn label(&mut self, label: &str) -> Value<'_> {
        if self.page.len() > self.prefix.end {
            self.page.extend_from_within(self.prefix.clone());
        }
        self.page.push_str(label);
        self.page.push_str("} ");
        Value(self.page)
    }
}

/// A line without its value.
#[derive(Debug)]
#[must_use]
pub(super) struct Value<'a>(&'a mut String);

impl Value<'_> {
    /// Ends the line with an integer.
    pub(super) fn u64(self, value: u64) {
        text::push_u64(self.0, value);
        self.0.push('\n');
    }

    /// Ends the line with a float.
    pub(super) fn f64(self, value: f64) {
        text::push_f64(self.0, value);
        self.0.push('\n');
    }

    /// Ends the line with a number of nanoseconds, written in seconds.
    pub(super) fn seconds(self, nanos: u128) {
        text::push_seconds(self.0, nanos);
        self.0.push('\n');
    }
}
