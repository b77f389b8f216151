//! [`CallSite`]: the static of one annotated function, with its labels and the cached
//! handles of its series.

use std::fmt::{self, Display};
use std::sync::{Arc, LazyLock, OnceLock};

use metrics::Label;

use crate::call::by_values::{ByValues, Values};
use crate::call::counted::{Counted, Subject, UNMATCHED};
use crate::call::head::HeadLabels;
use crate::call::series::{Series, SeriesRef};
use crate::call::{global, hints};
use crate::conventions;
use crate::names::{MetricNames, label};
use crate::objective::Objective;
use crate::outcome::{Outcome, Protocol};
use crate::settings;

/// Whether a function may be the handler of the request in which it is called. Its
/// *names* are its method and its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The function is the handler if its names match the request, or by evidence.
    Open,
    /// The function is the handler only if its names match the request. On tonic,
    /// evidence counts too.
    Helper,
    /// The function is the handler, because its attribute says so.
    Handler,
    /// The function is not the handler, because of its attribute or its signature.
    Never,
}

/// The static of one annotated function.
///
/// Everything in it is known at compile time, except the cached handles.
#[derive(Debug)]
pub struct CallSite {
    /// The module, if the function's path is the endpoint. Empty if an endpoint was
    /// given.
    module: &'static str,
    /// The name of the function, or the endpoint that was given.
    name: &'static str,
    method: &'static str,
    literal_labels: &'static [(&'static str, &'static str)],
    dynamic_labels: &'static [&'static str],
    objectives: &'static [Objective],
    role: Role,
    /// The cached series of a function without dynamic labels.
    ///
    /// The caches are behind pointers, so that a static takes little space in the binary.
    plain: OnceLock<Box<Series>>,
    tables: OnceLock<Box<Tables>>,
}

/// The cached series of a function that has several label sets.
#[derive(Debug, Default)]
struct Tables {
    by_values: OnceLock<ByValues>,
    /// By the method and the endpoint of the request, then by the values of the labels.
    of_requests: OnceLock<ByValues>,
}

#[allow(
    clippy::declare_interior_mutable_const,
    reason = "the constants are copied before use"
)]
impl CallSite {
    /// Constants, so that the compiler evaluates them once and not for every handler.
    const NO_SERIES: OnceLock<Box<Series>> = OnceLock::new();
    const NO_TABLES: OnceLock<Box<Tables>> = OnceLock::new();

    /// Creates the site of a function whose endpoint was given.
    ///
    /// The path of the function is not needed then, and does not get into the binary.
    /// There is no label `method` if `method` is empty.
    #[must_use]
    pub const fn of_endpoint(endpoint: &'static str, method: &'static str) -> Self {
        // The macro checks a literal. The value of a constant is known only here.
        assert!(
            !endpoint.is_empty(),
            "`endpoint` is empty: write a path, or leave `endpoint` out to use the function's path"
        );
        Self::of_function("", endpoint, method)
    }

