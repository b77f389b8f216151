//! The samples of one series, as lines of the page.

use std::fmt::Debug;
use std::ops::Range;

use crate::recorder::shards::Words;
use crate::recorder::text;

/// A kind of metric.
pub(super) trait Instrument: Sized {
    const TYPE: &'static str;
    /// What all series of a metric share.
    type Layout: Debug;

    /// How many words a series has.
    fn words(layout: &Self::Layout) -> usize;
    fn new(words: Words, layout: &Self::Layout) -> Self;
    fn write(&self, samples: &mut Samples<'_>);
}

/// Where a series writes its lines.
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
    /// Begins a line of the metric's name with this suffix.
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

    /// Lines with this suffix that have one label more than the series.
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

/// Begins a line for each label.
#[derive(Debug)]
pub(super) struct LabelledLines<'a> {
    page: &'a mut String,
    /// Where the page has what every line begins with; the first line's own.
    prefix: Range<usize>,
}

impl LabelledLines<'_> {
    /// `label` as it stands on the page.
    pub(super) fn label(&mut self, label: &str) -> Value<'_> {
        if self.page.len() > self.prefix.end {
            self.page.extend_from_within(self.prefix.clone());
        }
        self.page.push_str(label);
        self.page.push_str("} ");
        Value(self.page)
    }
}

/// The rest of a line.
#[derive(Debug)]
#[must_use]
pub(super) struct Value<'a>(&'a mut String);

impl Value<'_> {
    pub(super) fn u64(self, value: u64) {
        text::push_u64(self.0, value);
        self.0.push('\n');
    }

    pub(super) fn f64(self, value: f64) {
        text::push_f64(self.0, value);
        self.0.push('\n');
    }

    /// Nanoseconds, written as seconds.
    pub(super) fn seconds(self, nanos: u128) {
        text::push_seconds(self.0, nanos);
        self.0.push('\n');
    }
}
