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

use crate::conventions;
use crate::names::label_problem;
use crate::outcome::Protocol;
use crate::settings;

/// The head of a request, the same on every framework.
///
/// The settings of a layer, such as `skip` and `label`, get it.
pub struct RequestHead<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) header: &'a dyn Fn(&str) -> Option<&'a str>,
    pub(crate) transport: &'a dyn Fn() -> Transport<'a>,
}

/// What a layer knows about the connection of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transport<'a> {
    /// The scheme of the request's URI. `None` if the URI is only a path.
    pub(crate) scheme: Option<&'a str>,
    /// The version of HTTP.
    pub(crate) version: Option<&'static str>,
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
    ///
    /// `with_head` calls its argument with the head. Most layers have no settings, and do not
    /// build the head.
    #[inline(always)]
    pub(crate) fn labels(
        &self,
        protocol: Protocol,
        with_head: impl FnOnce(&dyn Fn(&RequestHead<'_>) -> Option<HeadLabels>) -> Option<HeadLabels>,
    ) -> Option<HeadLabels> {
        let has_transport = protocol == Protocol::Http && settings::names().has_conventions;
        if self.0.is_none() && !has_transport {
            return Some(HeadLabels::new());
        }
        with_head(&|head| self.labels_of_head(head, has_transport))
    }

    fn labels_of_head(&self, head: &RequestHead<'_>, has_transport: bool) -> Option<HeadLabels> {
        let labels = match &self.0 {
            None => HeadLabels::new(),
            Some(settings) => settings.labels(head)?,
        };
        if has_transport {
            return Some(with_transport(labels, head));
        }
        Some(labels)
    }
}

/// Adds the labels of OpenTelemetry's conventions that come from the head of an HTTP request.
#[cold]
fn with_transport(mut labels: HeadLabels, head: &RequestHead<'_>) -> HeadLabels {
    let Transport { scheme, version } = (head.transport)();
    let scheme = original_scheme(head.header)
        .or_else(|| scheme.and_then(known_scheme))
        .unwrap_or("http");
    labels.push((conventions::URL_SCHEME, scheme.into()));
    if let Some(version) = version {
        labels.push((conventions::PROTOCOL_VERSION, version.into()));
    }
    labels
}

/// Returns the scheme that the client used, as the first proxy reports it.
fn original_scheme<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<&'static str> {
    let first = |list: &'a str| list.split(',').next().map(str::trim);
    // RFC 7239: `for=192.0.2.43;proto=https, for=198.51.100.17`.
    let forwarded = header("forwarded").and_then(first).and_then(|hop| {
        let mut parameters = hop.split(';').filter_map(|pair| pair.split_once('='));
        let proto = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("proto"));
        known_scheme(proto?.1.trim().trim_matches('"'))
    });
    let by_convention = || known_scheme(header("x-forwarded-proto").and_then(first)?);
    forwarded.or_else(by_convention)
}

/// Returns the scheme if it is one of HTTP's. A client can send any scheme, so others must
/// not become label values.
fn known_scheme(scheme: &str) -> Option<&'static str> {
    let known = ["http", "https"];
    known
        .into_iter()
        .find(|known| scheme.eq_ignore_ascii_case(known))
}

/// Returns the version of HTTP as the conventions write it. A macro, because actix-web has
/// the types of another version of the crate `http`.
macro_rules! http_version {
    ($version:expr, $versions:ty) => {
        match $version {
            <$versions>::HTTP_10 => Some("1.0"),
            <$versions>::HTTP_11 => Some("1.1"),
            <$versions>::HTTP_2 => Some("2"),
            <$versions>::HTTP_3 => Some("3"),
            _ => None,
        }
    };
}

#[cfg(feature = "actix-web")]
pub(crate) use http_version;

#[cfg(feature = "tower")]
impl LayerSettings {
    /// Returns the labels of a request of the crate `http`. `None` if the request is skipped.
    #[inline]
    pub(crate) fn labels_of<B>(
        &self,
        request: &http::Request<B>,
        protocol: Protocol,
    ) -> Option<HeadLabels> {
        self.labels(protocol, |labels| {
            labels(&RequestHead {
                method: request.method().as_str(),
                path: request.uri().path(),
                header: &|name| request.headers().get(name)?.to_str().ok(),
                transport: &|| Transport {
                    scheme: request.uri().scheme_str(),
                    version: http_version!(request.version(), http::Version),
                },
            })
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_that_of_the_client() {
        for (forwarded, by_convention, scheme) in [
            (None, None, None),
            (Some("for=1.2.3.4;proto=https;by=a"), None, Some("https")),
            (
                Some("For=\"[::1]\"; Proto=\"HTTP\", proto=https"),
                Some("https"),
                Some("http"),
            ),
            (Some("for=1.2.3.4, proto=https"), None, None),
            (Some("proto=gopher"), Some("https"), Some("https")),
            (None, Some("https, http"), Some("https")),
            (None, Some("wss"), None),
            (Some(";;=,"), Some(""), None),
        ] {
            let header = |name: &str| match name {
                "forwarded" => forwarded,
                "x-forwarded-proto" => by_convention,
                _ => None,
            };
            assert_eq!(
                original_scheme(header),
                scheme,
                "{forwarded:?} {by_convention:?}"
            );
        }
    }
}
