//! One static for each annotated function: what its labels are, and the
//! handles of the label sets that it has had.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

use metrics::Label;

use crate::current;
use crate::outcome::Outcome;
use crate::series::{Series, SeriesRef};
use crate::values::{ByValues, Values};

/// The static of one annotated function. Everything in it is known when the
/// program is compiled, but for the handles.
#[derive(Debug)]
pub struct CallSite {
    /// The module of a function that is its own endpoint; otherwise empty.
    module: &'static str,
    /// The function, or the endpoint that it was given.
    name: &'static str,
    method: &'static str,
    literal_labels: &'static [(&'static str, &'static str)],
    dynamic_labels: &'static [&'static str],
    is_helper: bool,
    /// The global recorder's, of the site without dynamic labels. What is kept is
    /// behind pointers, so that a handler costs little in the binary.
    plain: OnceLock<Box<Series>>,
    kept: OnceLock<Box<Kept>>,
}

/// The global recorder's series of a site that has more than one.
#[derive(Debug, Default)]
struct Kept {
    by_values: OnceLock<ByValues>,
    /// With the request's method and endpoint as the first two values.
    #[cfg(feature = "_layer")]
    of_requests: OnceLock<ByValues>,
}

#[allow(
    clippy::declare_interior_mutable_const,
    reason = "they are copied before use"
)]
impl CallSite {
    /// Constants, so that the compiler evaluates them once and not for each handler.
    const NO_SERIES: OnceLock<Box<Series>> = OnceLock::new();
    const NOTHING_KEPT: OnceLock<Box<Kept>> = OnceLock::new();

    /// A function that was given its endpoint, which alone is in the binary. There
    /// is no label `method` if `method` is empty.
    #[must_use]
    pub const fn of_endpoint(endpoint: &'static str, method: &'static str) -> Self {
        // A literal has been checked before; a constant is evaluated here.
        assert!(
            !endpoint.is_empty(),
            "`endpoint` is empty; leave it out to get the function's path"
        );
        Self::of_function("", endpoint, method)
    }

    /// A function whose path is its endpoint. `module` is `module_path!()`;
    /// `function` is the name, with its type's before it in an annotated `impl`
    /// block.
    #[must_use]
    pub const fn of_function(
        module: &'static str,
        function: &'static str,
        method: &'static str,
    ) -> Self {
        Self {
            module,
            name: function,
            method,
            literal_labels: &[],
            dynamic_labels: &[],
            is_helper: false,
            plain: Self::NO_SERIES,
            kept: Self::NOTHING_KEPT,
        }
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

    /// No framework can call this function with a request: it takes something by
    /// reference, say. It never counts as a request's handler, unless it has a
    /// method.
    #[must_use]
    pub const fn helper(mut self) -> Self {
        self.is_helper = true;
        self
    }

    fn has_endpoint(&self) -> bool {
        self.module.is_empty()
    }

    pub(crate) fn has_method(&self) -> bool {
        !self.method.is_empty()
    }

    #[cfg(feature = "_layer")]
    pub(crate) fn is_helper(&self) -> bool {
        self.is_helper
    }

    pub(crate) fn series_of_call(&'static self, values: Option<&Values>) -> SeriesRef {
        match values {
            Some(values) => self.series_of(values),
            None => self.series_without_values(),
        }
    }

    fn series_without_values(&'static self) -> SeriesRef {
        match self.kept_series() {
            Some(series) => SeriesRef::Kept(series),
            None => self.own_series(),
        }
    }

    /// The series of a call without values, if it is the global recorder's.
    #[inline]
    pub(crate) fn kept_series(&'static self) -> Option<&'static Series> {
        if current::is_global() {
            self.plain()
        } else {
            None
        }
    }

    /// For one call without values.
    #[cold]
    pub(crate) fn own_series(&self) -> SeriesRef {
        SeriesRef::Own(Arc::new(Series::of_current(self.label_set(&Values::EMPTY))))
    }

    pub(crate) fn series(&'static self, values: &[&dyn Display]) -> SeriesRef {
        Values::with(values, |values| self.series_of(values))
    }

    #[inline]
    fn plain(&'static self) -> Option<&'static Series> {
        match self.plain.get() {
            Some(series) => Some(series),
            None => self.first_plain(),
        }
    }

    #[cold]
    fn first_plain(&'static self) -> Option<&'static Series> {
        let series = Series::of_global(self.label_set(&Values::EMPTY))?;
        Some(self.plain.get_or_init(|| Box::new(series)))
    }

    fn series_of(&'static self, values: &Values) -> SeriesRef {
        let by_values = &self.kept().by_values;
        by_values
            .get_or_init(ByValues::default)
            .series(values, || self.label_set(values))
    }

    /// With the end that a handler most likely has. Counts nothing.
    pub(crate) fn show_zeros(&'static self) {
        if let Some(series) = self.kept_series() {
            series.expect(Outcome::HttpStatus(200).end());
        }
    }

    /// The series of a call that is the handler of a request. `route` is what
    /// the framework matched.
    #[cfg(feature = "_layer")]
    pub(crate) fn series_of_request(
        &'static self,
        method: &'static str,
        route: Option<&str>,
        values: Option<&Values>,
    ) -> SeriesRef {
        let path;
        let endpoint = match route {
            _ if self.has_endpoint() => self.name,
            Some(route) => route,
            None => {
                path = self.path();
                &path
            }
        };
        if self.literal_labels.is_empty() && values.is_none() {
            return crate::request_series::series_of(method, endpoint);
        }
        let none = Values::EMPTY;
        let values = values.unwrap_or(&none);
        let own: Vec<&str> = values.iter().collect();
        let mut key: Vec<&dyn Display> = vec![&method, &endpoint];
        key.extend(own.iter().map(|value| value as &dyn Display));
        let of_requests = self.kept().of_requests.get_or_init(ByValues::default);
        Values::with(&key, |key| {
            of_requests.series(key, || {
                let names = current::names().labels;
                self.with_own_labels(
                    vec![
                        Label::from_static_parts(names.method, method),
                        Label::new(names.endpoint, endpoint.to_owned()),
                    ],
                    values,
                )
            })
        })
    }

    fn kept(&'static self) -> &'static Kept {
        self.kept.get_or_init(Box::default)
    }

    #[cold]
    fn label_set(&self, values: &Values) -> Vec<Label> {
        let names = current::names().labels;
        // Three more come with the end.
        let mut labels = Vec::with_capacity(5 + self.literal_labels.len() + values.len());
        if self.has_method() {
            labels.push(Label::from_static_parts(names.method, self.method));
        }
        labels.push(if self.has_endpoint() {
            Label::from_static_parts(names.endpoint, self.name)
        } else {
            Label::new(names.endpoint, self.path())
        });
        self.with_own_labels(labels, values)
    }

    fn with_own_labels(&self, mut labels: Vec<Label>, values: &Values) -> Vec<Label> {
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
            .chain(self.name.split("::"))
            .map(|segment| segment.strip_prefix("r#").unwrap_or(segment))
            .collect::<Vec<_>>()
            .join("::")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_no_crate_and_no_raw_marks() {
        let site = CallSite::of_function("shop::r#type::cart", "Cart::r#move", "");
        assert_eq!(site.path(), "type::cart::Cart::move");
        assert_eq!(CallSite::of_function("shop", "index", "").path(), "index");
    }
}
