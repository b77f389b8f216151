//! The values that tell one series of a kind from another, and the series by
//! their values.

use std::cell::RefCell;
use std::fmt::{Display, Write as _};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use metrics::Label;

use crate::call::global;
use crate::call::series::{Series, SeriesRef};
use crate::lock_free::trie::Trie;
use crate::settings;

/// What can be the value of a label.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a label",
    label = "not a string, and not `Display`",
    note = "the value of a label is a string or implements `Display`",
    note = "for an `Option`, say what stands for `None`: `value.as_deref().unwrap_or(\"none\")`"
)]
pub trait LabelValue: Display {}

#[diagnostic::do_not_recommend]
impl<T: Display> LabelValue for T {}

/// A label's value as the runtime takes it.
#[inline(always)]
pub fn shown<T: LabelValue>(value: &T) -> &dyn Display {
    value
}

/// The values of a call's dynamic labels, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Values {
    text: String,
    /// Where each value ends, so that `a`+`bc` and `ab`+`c` differ.
    ends: Vec<usize>,
}

thread_local! {
    /// Used again for each call, so that a call allocates nothing.
    static VALUES: RefCell<Values> = const { RefCell::new(Values::EMPTY) };
}

impl Values {
    pub(crate) const EMPTY: Self = Self {
        text: String::new(),
        ends: Vec::new(),
    };

    pub(crate) fn of(values: &[&dyn Display]) -> Self {
        let mut filled = Self::EMPTY;
        filled.fill(values);
        filled
    }

    /// Calls `ask` with the values, in a buffer of this thread where possible.
    pub(crate) fn with<T>(values: &[&dyn Display], ask: impl Fn(&Self) -> T) -> T {
        let asked = VALUES.try_with(|buffer| {
            // Borrowed when a label's `Display` calls an instrumented function.
            let mut buffer = buffer.try_borrow_mut().ok()?;
            buffer.fill(values);
            Some(ask(&buffer))
        });
        // A call in the destructor of a thread-local may find the buffer gone.
        asked
            .ok()
            .flatten()
            .unwrap_or_else(|| ask(&Self::of(values)))
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    fn fill(&mut self, values: &[&dyn Display]) {
        self.text.clear();
        self.text.shrink_to(ByValues::LONGEST);
        self.ends.clear();
        for value in values {
            // Only a `Display` that reports an error of its own can fail; what
            // it wrote before is the value.
            let _ = write!(self.text, "{value}");
            self.ends.push(self.text.len());
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts
            .zip(&self.ends)
            .map(|(&start, &end)| &self.text[start..end])
    }
}

/// The series of a site with dynamic labels, by their values, up to a bound.
#[derive(Debug, Default)]
pub(crate) struct ByValues {
    hasher: RandomState,
    kept: Trie<Values, Series>,
}

impl ByValues {
    /// Sets of values longer than this are looked up in the recorder at every
    /// call instead of being kept.
    const LONGEST: usize = 1024;

    /// The series of these values in the current recorder.
    #[inline]
    pub(crate) fn series(
        &'static self,
        values: &Values,
        labels: impl Fn() -> Vec<Label>,
    ) -> SeriesRef {
        if global::is_ours()
            && let Some(series) = self.get(values, &labels)
        {
            return SeriesRef::Kept(series);
        }
        SeriesRef::Own(Arc::new(Series::of_current(labels())))
    }

    /// `None` where the set is not to be kept.
    #[inline]
    fn get(
        &'static self,
        values: &Values,
        labels: impl FnOnce() -> Vec<Label>,
    ) -> Option<&'static Series> {
        let hash = self.hasher.hash_one(values);
        match self.kept.get(hash, values) {
            Some(series) => Some(series),
            None => self.add(hash, values, labels()),
        }
    }

    #[cold]
    fn add(
        &'static self,
        hash: u64,
        values: &Values,
        labels: Vec<Label>,
    ) -> Option<&'static Series> {
        // Past the bound on a metric's series, a kept handle would only be one
        // more name for the overflow series.
        let bound = settings::installed().map_or(settings::DEFAULT_MAX_SERIES, |s| s.max_series);
        if values.text.len() > Self::LONGEST || self.kept.len() >= bound {
            return None;
        }
        let series = Series::of_ours(labels)?;
        self.kept.add(hash, values.clone(), series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_join_to_the_same_text_differ() {
        assert_ne!(Values::of(&[&"a", &"bc"]), Values::of(&[&"ab", &"c"]));
        assert_eq!(
            Values::of(&[&"ab", &7, &""]).iter().collect::<Vec<_>>(),
            ["ab", "7", ""]
        );
    }
}
