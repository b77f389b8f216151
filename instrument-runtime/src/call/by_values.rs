//! The values of dynamic labels, and a table of series by these values.

use std::cell::RefCell;
use std::fmt::{Display, Write as _};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::call::counted::Counted;
use crate::call::global;
use crate::call::series::{Series, SeriesRef};
use crate::lock_free::trie::Trie;
use crate::settings;

/// A type whose values can be label values: every `Display` type.
///
/// The trait exists only for its error message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a label",
    label = "does not implement `Display`",
    note = "the type of a label's value must implement `Display`, as strings and numbers do",
    note = "for an `Option`, choose a value for `None`: `value.as_deref().unwrap_or(\"none\")`"
)]
pub trait LabelValue: Display {}

#[diagnostic::do_not_recommend]
impl<T: Display> LabelValue for T {}

/// Returns the value of a label as a trait object. The bound gives the error message for
/// a type that is not `Display`.
#[inline(always)]
pub fn shown<T: LabelValue>(value: &T) -> &dyn Display {
    value
}

/// The values of a call's dynamic labels, concatenated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Values {
    text: String,
    /// The end of each value in `text`, so that `a`+`bc` and `ab`+`c` differ.
    ends: Vec<usize>,
}

thread_local! {
    /// A buffer that is reused, so that a call does not allocate.
    static VALUES: RefCell<Values> = const { RefCell::new(Values::EMPTY) };
}

impl Values {
    pub(crate) const EMPTY: Self = Self {
        text: String::new(),
        ends: Vec::new(),
    };

    pub(crate) fn of(values: &[&dyn Display]) -> Self {
        let mut filled = Self::EMPTY;
        filled.extend(values);
        filled
    }

    /// Calls `ask` with the values.
    pub(crate) fn with<T>(values: &[&dyn Display], ask: impl Fn(&Self) -> T) -> T {
        Self::filled(|buffer| buffer.extend(values), ask)
    }

    /// Calls `ask` with the values that `fill` adds, in the buffer of this thread if
    /// possible.
    pub(crate) fn filled<T>(fill: impl Fn(&mut Self), ask: impl Fn(&Self) -> T) -> T {
        let asked = VALUES.try_with(|buffer| {
            // Already borrowed if the `Display` of a label calls an instrumented
            // function.
            let mut buffer = buffer.try_borrow_mut().ok()?;
            buffer.text.clear();
            buffer.text.shrink_to(ByValues::LONGEST);
            buffer.ends.clear();
            fill(&mut buffer);
            Some(ask(&buffer))
        });
        // The buffer is gone if the call runs in the destructor of another thread-local.
        asked.ok().flatten().unwrap_or_else(|| {
            let mut filled = Self::EMPTY;
            fill(&mut filled);
            ask(&filled)
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Adds a value that is a text, without the cost of formatting it.
    #[inline]
    pub(crate) fn push(&mut self, value: &str) {
        self.text.push_str(value);
        self.ends.push(self.text.len());
    }

    fn extend(&mut self, values: &[&dyn Display]) {
        for value in values {
            // Writing to a `String` cannot fail, but a `Display` may return an error of
            // its own. The label then has the text that was written before the error.
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

/// The cached series of a call site, by the values of its dynamic labels.
///
/// Holds at most `max_series` entries.
#[derive(Debug, Default)]
pub(crate) struct ByValues {
    hasher: RandomState,
    kept: Trie<Values, Series>,
}

impl ByValues {
    /// The length in bytes above which a set of values is not cached. Its series are
    /// looked up in the recorder at every call.
    const LONGEST: usize = 1024;

    /// Returns the series of these values in the current recorder.
    #[inline]
    pub(crate) fn series(
        &'static self,
        values: &Values,
        counted: impl Fn() -> Counted,
    ) -> SeriesRef {
        if global::is_ours()
            && let Some(series) = self.get(values, &counted)
        {
            return SeriesRef::Kept(series);
        }
        SeriesRef::Own(Arc::new(Series::of_current(counted())))
    }

    /// Returns the cached series. `None` if the series must not be cached.
    #[inline]
    fn get(
        &'static self,
        values: &Values,
        counted: impl FnOnce() -> Counted,
    ) -> Option<&'static Series> {
        let hash = self.hasher.hash_one(values);
        match self.kept.get(hash, values) {
            Some(series) => Some(series),
            None => self.add(hash, values, counted()),
        }
    }

    #[cold]
    fn add(&'static self, hash: u64, values: &Values, counted: Counted) -> Option<&'static Series> {
        // Beyond `max_series`, the recorder returns the handle of the overflow series for
        // every new set of values. Caching these handles would let the table grow without
        // bound.
        let bound = settings::installed().map_or(settings::DEFAULT_MAX_SERIES, |s| s.max_series);
        if values.text.len() > Self::LONGEST || self.kept.len() >= bound {
            return None;
        }
        let series = Series::of_ours(counted)?;
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
