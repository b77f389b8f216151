//! One metric on the page: HELP, TYPE and the samples of its series.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use metrics::{Key, SharedString};

use crate::recorder::labels::{GlobalLabels, LabelSet};
use crate::recorder::registry::{Registry, Series};
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

/// One of the three metrics.
#[derive(Debug)]
pub(super) struct Family<I: Instrument> {
    name: String,
    help: RwLock<SharedString>,
    globals: Arc<GlobalLabels>,
    registry: Registry<I>,
}

impl<I: Instrument> Family<I> {
    pub(super) fn new(name: &str, globals: &Arc<GlobalLabels>, registry: Registry<I>) -> Self {
        Self {
            name: name.to_owned(),
            help: RwLock::default(),
            globals: Arc::clone(globals),
            registry,
        }
    }

    pub(super) fn describe(&self, help: SharedString) {
        *self.help.write().unwrap_or_else(PoisonError::into_inner) = help;
    }

    pub(super) fn series(&self, key: &Key) -> Arc<Series<I>> {
        self.registry.series(LabelSet::of(key, &self.globals))
    }

    pub(super) fn len(&self) -> usize {
        self.registry.len()
    }
}

/// A family, whatever its kind.
pub(super) trait WriteFamily {
    fn name(&self) -> &str;
    fn write(&self, page: &mut String);
}

impl<I: Instrument> WriteFamily for Family<I> {
    fn name(&self) -> &str {
        &self.name
    }

    /// Writes nothing where there is no series.
    fn write(&self, page: &mut String) {
        let all = self.registry.all();
        if all.is_empty() {
            return;
        }
        {
            let help = self.help.read().unwrap_or_else(PoisonError::into_inner);
            write_head(page, &self.name, &help, I::TYPE);
        }
        let mut labels = String::new();
        let start = page.len();
        for (index, series) in all.iter().enumerate() {
            let globals = series.labels.globals.as_deref();
            labels.clear();
            labels.push_str(globals.unwrap_or(self.globals.text()));
            join(&mut labels, &series.labels.own);
            series.instrument.write(&mut Samples {
                page,
                name: &self.name,
                labels: &labels,
            });
            if index == 0 {
                // To grow a page of megabytes step by step is to copy it, and
                // to hold it twice. What is reserved in vain is never touched.
                let sample = page.len() - start;
                page.reserve_exact(all.len() * (sample + sample / 8));
            }
        }
    }
}

/// Appends labels to labels.
fn join(labels: &mut String, more: &str) {
    if !labels.is_empty() && !more.is_empty() {
        labels.push(',');
    }
    labels.push_str(more);
}

fn write_head(page: &mut String, name: &str, help: &str, kind: &str) {
    if !help.is_empty() {
        page.push_str("# HELP ");
        page.push_str(name);
        page.push(' ');
        text::escape_help(page, help);
        page.push('\n');
    }
    page.push_str("# TYPE ");
    page.push_str(name);
    page.push(' ');
    page.push_str(kind);
    page.push('\n');
}

/// Where a series writes its lines.
#[derive(Debug)]
pub(super) struct Samples<'a> {
    page: &'a mut String,
    name: &'a str,
    labels: &'a str,
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
