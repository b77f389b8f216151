//! The series of a metric, by label set, up to a limit.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use crate::recorder::labels::LabelSet;
use crate::recorder::number::UnixTime;
use crate::recorder::point::Instrument;
use crate::recorder::shards::Allocator;

/// One series. Handles update it, and the page reads it.
#[derive(Debug)]
pub(super) struct Cell<I> {
    pub(super) instrument: I,
    pub(super) labels: LabelSet,
    /// The time at which the series was created, with the value 0.
    pub(super) started: UnixTime,
}

/// The series of one metric. A series is never removed, because call sites and the
/// application keep handles to it.
#[derive(Debug)]
pub(super) struct Registry<I: Instrument> {
    layout: I::Layout,
    /// The maximum number of series, not counting the overflow series.
    max_series: usize,
    state: RwLock<State<I>>,
}

#[derive(Debug)]
struct State<I> {
    series: BTreeSet<ByLabels<I>>,
    allocator: Allocator,
    /// The overflow series, which all label sets past the limit share. It is created when
    /// the first such label set arrives.
    overflow: Option<Arc<Cell<I>>>,
}

impl<I> State<I> {
    /// Returns the series for `labels`. Falls back to the overflow series, if it exists.
    fn find(&self, labels: &LabelSet) -> Option<&Arc<Cell<I>>> {
        let found = self.series.get(labels).map(|found| &found.0);
        found.or(self.overflow.as_ref())
    }
}

impl<I: Instrument> Registry<I> {
    pub(super) fn new(layout: I::Layout, max_series: usize, shards: usize) -> Self {
        let allocator = Allocator::new(I::words(&layout), shards);
        Self {
            layout,
            max_series,
            state: RwLock::new(State {
                series: BTreeSet::new(),
                allocator,
                overflow: None,
            }),
        }
    }

    /// Returns the series for `labels`, and creates it if necessary. Past the limit,
    /// returns the overflow series.
    pub(super) fn series(&self, labels: LabelSet) -> Arc<Cell<I>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = state.find(&labels) {
            return Arc::clone(found);
        }
        drop(state);

        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have added the series while no lock was held.
        if let Some(found) = state.find(&labels) {
            return Arc::clone(found);
        }
        let is_full = state.series.len() >= self.max_series;
        let labels = if is_full {
            LabelSet::overflow()
        } else {
            labels
        };
        let series = Arc::new(Cell {
            instrument: I::new(state.allocator.allocate(), &self.layout),
            labels,
            started: UnixTime::now(),
        });
        if is_full {
            state.overflow = Some(Arc::clone(&series));
        } else {
            state.series.insert(ByLabels(Arc::clone(&series)));
        }
        series
    }

    /// Returns all series, sorted by their labels. Holds the lock only while it copies
    /// the pointers, so that no call waits for a render.
    pub(super) fn all(&self) -> Vec<Arc<Cell<I>>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::with_capacity(state.series.len() + 1);
        all.extend(state.series.iter().map(|series| Arc::clone(&series.0)));
        if let Some(overflow) = &state.overflow {
            let at = all.partition_point(|series| series.labels < overflow.labels);
            all.insert(at, Arc::clone(overflow));
        }
        all
    }

    /// Returns the number of series, the overflow series included.
    pub(super) fn len(&self) -> usize {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.series.len() + usize::from(state.overflow.is_some())
    }
}

/// Orders series by the text of their labels.
#[derive(Debug)]
struct ByLabels<I>(Arc<Cell<I>>);

impl<I> Borrow<LabelSet> for ByLabels<I> {
    fn borrow(&self) -> &LabelSet {
        &self.0.labels
    }
}

impl<I> Ord for ByLabels<I> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.labels.cmp(&other.0.labels)
    }
}

impl<I> PartialOrd for ByLabels<I> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<I> PartialEq for ByLabels<I> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<I> Eq for ByLabels<I> {}

#[cfg(test)]
mod tests {
    use std::thread;

    use metrics::CounterFn;

    use super::*;
    use crate::recorder::counter::Counter;
    use crate::recorder::shards::tests::SHARDS;

    fn labels(own: &str) -> LabelSet {
        LabelSet {
            own: own.into(),
            globals: None,
        }
    }

    fn texts(registry: &Registry<Counter>) -> Vec<String> {
        let all = registry.all();
        all.iter()
            .map(|series| series.labels.own.to_string())
            .collect()
    }

    #[test]
    fn a_label_set_has_one_series() {
        let registry = Registry::<Counter>::new((), 10, SHARDS);
        let first = registry.series(labels("a"));
        let second = registry.series(labels("b"));
        assert!(Arc::ptr_eq(&first, &registry.series(labels("a"))));
        assert!(!Arc::ptr_eq(&first, &second));
        assert_eq!(registry.len(), 2);
    }

    #[test]
    fn what_comes_late_shares_a_series() {
        let registry = Registry::<Counter>::new((), 2, SHARDS);
        let early = registry.series(labels("z"));
        registry.series(labels("a"));
        assert_eq!(registry.len(), 2);
        let late = registry.series(labels("b"));
        assert!(Arc::ptr_eq(&late, &registry.series(labels("c"))));
        assert!(Arc::ptr_eq(&early, &registry.series(labels("z"))));
        assert_eq!(registry.len(), 3);
        assert_eq!(texts(&registry), ["a", "overflow=\"true\"", "z"]);
    }

    #[test]
    fn threads_that_register_at_once_agree() {
        let registry = Registry::<Counter>::new((), 50, SHARDS);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..100 {
                        registry.series(labels(&number.to_string())).increment(1);
                    }
                });
            }
        });
        assert_eq!(registry.len(), 51);
        let total: u64 = registry
            .all()
            .iter()
            .map(|series| series.instrument.value())
            .sum();
        assert_eq!(total, 400);
    }
}
