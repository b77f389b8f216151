//! One metric: its name, its HELP text and its series.

use std::sync::{Arc, PoisonError, RwLock};

use metrics::{Key, SharedString};

use crate::recorder::labels::{GlobalLabels, LabelSet};
use crate::recorder::point::{Instrument, Kind, Series};
use crate::recorder::registry::{Cell, Registry};

/// One of the call metrics.
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
}

/// The part of a [`Family`] that does not depend on its instrument, for trait objects.
pub(crate) trait ReadFamily {
    /// Returns the name of the metric.
    fn name(&self) -> &str;
    /// Returns the HELP text.
    fn help(&self) -> SharedString;
    /// Returns the type of the metric.
    fn kind(&self) -> Kind;
    /// Returns the number of series, the overflow series included.
    fn len(&self) -> usize;
    /// Calls `visit` with each series, in the order of their labels.
    fn each(&self, visit: &mut dyn FnMut(Series<'_>));
}

impl<I: Instrument> ReadFamily for Family<I> {
    fn name(&self) -> &str {
        &self.name
    }

    fn help(&self) -> SharedString {
        let help = self.help.read().unwrap_or_else(PoisonError::into_inner);
        help.clone()
    }

    fn kind(&self) -> Kind {
        I::KIND
    }

    fn len(&self) -> usize {
        self.registry.len()
    }

    fn each(&self, visit: &mut dyn FnMut(Series<'_>)) {
        let mut labels = String::new();
        for series in self.registry.all() {
            labels.clear();
            series.labels.push_text(&mut labels, &self.globals);
            visit(Series {
                labels: &labels,
                started: Some(series.started),
                point: series.instrument.point(),
            });
        }
    }
}
