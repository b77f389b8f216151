//! The settings that all layers share, and [`RequestHead`], which the settings get.

#![cfg_attr(
    not(feature = "_layer"),
    allow(
        dead_code,
        unused_imports,
        unused_macros,
        unreachable_pub,
        reason = "used by layers only"
    )
)]

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::names::label_problem;
use crate::settings;

/// The head of a request, the same on every framework.
///
/// The settings of a layer, such as `skip` and `label`, get it.
pub struct RequestHead<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) header: &'a dyn Fn(&str) -> Option<&'a str>,
}

impl<'a> RequestHead<'a> {
    /// Returns the method, such as `GET`.
    #[must_use]
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// Returns the path, without the query.
    ///
    /// In a nested router, it is the path that the layer sees.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// Returns the first value of a header. `None` if the header is missing, or if its value
    /// is not visible ASCII text. The case of `name` does not matter.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        (self.header)(name)
    }
}

impl fmt::Debug for RequestHead<'_> {
    /// Leaves the headers out: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The labels of a request that come from its head: names and values.
pub(crate) type HeadLabels = Vec<(&'static str, Cow<'static, str>)>;

type Skip = dyn Fn(&RequestHead<'_>) -> bool + Send + Sync;
type Value = dyn Fn(&RequestHead<'_>) -> Cow<'static, str> + Send + Sync;

/// The settings of a layer. Without any, it is empty, and a request pays one comparison.
#[derive(Clone, Default)]
pub(crate) struct LayerSettings(Option<Arc<Settings>>);

#[derive(Clone, Default)]
struct Settings {
    skip: Vec<Arc<Skip>>,
    labels: Vec<(&'static str, Arc<Value>)>,
}

impl LayerSettings {
    fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        change(Arc::make_mut(self.0.get_or_insert_default()));
    }

    pub(crate) fn skip(&mut self, skip: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static) {
        self.change(|settings| settings.skip.push(Arc::new(skip)));
    }

    /// # Panics
    ///
    /// Panics if the name cannot be that of a label.
    pub(crate) fn label<V: Into<Cow<'static, str>>>(
        &mut self,
        name: &'static str,
        value: impl Fn(&RequestHead<'_>) -> V + Send + Sync + 'static,
    ) {
        if let Some(problem) = label_problem(name, settings::names()) {
            panic!("the label `{name}` of a layer {problem}");
        }
        self.change(|settings| {
            let is_other = |(other, _): &(&str, _)| *other != name;
            settings.labels.retain(is_other);
            settings
                .labels
                .push((name, Arc::new(move |head| value(head).into())));
        });
    }

    /// Returns the labels of a request. `None` if the request is skipped.
    #[inline]
    pub(crate) fn labels(&self, head: &RequestHead<'_>) -> Option<HeadLabels> {
        match &self.0 {
            None => Some(Vec::new()),
            Some(settings) => settings.labels(head),
        }
    }
}

impl Settings {
    fn labels(&self, head: &RequestHead<'_>) -> Option<HeadLabels> {
        if self.skip.iter().any(|skip| skip(head)) {
            return None;
        }
        let labels = self.labels.iter();
        Some(labels.map(|(name, value)| (*name, value(head))).collect())
    }
}

impl fmt::Debug for LayerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.0.iter().flat_map(|settings| &settings.labels);
        let labels: Vec<&str> = labels.map(|(name, _)| *name).collect();
        f.debug_struct("LayerSettings")
            .field(
                "skips",
                &self.0.as_ref().map_or(0, |settings| settings.skip.len()),
            )
            .field("labels", &labels)
            .finish()
    }
}

/// Gives a layer the methods that change its settings. `$settings` is the field.
macro_rules! layer_settings {
    ($layer:ty, $($settings:tt)+) => {
        impl $layer {
            /// Does not count the requests for which `skip` returns `true`.
            ///
            /// With several calls, a request is skipped if one of them returns `true`. An
            /// annotated function that handles a skipped request is still counted, by
            /// itself.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[cfg(feature = "tower")] {
            /// # let layer = instrument_runtime::tower::layer();
            /// layer.skip(|head| head.path() == "/health")
            /// # ;
            /// # }
            /// ```
            #[must_use]
            pub fn skip(
                mut self,
                skip: impl Fn(&crate::RequestHead<'_>) -> bool + Send + Sync + 'static,
            ) -> Self {
                self.$($settings)+.skip(skip);
                self
            }

            /// Adds a label to the series of every request, with a value from its head.
            ///
            /// Each call adds a label. A label of the same name that the handler's attribute
            /// gives (`labels(…)`) takes its place. An empty value leaves the label out.
            ///
            /// Clients choose the head. The number of series is bounded by
            /// [`max_series`](crate::Builder::max_series), but beyond that bound new series are
            /// counted together, so prefer a small, fixed set of values.
            ///
            /// # Panics
            ///
            /// Panics if `name` is not a label name, or if it is a name that the exporter
            /// itself sets, such as `method`.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[cfg(feature = "tower")] {
            /// # let layer = instrument_runtime::tower::layer();
            /// layer.label("tenant", |head| match head.header("x-tenant") {
            ///     Some("acme") => "acme",
            ///     Some("umbrella") => "umbrella",
            ///     _ => "other",
            /// })
            /// # ;
            /// # }
            /// ```
            #[must_use]
            pub fn label<V: Into<std::borrow::Cow<'static, str>>>(
                mut self,
                name: &'static str,
                value: impl Fn(&crate::RequestHead<'_>) -> V + Send + Sync + 'static,
            ) -> Self {
                self.$($settings)+.label(name, value);
                self
            }
        }
    };
}

pub(crate) use layer_settings;