    /// Creates the site of a function whose path is its endpoint.
    ///
    /// `module` is `module_path!()`. `function` is the name of the function; in an
    /// annotated `impl` block it is `Type::function`.
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
            objectives: &[],
            role: Role::Open,
            plain: Self::NO_SERIES,
            tables: Self::NO_TABLES,
        }
    }

    /// Sets the function's own labels: the labels with literal values, and the names of
    /// the labels whose values come with each call.
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

    /// Sets the objectives that calls of the function must meet.
    #[must_use]
    pub const fn must_meet(mut self, objectives: &'static [Objective]) -> Self {
        self.objectives = objectives;
        self
    }

    /// Marks a function that no framework but tonic can call with a request (for example,
    /// because it takes an argument by reference), or whose endpoint is not a path.
    #[must_use]
    pub const fn helper(mut self) -> Self {
        self.role = Role::Helper;
        self
    }

    /// Marks a function that is never a handler: `handler = false`, and middleware.
    #[must_use]
    pub const fn never_a_handler(mut self) -> Self {
        self.role = Role::Never;
        self
    }

    /// Marks a function that is a handler: the argument `handler`.
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

    /// Returns the method, or an empty string if none is known.
    pub(crate) fn method(&self) -> &'static str {
        self.method
    }

    /// Returns the endpoint, if one was given.
    pub(crate) fn endpoint(&self) -> Option<&'static str> {
        self.has_endpoint().then_some(self.name)
    }

    /// Returns whether the attribute gives the function a method or an endpoint.
    pub(crate) fn is_named(&self) -> bool {
        self.has_method() || self.has_endpoint()
    }

    pub(crate) fn has_labels(&self) -> bool {
        !(self.literal_labels.is_empty() && self.dynamic_labels.is_empty())
    }

    /// Returns whether all labels of the function are known at compile time, with a method and
    /// an endpoint.
    fn is_known(&self) -> bool {
        self.has_method() && self.has_endpoint() && !self.has_labels()
    }

    pub(crate) fn objectives(&self) -> &'static [Objective] {
        self.objectives
    }

    /// Returns whether a layer may count a call with another method or endpoint than a call by
    /// itself has.
    pub(crate) fn may_differ_in_a_request(&self) -> bool {
        !(self.has_method() && self.has_endpoint())
    }

    /// Returns the labels with which the first page shows the objectives, if requests may have
    /// others.
    pub(crate) fn guesses(&self) -> Vec<Vec<Label>> {
        if self.may_differ_in_a_request() {
            self.counted(&Values::EMPTY).of_objective().collect()
        } else {
            Vec::new()
        }
    }

    /// Returns the series of a call that is counted by itself.
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

    /// Returns the cached series of a call without dynamic labels. `None` if the current
    /// recorder is not our own. `first` runs before the series is created.
    #[inline]
    pub(crate) fn kept_series(&'static self, first: impl FnOnce()) -> Option<&'static Series> {
        if global::is_ours() {
            self.plain(first)
        } else {
            None
        }
    }

    /// Returns an uncached series, for one call without dynamic labels.
    #[cold]
    pub(crate) fn own_series(&self) -> SeriesRef {
        hints::call_elsewhere(self);
        SeriesRef::Own(Arc::new(Series::of_current(self.counted(&Values::EMPTY))))
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
        let series = Series::of_ours(self.counted(&Values::EMPTY))?;
        let series = self.plain.get_or_init(|| Box::new(series));
        series.show_objectives(self.objectives, Vec::new);
        Some(series)
    }

    fn series_of(&'static self, values: &Values) -> SeriesRef {
        let by_values = &self.tables().by_values;
        let series = by_values.get_or_init(ByValues::default).series(values, || {
            hints::call_elsewhere(self);
            self.counted(values)
        });
        series.show_objectives(self.objectives, Vec::new);
        series
    }

    /// Creates the series in our own recorder with the value 0. Of the possible ends,
    /// only the end of most calls is included (status 200).
    pub(crate) fn show_zeros(&'static self) {
        // Not cached, so that `first_plain` still notices the first call.
        if let Some(series) = Series::of_ours(self.counted(&Values::EMPTY)) {
            series.expect(Outcome::HttpStatus(200).end());
        }
    }

    /// Returns the series of a request whose handler is a call of this function. `route`
    /// is the route that the framework matched.
    ///
    /// OpenTelemetry's conventions want the route of the framework. Otherwise, the endpoint
    /// of the function's attribute takes its place.
    pub(crate) fn series_of_request(
        &'static self,
        protocol: Protocol,
        method: &'static str,
        route: Option<&str>,
        values: Option<&Values>,
        labels: &HeadLabels,
    ) -> SeriesRef {
        let path;
        let has_conventions = settings::names().has_conventions;
        let endpoint = match route {
            Some(route) if has_conventions => route,
            _ if self.has_endpoint() => self.name,
            Some(route) => route,
            None if has_conventions => UNMATCHED,
            None => {
                path = self.path();
                &path
            }
        };
        if self.literal_labels.is_empty() && values.is_none() {
            return series_of_route(protocol, method, endpoint, labels);
        }
        let none = Values::EMPTY;
        let values = values.unwrap_or(&none);
        let of_requests = self.tables().of_requests.get_or_init(ByValues::default);
        let fill = |key: &mut Values| fill_key(key, method, endpoint, values.iter(), labels);
        Values::filled(fill, |key| {
            of_requests.series(key, || {
                let Counted { subject, labels } =
                    counted_request(protocol, method, endpoint, labels);
                Counted {
                    subject,
                    labels: self.with_own_labels(labels, values),
                }
            })
        })
    }

    fn tables(&'static self) -> &'static Tables {
        self.tables.get_or_init(Box::default)
    }

    #[cold]
    fn counted(&self, values: &Values) -> Counted {
        self.counted_as(settings::names(), values)
    }

    fn counted_as(&self, names: &MetricNames, values: &Values) -> Counted {
        let is_handler = self.has_endpoint() || self.role == Role::Handler;
        let subject = Subject::of_calls(names, self.has_method(), is_handler);
        // Room for method, endpoint and scheme, and for the two or three labels that come
        // with the end.
        let mut labels = Vec::with_capacity(6 + self.literal_labels.len() + values.len());
        if self.has_method() {
            labels.push(Label::from_static_parts(label::METHOD, self.method));
        }
        if subject == Subject::Http {
            // The scheme is required. Without a layer, it is not known.
            labels.push(Label::from_static_parts(conventions::URL_SCHEME, "http"));
        }
        if self.has_endpoint() {
            labels.push(Label::from_static_parts(label::ENDPOINT, self.name));
        } else if subject != Subject::Http {
            // The path of a function is not a route.
            labels.push(Label::new(label::ENDPOINT, self.path()));
        }
        Counted {
            subject,
            labels: self.with_own_labels(labels, values),
        }
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

    /// Returns `module::path::function`, without the name of the crate.
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

/// Writes the name of the function for messages: the method, and the endpoint or the
/// path.
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

/// An annotated function that has objectives, or whose endpoint and method were given and that
/// has no labels of its own. `inventory` collects these from the whole program.
#[derive(Clone, Copy, Debug)]
pub struct Known(pub &'static CallSite);

inventory::collect!(Known);

/// Returns the objectives of all functions in the program, each with its function and the
/// labels of its calls. A layer may count the calls with other labels.
pub(crate) fn objectives(
    names: &MetricNames,
) -> impl Iterator<Item = (&'static CallSite, Vec<Vec<Label>>, &'static Objective)> {
    inventory::iter::<Known>
        .into_iter()
        .flat_map(move |Known(site)| {
            site.objectives().iter().map(move |objective| {
                let counted = site.counted_as(names, &Values::EMPTY);
                (*site, counted.of_objective().collect(), objective)
            })
        })
}

/// Creates the series of every [`Known`] function with zeros, if all its labels are known.
///
/// `rate()` and `increase()` need a sample before the first request; otherwise they miss
/// the jump from no series to 1.
///
/// Not with OpenTelemetry's conventions: the scheme and the protocol version of a request
/// are labels, and are not known before.
pub(crate) fn show_zeros() {
    if settings::names().has_conventions {
        return;
    }
    for Known(site) in inventory::iter::<Known> {
        if site.is_known() {
            site.show_zeros();
        }
    }
}

/// The series of requests whose handler has no labels of its own or is not annotated.
static BY_METHOD_AND_ENDPOINT: LazyLock<ByValues> = LazyLock::new(ByValues::default);

/// Returns the series of a request by its method and endpoint.
///
/// `endpoint` must have bounded cardinality: a route pattern, never a raw path.
pub(crate) fn series_of_route(
    protocol: Protocol,
    method: &'static str,
    endpoint: &str,
    labels: &HeadLabels,
) -> SeriesRef {
    let none = std::iter::empty;
    let fill = |key: &mut Values| fill_key(key, method, endpoint, none(), labels);
    Values::filled(fill, |key| {
        BY_METHOD_AND_ENDPOINT.series(key, || {
            hints::layer_counts();
            counted_request(protocol, method, endpoint, labels)
        })
    })
}

/// Adds what identifies the series of a request. `own` are the values of its handler's own
/// labels.
#[inline]
fn fill_key<'a>(
    key: &mut Values,
    method: &str,
    endpoint: &str,
    own: impl Iterator<Item = &'a str>,
    labels: &HeadLabels,
) {
    key.push(method);
    key.push(endpoint);
    for value in own {
        key.push(value);
    }
    for (name, value) in labels {
        key.push(name);
        key.push(value);
    }
}

/// Returns what the series of a request counts, without the labels of its handler.
fn counted_request(
    protocol: Protocol,
    method: &'static str,
    endpoint: &str,
    labels: &HeadLabels,
) -> Counted {
    let mut all = vec![
        Label::from_static_parts(label::METHOD, method),
        Label::new(label::ENDPOINT, endpoint.to_owned()),
    ];
    all.extend(of_head(labels));
    Counted {
        subject: Subject::of_requests(protocol),
        labels: all,
    }
}

/// Converts the labels that come from the head of a request.
fn of_head(labels: &HeadLabels) -> impl Iterator<Item = Label> {
    labels
        .iter()
        .map(|(name, value)| Label::new(*name, value.clone()))
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
