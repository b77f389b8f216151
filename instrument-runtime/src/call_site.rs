//! One static for each annotated function: what its labels are, and the
//! handles of the label sets that it has had.

use std::cell::RefCell;
use std::fmt::{Display, Write as _};
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use metrics::Label;

use crate::current;
use crate::series::Series;
use crate::settings;

/// The static of one annotated function. Everything in it is known when the
/// program is compiled, but for the handles.
#[derive(Debug)]
pub struct CallSite {
    module: &'static str,
    function: &'static str,
    endpoint: Option<&'static str>,
    method: Option<&'static str>,
    literal_labels: &'static [(&'static str, &'static str)],
    dynamic_labels: &'static [&'static str],
    /// Behind a pointer, so that a handler costs little in the binary.
    kept: OnceLock<Box<Kept>>,
}

/// The handles of the global recorder.
#[derive(Debug)]
struct Kept {
    /// Of the site without dynamic labels.
    plain: OnceLock<Series>,
    by_values: OnceLock<ByValues>,
}

/// The series that one call counts into.
#[derive(Debug)]
pub(crate) enum SeriesRef {
    Kept(&'static Series),
    Own(Arc<Series>),
}

impl Deref for SeriesRef {
    type Target = Series;

    #[inline]
    fn deref(&self) -> &Series {
        match self {
            Self::Kept(series) => series,
            Self::Own(series) => series,
        }
    }
}

impl CallSite {
    /// `module` is `module_path!()`; `function` is the name, with its type's
    /// before it in an annotated `impl` block.
    #[must_use]
    pub const fn new(module: &'static str, function: &'static str) -> Self {
        Self {
            module,
            function,
            endpoint: None,
            method: None,
            literal_labels: &[],
            dynamic_labels: &[],
            kept: OnceLock::new(),
        }
    }

    /// The label `endpoint`, instead of the function's path.
    #[must_use]
    pub const fn endpoint(mut self, endpoint: &'static str) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// The label `method`; none without it.
    #[must_use]
    pub const fn method(mut self, method: &'static str) -> Self {
        self.method = Some(method);
        self
    }

    /// The function's own labels: those whose values are literals, and the
    /// names of those whose values come with each call.
    #[must_use]
    pub const fn labels(
        mut self,
        literal: &'static [(&'static str, &'static str)],
        dynamic: &'static [&'static str],
    ) -> Self {
        self.literal_labels = literal;
        self.dynamic_labels = dynamic;
        self
    }

    pub(crate) fn has_method(&self) -> bool {
        self.method.is_some()
    }

    #[inline]
    pub(crate) fn series_without_values(&'static self) -> SeriesRef {
        if current::is_global()
            && let Some(series) = self.plain()
        {
            return SeriesRef::Kept(series);
        }
        SeriesRef::Own(Arc::new(Series::of_current(self.label_set(&Values::EMPTY))))
    }

    pub(crate) fn series(&'static self, values: &[&dyn Display]) -> SeriesRef {
        VALUES.with(|buffer| match buffer.try_borrow_mut() {
            Ok(mut buffer) => {
                buffer.fill(values);
                self.series_of(&buffer)
            }
            // A label's `Display` called an instrumented function.
            Err(_) => self.series_of(&Values::of(values)),
        })
    }

