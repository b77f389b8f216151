//! Decides which recorder a metric belongs to, by its name on the page.
//!
//! The page replaces each character of a name that Prometheus does not allow with `_`.
//! So `requests.total` and `requests_total` are the same metric there.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::diagnostics;
use crate::names;
use crate::recorder::point::Kind;
use crate::recorder::{Families, ReadFamily};

/// The kind of a metric, as registered through the facade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// Where a metric is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In our families: its name and its kind are those of one of the call metrics.
    Ours,
    /// Not stored: its name, or the name of one of its samples, collides with one of the
    /// call metrics or with one of the exporter's own metrics.
    Nowhere,
    /// In the stock recorder.
    Stock,
}

impl MetricKind {
    /// Returns the suffixes of the sample names of a metric of this kind.
    fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Histogram => &["_bucket", "_sum", "_count"],
            _ => &[],
        }
    }
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

impl MetricKind {
    fn of(family: &dyn ReadFamily) -> Self {
        match family.kind() {
            Kind::Counter => Self::Counter,
            Kind::Histogram => Self::Histogram,
            _ => Self::Gauge,
        }
    }
}

impl Families {
    /// Returns the names and the kinds of the families.
    fn names(&self) -> impl Iterator<Item = (&str, MetricKind)> {
        self.families()
            .map(|family| (family.name(), MetricKind::of(family)))
    }

    /// Returns where the metric with this name and kind is stored.
    pub(super) fn place(&self, name: &str, kind: MetricKind) -> Place {
        let is_ours = |family: &dyn ReadFamily| {
            MetricKind::of(family) == kind && is_written_as(name, family.name())
        };
        if self.open_families().any(is_ours) {
            return Place::Ours;
        }
        let is_taken = |suffix: &str| {
            let mut taken = self
                .names()
                .map(|(ours, _)| ours)
                .chain(names::own::ALL.iter().copied());
            taken.any(|taken| {
                taken
                    .strip_suffix(suffix)
                    .is_some_and(|taken| is_written_as(name, taken))
            })
        };
        let is_sample = |(ours, of): (&str, MetricKind)| {
            let mut suffixes = of.suffixes().iter();
            suffixes.any(|suffix| is_written_in_two(name, ours, suffix))
        };
        if name.is_empty()
            || is_taken("")
            || kind.suffixes().iter().any(|suffix| is_taken(suffix))
            || self.names().any(is_sample)
        {
            Place::Nowhere
        } else {
            Place::Stock
        }
    }
}

/// Returns whether the page writes `name` as `written`.
pub(crate) fn is_written_as(name: &str, written: &str) -> bool {
    is_written_in_two(name, written, "")
}

/// Returns whether the page writes `name` as `first` followed by `rest`. Does not
/// allocate, because it runs whenever the application registers a metric.
fn is_written_in_two(name: &str, first: &str, rest: &str) -> bool {
    let mut signs = name.chars().enumerate().map(|(index, sign)| {
        let is_allowed = sign.is_ascii_alphabetic()
            || matches!(sign, '_' | ':')
            || index > 0 && sign.is_ascii_digit();
        if is_allowed { sign } else { '_' }
    });
    let mut written = first.chars().chain(rest.chars());
    written.all(|sign| signs.next() == Some(sign)) && signs.next().is_none()
}

/// Reports on stderr that a metric of the application is not on the page, once per name.
#[cold]
pub(super) fn report_missing(name: &str, kind: MetricKind) {
    /// The maximum number of messages. Without a limit, an application that generates
    /// names would fill the log.
    const MOST: usize = 100;
    static REPORTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut reported = REPORTED.lock().unwrap_or_else(PoisonError::into_inner);
    if reported.len() < MOST && reported.insert(name.to_owned()) {
        diagnostics::say(format_args!(
            "the {kind} {name:?} of this application is not on the page, because its name or one \
             of its sample names is already used there. Rename the {kind}; if it collides with a \
             call metric, you can rename that metric with `Builder::names` instead"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_the_page_writes_them() {
        for (name, written) in [
            ("requests_total", "requests_total"),
            ("requests.total", "requests_total"),
            ("requests–total", "requests_total"),
            ("1:a1", "_:a1"),
        ] {
            assert!(is_written_as(name, written), "{name}");
            assert_eq!(
                metrics_exporter_prometheus::formatting::sanitize_metric_name(name),
                written
            );
        }
        for name in ["", "requests_tota", "requests_totals", "requests..total"] {
            assert!(!is_written_as(name, "requests_total"), "{name}");
        }
    }
}
