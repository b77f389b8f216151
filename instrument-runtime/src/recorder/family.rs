//! One metric on the page: HELP, TYPE and the samples of its series.

use std::sync::{Arc, PoisonError, RwLock};

use metrics::{Key, SharedString};

use crate::recorder::labels::{GlobalLabels, LabelSet};
use crate::recorder::registry::{Cell, Registry};
use crate::recorder::samples::{Instrument, Samples};
use crate::recorder::text::{Head, HeadStyle};

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

    /// Sets the HELP text.
    pub(super) fn describe(&self, help: SharedString) {
        *self.help.write().unwrap_or_else(PoisonError::into_inner) = help;
    }

    /// Returns the series for the labels of `key`, and creates it if necessary.
    pub(super) fn series(&self, key: &Key) -> Arc<Cell<I>> {
        self.registry.series(LabelSet::of(key, &self.globals))
    }

    /// Returns the number of series, the overflow series included.
    pub(super) fn len(&self) -> usize {
        self.registry.len()
    }
}

/// The part of a [`Family`] that does not depend on its instrument, for trait objects.
pub(crate) trait WriteFamily {
    /// Returns the name of the metric.
    fn name(&self) -> &str;
    /// Appends the family to `page`: HELP, TYPE and all samples.
    fn write(&self, page: &mut String, style: HeadStyle<'_>);
}

impl<I: Instrument> WriteFamily for Family<I> {
    fn name(&self) -> &str {
        &self.name
    }

    /// Writes nothing if the family has no series.
    fn write(&self, page: &mut String, style: HeadStyle<'_>) {
        let all = self.registry.all();
        if all.is_empty() {
            return;
        }
        {
            let help = self.help.read().unwrap_or_else(PoisonError::into_inner);
            let head = Head {
                name: &self.name,
                help: &help,
                kind: I::TYPE,
            };
            head.write(page, style);
        }
        let mut labels = String::new();
        let start = page.len();
        for (index, series) in all.iter().enumerate() {
            let globals = series.labels.globals.as_deref();
            labels.clear();
            labels.push_str(globals.unwrap_or(self.globals.text()));
            join(&mut labels, &series.labels.own);
            series
                .instrument
                .write(&mut Samples::new(page, &self.name, &labels));
            if index == 0 {
                // Reserves memory for all series at once. Otherwise the page would be
                // reallocated as it grows, and each reallocation of several megabytes
                // holds two copies at a time. The estimate may be too high: memory that
                // is reserved but never written is not resident.
                let sample = page.len() - start;
                page.reserve_exact(all.len() * (sample + sample / 8));
            }
        }
    }
}

/// Appends `more` to `labels`, with a comma in between if neither is empty.
fn join(labels: &mut String, more: &str) {
    if !labels.is_empty() && !more.is_empty() {
        labels.push(',');
    }
    labels.push_str(more);
}