    #[inline]
    fn plain(&'static self) -> Option<&'static Series> {
        let plain = &self.kept().plain;
        match plain.get() {
            Some(series) => Some(series),
            None => {
                let series = Series::of_global(self.label_set(&Values::EMPTY))?;
                Some(plain.get_or_init(|| series))
            }
        }
    }

    pub(crate) fn series_of(&'static self, values: &Values) -> SeriesRef {
        if current::is_global() {
            let by_values = self.kept().by_values.get_or_init(ByValues::default);
            if let Some(series) = by_values.get(values, || self.label_set(values)) {
                return SeriesRef::Kept(series);
            }
        }
        SeriesRef::Own(Arc::new(Series::of_current(self.label_set(values))))
    }

    fn kept(&'static self) -> &'static Kept {
        self.kept.get_or_init(|| {
            Box::new(Kept {
                plain: OnceLock::new(),
                by_values: OnceLock::new(),
            })
        })
    }

    #[cold]
    fn label_set(&self, values: &Values) -> Vec<Label> {
        let names = current::names().labels;
        let mut labels = Vec::with_capacity(5 + self.literal_labels.len() + values.ends.len());
        if let Some(method) = self.method {
            labels.push(Label::from_static_parts(names.method, method));
        }
        labels.push(match self.endpoint {
            Some(endpoint) => Label::from_static_parts(names.endpoint, endpoint),
            None => Label::new(names.endpoint, self.path()),
        });
        for (name, value) in self.literal_labels {
            labels.push(Label::from_static_parts(name, value));
        }
        for (name, value) in self.dynamic_labels.iter().zip(values.iter()) {
            labels.push(Label::new(*name, value.to_owned()));
        }
        labels
    }

    /// `module::path::function`, without the crate's name.
    fn path(&self) -> String {
        self.module
            .split("::")
            .skip(1)
            .chain(self.function.split("::"))
            .map(|segment| segment.strip_prefix("r#").unwrap_or(segment))
            .collect::<Vec<_>>()
            .join("::")
    }
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
    const EMPTY: Self = Self {
        text: String::new(),
        ends: Vec::new(),
    };

    pub(crate) fn of(values: &[&dyn Display]) -> Self {
        let mut filled = Self::EMPTY;
        filled.fill(values);
        filled
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

    fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts
            .zip(&self.ends)
            .map(|(&start, &end)| &self.text[start..end])
    }
}

/// The series of a site with dynamic labels, by their values: a table that
/// only grows, up to a bound, and that is read without a lock.
#[derive(Debug)]
struct ByValues {
    hasher: RandomState,
    len: AtomicUsize,
    buckets: Box<[ValuesNode]>,
}

#[derive(Debug, Default)]
struct ValuesNode(OnceLock<Box<(Values, Series, ValuesNode)>>);

impl Default for ByValues {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            len: AtomicUsize::new(0),
            buckets: (0..Self::BUCKETS).map(|_| ValuesNode::default()).collect(),
        }
    }
}

impl ByValues {
    const BUCKETS: usize = 512;
    /// Sets of values longer than this are looked up in the recorder at every
    /// call instead of being kept.
    const LONGEST: usize = 1024;

    /// `None` where the set is not to be kept.
    #[inline]
    fn get(
        &'static self,
        values: &Values,
        labels: impl FnOnce() -> Vec<Label>,
    ) -> Option<&'static Series> {
        let hash = self.hasher.hash_one(values);
        let mut node = &self.buckets[hash as usize % Self::BUCKETS];
        while let Some(found) = node.0.get() {
            if found.0 == *values {
                return Some(&found.1);
            }
            node = &found.2;
        }
        self.add(node, values, labels())
    }

    #[cold]
    fn add(
        &'static self,
        mut node: &'static ValuesNode,
        values: &Values,
        labels: Vec<Label>,
    ) -> Option<&'static Series> {
        // Past the bound on a metric's series, a kept handle would only be one
        // more name for the overflow series.
        let bound = settings::installed().map_or(settings::DEFAULT_MAX_SERIES, |s| s.max_series);
        if values.text.len() > Self::LONGEST || self.len.load(Ordering::Relaxed) >= bound {
            return None;
        }
        let series = Series::of_global(labels)?;
        let mut fresh = Box::new((values.clone(), series, ValuesNode::default()));
        // Whoever loses the race for a node goes on to the next one.
        while let Err(lost) = node.0.set(fresh) {
            let found = node.0.get()?;
            if found.0 == *values {
                return Some(&found.1);
            }
            node = &found.2;
            fresh = lost;
        }
        self.len.fetch_add(1, Ordering::Relaxed);
        Some(&node.0.get()?.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_no_crate_and_no_raw_marks() {
        let site = CallSite::new("shop::r#type::cart", "Cart::r#move");
        assert_eq!(site.path(), "type::cart::Cart::move");
        assert_eq!(CallSite::new("shop", "index").path(), "index");
    }

    #[test]
    fn values_that_join_to_the_same_text_differ() {
        assert_ne!(Values::of(&[&"a", &"bc"]), Values::of(&[&"ab", &"c"]));
        assert_eq!(
            Values::of(&[&"ab", &7, &""]).iter().collect::<Vec<_>>(),
            ["ab", "7", ""]
        );
    }
}
