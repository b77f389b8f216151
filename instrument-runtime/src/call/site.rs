//! One static for each annotated function: what its labels are, and the
//! handles of the label sets that it has had.

use std::fmt::{self, Display};
use std::sync::{Arc, LazyLock, OnceLock};

use metrics::Label;

use crate::call::by_values::{ByValues, Values};
use crate::call::series::{Series, SeriesRef};
use crate::call::{global, hints};
use crate::outcome::Outcome;
use crate::settings;

/// What a function is to a request in whose course it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Its handler, if the evidence says so.
    Open,
    /// Its handler only by its names.
    Helper,
    /// Its handler, as the attribute says.
    Handler,
    /// Not its handler, as the attribute or the signature says.
    Never,
}

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
    role: Role,
    /// Our own recorder's, of the site without dynamic labels. What is kept is
    /// behind pointers, so that a handler costs little in the binary.
    plain: OnceLock<Box<Series>>,
    tables: OnceLock<Box<Tables>>,
}

/// Our own recorder's series of a site that has more than one.
#[derive(Debug, Default)]
struct Tables {
    by_values: OnceLock<ByValues>,
    /// With the request's method and endpoint as the first two values.
    of_requests: OnceLock<ByValues>,
}

#[allow(
    clippy::declare_interior_mutable_const,
    reason = "they are copied before use"
)]
impl CallSite {
    /// Constants, so that the compiler evaluates them once and not for each handler.
    const NO_SERIES: OnceLock<Box<Series>> = OnceLock::new();
    const NO_TABLES: OnceLock<Box<Tables>> = OnceLock::new();

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
            role: Role::Open,
            plain: Self::NO_SERIES,
            tables: Self::NO_TABLES,
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
    /// reference, say. It is a request's handler only by its names.
    #[must_use]
    pub const fn helper(mut self) -> Self {
        self.role = Role::Helper;
        self
    }

    /// `handler = false`, and middleware.
    #[must_use]
    pub const fn never_a_handler(mut self) -> Self {
        self.role = Role::Never;
        self
    }

    /// `handler`
    #[must_use]
    pub const fn handler(mut self) -> Self {
        self.role = Role::Handler;
        self
    }

    fn has_endpoint(&self) -> bool {
        self.module.is_empty()
    }

    pub(crate) fn has_method(&self) -> bool {
        !self.method.is_empty()
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Empty if it has none.
    pub(crate) fn method(&self) -> &'static str {
        self.method
    }

    /// The one that it was given.
    pub(crate) fn endpoint(&self) -> Option<&'static str> {
        self.has_endpoint().then_some(self.name)
    }

    /// Whether the attribute gives the function a method or an endpoint.
    pub(crate) fn is_named(&self) -> bool {
        self.has_method() || self.has_endpoint()
    }

    pub(crate) fn has_labels(&self) -> bool {
        !(self.literal_labels.is_empty() && self.dynamic_labels.is_empty())
    }

    pub(crate) fn series_of_call(&'static self, values: Option<&Values>) -> SeriesRef {
        match values {
            Some(values) => self.series_of(values),
            None => self.series_without_values(),
        }
    }

    fn series_without_values(&'static self) -> SeriesRef {
        match self.kept_series(|| {}) {
            Some(series) => SeriesRef::Kept(series),
            None => self.own_series(),
        }
    }

    /// The series of a call without values, if our own recorder takes it. `first` is
    /// told of the first such call.
    #[inline]
    pub(crate) fn kept_series(&'static self, first: impl FnOnce()) -> Option<&'static Series> {
        if global::is_ours() {
            self.plain(first)
        } else {
            None
        }
    }

    /// For one call without values.
    #[cold]
    pub(crate) fn own_series(&self) -> SeriesRef {
        hints::call_elsewhere(self);
        SeriesRef::Own(Arc::new(Series::of_current(self.label_set(&Values::EMPTY))))
    }

    pub(crate) fn series(&'static self, values: &[&dyn Display]) -> SeriesRef {
        Values::with(values, |values| self.series_of(values))
    }

    #[inline]
    fn plain(&'static self, first: impl FnOnce()) -> Option<&'static Series> {
        match self.plain.get() {
            Some(series) => Some(series),
            None => self.first_plain(first),
        }
    }

    #[cold]
    fn first_plain(&'static self, first: impl FnOnce()) -> Option<&'static Series> {
        first();
        let series = Series::of_ours(self.label_set(&Values::EMPTY))?;
        Some(self.plain.get_or_init(|| Box::new(series)))
    }

    fn series_of(&'static self, values: &Values) -> SeriesRef {
        let by_values = &self.tables().by_values;
        by_values.get_or_init(ByValues::default).series(values, || {
            hints::call_elsewhere(self);
            self.label_set(values)
        })
    }

    /// Shows the series in our own recorder, with the end that a handler most likely
    /// has. Counts nothing.
    pub(crate) fn show_zeros(&'static self) {
        // Not kept, so that the first call is known to be one.
        if let Some(series) = Series::of_ours(self.label_set(&Values::EMPTY)) {
            series.expect(Outcome::HttpStatus(200).end());
        }
    }

    /// The series of a call that is the handler of a request. `route` is what
    /// the framework matched.
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
            return series_of_route(method, endpoint);
        }
        let none = Values::EMPTY;
        let values = values.unwrap_or(&none);
        let own: Vec<&str> = values.iter().collect();
        let mut key: Vec<&dyn Display> = vec![&method, &endpoint];
        key.extend(own.iter().map(|value| value as &dyn Display));
        let of_requests = self.tables().of_requests.get_or_init(ByValues::default);
        Values::with(&key, |key| {
            of_requests.series(key, || {
                let names = settings::names().labels;
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

    fn tables(&'static self) -> &'static Tables {
        self.tables.get_or_init(Box::default)
    }

    #[cold]
    fn label_set(&self, values: &Values) -> Vec<Label> {
        let names = settings::names().labels;
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

/// As a person would know it.
impl fmt::Display for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_method() {
            write!(f, "{} ", self.method)?;
        }
        if self.has_endpoint() {
            f.write_str(self.name)
        } else {
            f.write_str(&self.path())
        }
    }
}

/// An annotated handler whose labels are all known, as the linker collects them.
#[derive(Clone, Copy, Debug)]
pub struct Known(pub &'static CallSite);

inventory::collect!(Known);

/// Shows each known handler on the page with a count of zero, so that `rate()` sees
/// the first request.
pub(crate) fn show_zeros() {
    for Known(site) in inventory::iter::<Known> {
        site.show_zeros();
    }
}

/// The series of requests that no annotated handler with labels of its own took.
static BY_METHOD_AND_ENDPOINT: LazyLock<ByValues> = LazyLock::new(ByValues::default);

/// The series of a request by its method and endpoint. `endpoint` must be one of a bounded number: a route, never a raw path.
pub(crate) fn series_of_route(method: &'static str, endpoint: &str) -> SeriesRef {
    Values::with(&[&method, &endpoint], |values| {
        BY_METHOD_AND_ENDPOINT.series(values, || {
            hints::layer_counts();
            let names = settings::names().labels;
            vec![
                Label::from_static_parts(names.method, method),
                Label::new(names.endpoint, endpoint.to_owned()),
            ]
        })
    })
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
