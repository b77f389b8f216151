//! Which of the page's families a metric of the application belongs to. The page
//! writes a name with `_` for each sign that Prometheus does not allow, so
//! `requests.total` meets `requests_total` there.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::diagnostics;
use crate::names;
use crate::recorder::{Families, WriteFamily};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The metric is ours: its name and its kind are.
    Ours,
    /// The page has no place for the metric: its name, or one of its samples', is
    /// that of a metric of ours or of the exporter's.
    Nowhere,
    /// Among the application's other metrics.
    Stock,
}

impl Kind {
    /// What the names of the samples end in.
    fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Histogram => &["_bucket", "_sum", "_count"],
            _ => &[],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

impl Families {
    pub(super) fn place(&self, name: &str, kind: Kind) -> Place {
        let ours = [
            (self.requests.name(), Kind::Counter),
            (self.latency.name(), Kind::Histogram),
            (self.in_progress.name(), Kind::Gauge),
        ];
        if ours
            .iter()
            .any(|(ours, of)| *of == kind && is_written_as(name, ours))
        {
            return Place::Ours;
        }
        let is_taken = |suffix: &str| {
            let mut taken = ours.iter().map(|(ours, _)| *ours).chain(names::own::ALL);
            taken.any(|taken| {
                taken
                    .strip_suffix(suffix)
                    .is_some_and(|taken| is_written_as(name, taken))
            })
        };
        let of_latency = |suffix: &&str| is_written_in_two(name, self.latency.name(), suffix);
        if is_taken("")
            || kind.suffixes().iter().any(|suffix| is_taken(suffix))
            || Kind::Histogram.suffixes().iter().any(of_latency)
        {
            Place::Nowhere
        } else {
            Place::Stock
        }
    }
}

/// Whether the page writes `name` as `written`.
pub(crate) fn is_written_as(name: &str, written: &str) -> bool {
    is_written_in_two(name, written, "")
}

/// The same for a name that comes in two parts. Allocates nothing, as it is asked
/// whenever the application uses a metric.
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

/// Says once, on stderr, that a metric of the application is missing from the page.
#[cold]
pub(super) fn report_missing(name: &str, kind: Kind) {
    /// The names an application makes up are many.
    const MOST: usize = 100;
    static REPORTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut reported = REPORTED.lock().unwrap_or_else(PoisonError::into_inner);
    if reported.len() < MOST && reported.insert(name.to_owned()) {
        diagnostics::say(format_args!(
            "the {kind} {name:?} of this application is not on the page, because that name is \
             used there by another metric; rename it, or rename the metrics of calls with \
             `.names(…)`"
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
