//! Parses the page of the stock recorder, which holds the application's other metrics,
//! into families, and sorts it so that the order is the same at every scrape.

use crate::recorder::label_text;
use crate::recorder::number::{Number, UnixTime};
use crate::recorder::point::{Head, HistogramPoint, Kind, Point, Series, SummaryPoint};

const COMMENT: &str = "# ";

/// One family of the stock recorder's page.
#[derive(Debug)]
pub(super) struct StockFamily<'a> {
    pub(super) name: &'a str,
    /// The HELP and TYPE lines.
    head: &'a str,
    kind: Kind,
    samples: &'a str,
}

/// Splits a page into its families, sorted by name. If two families have the same name,
/// returns only the first.
pub(super) fn families(page: &str) -> Vec<StockFamily<'_>> {
    let mut families: Vec<StockFamily<'_>> = Vec::new();
    let mut rest = page;
    while !rest.is_empty() {
        let (name, head) = head(rest);
        let end = samples_end(&rest[head.len()..]);
        if let Some(name) = name {
            families.push(StockFamily {
                name,
                head,
                kind: kind(head),
                samples: &rest[head.len()..][..end],
            });
        }
        rest = rest[head.len() + end..].trim_start_matches('\n');
    }
    families.sort_by_key(|family| family.name);
    families.dedup_by_key(|family| family.name);
    families
}

/// Returns the name of a family and its leading comments. The comments end after the
/// first TYPE line: the next comment belongs to the next family, even if this family has
/// no samples.
fn head(text: &str) -> (Option<&str>, &str) {
    let mut name = None;
    let mut length = 0;
    for line in text.split_inclusive('\n') {
        let Some(comment) = line.strip_prefix(COMMENT) else {
            break;
        };
        let mut words = comment.trim_end().splitn(3, ' ');
        let is_type = words.next() == Some("TYPE");
        name = words.next();
        length += line.len();
        if is_type {
            break;
        }
    }
    (name, &text[..length])
}

/// Returns the length of the samples, which end at an empty line or a comment.
fn samples_end(text: &str) -> usize {
    text.split_inclusive('\n')
        .take_while(|line| !line.starts_with('\n') && !line.starts_with(COMMENT))
        .map(str::len)
        .sum()
}

/// Returns the type in the last of the leading comments.
fn kind(head: &str) -> Kind {
    let line = head.lines().last().unwrap_or_default();
    match line.rsplit_once(' ').map(|(_, kind)| kind) {
        Some("counter") => Kind::Counter,
        Some("gauge") => Kind::Gauge,
        Some("histogram") => Kind::Histogram,
        Some("summary") => Kind::Summary,
        _ => Kind::Untyped,
    }
}

impl StockFamily<'_> {
    /// Calls `write` with the metadata. Unescapes the HELP text of the stock recorder first,
    /// because each format escapes it differently.
    pub(super) fn with_head(&self, write: impl FnOnce(&Head<'_>)) {
        let mut lines = self.head.lines();
        let help = lines.find_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
        let help = help.map(|(_, text)| label_text::unescape(text));
        write(&Head {
            name: self.name,
            help: help.as_deref().unwrap_or_default(),
            kind: self.kind,
        });
    }

    /// Calls `visit` with each series, sorted by labels. `started` is the time since which the
    /// stock recorder has counted.
    pub(super) fn each(&self, started: UnixTime, visit: &mut dyn FnMut(Series<'_>)) {
        let lines = self.samples.lines();
        let mut samples: Vec<Sample<'_>> = lines
            .filter_map(|line| Sample::parse(line, self.name, self.kind))
            .collect();
        // The sort is stable: the buckets of a series keep their order.
        samples.sort_by_key(|sample| sample.labels);
        let is_distribution = matches!(self.kind, Kind::Histogram | Kind::Summary);
        let of_series =
            |one: &Sample<'_>, next: &Sample<'_>| is_distribution && one.labels == next.labels;
        for samples in samples.chunk_by(of_series) {
            let Some(Sample { labels, value, .. }) = samples.first().copied() else {
                continue;
            };
            let mut visit = |started: Option<UnixTime>, point: Point<'_>| {
                visit(Series {
                    labels,
                    started,
                    point,
                });
            };
            match self.kind {
                Kind::Histogram => with_histogram(samples, |point| visit(Some(started), point)),
                Kind::Summary => with_summary(samples, |point| visit(Some(started), point)),
                // `absolute` sets a counter to any value, so it may not have been 0 when
                // the recorder started.
                Kind::Counter => visit(None, Point::counter(value)),
                Kind::Gauge => visit(None, Point::Gauge(value)),
                Kind::Info | Kind::Untyped => visit(None, Point::Untyped(value)),
            }
        }
    }
}

/// One line of the page.
#[derive(Clone, Copy, Debug)]
struct Sample<'a> {
    role: Role,
    /// The labels without braces, and without the bound of a bucket or a quantile.
    labels: &'a str,
    value: Number,
}

/// The role of a sample in its family.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    /// The value of a counter or a gauge.
    Value,
    /// A bucket or a quantile, with its bound.
    Bound(f64),
    Sum,
    Count,
}

impl<'a> Sample<'a> {
    /// Returns `None` for a line that is not a sample of the family.
    fn parse(line: &'a str, family: &str, kind: Kind) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.strip_suffix('}').unwrap_or(labels);
        let (role, labels) = role(family, name.strip_prefix(family)?, labels, kind)?;
        Some(Self {
            role,
            labels,
            value: match value.parse() {
                Ok(value) => Number::U64(value),
                Err(_) => Number::F64(value.parse().ok()?),
            },
        })
    }

    fn count(&self) -> u64 {
        match self.value {
            Number::U64(value) => value,
            other => other.to_f64() as u64,
        }
    }
}

/// Returns the role of a sample, and the labels of its series. `suffix` follows the name of
/// the family.
///
/// The stock recorder writes the bound as the last label. It omits a suffix that the name
/// already ends in: the count of a histogram `discount` is `discount`, not `discount_count`.
fn role<'a>(family: &str, suffix: &str, labels: &'a str, kind: Kind) -> Option<(Role, &'a str)> {
    let bound_label = match kind {
        Kind::Histogram => "le",
        Kind::Summary => "quantile",
        _ => return Some((Role::Value, labels)),
    };
    let role = match suffix {
        "_sum" => Role::Sum,
        "_count" => Role::Count,
        _ => match label_text::split_last(labels) {
            Some((rest, (name, bound))) if name == bound_label => {
                return Some((Role::Bound(bound.parse().ok()?), rest));
            }
            _ if family.ends_with("sum") => Role::Sum,
            _ if family.ends_with("count") => Role::Count,
            _ => return None,
        },
    };
    Some((role, labels))
}

fn with_histogram(samples: &[Sample<'_>], visit: impl FnOnce(Point<'_>)) {
    let (mut bounds, mut counts) = (Vec::new(), Vec::new());
    let mut sum = Number::U64(0);
    let mut total = 0;
    for sample in samples {
        match sample.role {
            Role::Bound(bound) => {
                bounds.push(bound);
                // The page has cumulative counts.
                counts.push(sample.count().wrapping_sub(total));
                total = sample.count();
            }
            Role::Sum => sum = sample.value,
            Role::Count | Role::Value => {}
        }
    }
    // The last bucket is `+Inf`.
    bounds.pop();
    visit(Point::Histogram(HistogramPoint {
        bounds: &bounds,
        counts,
        sum,
        native: None,
        exemplars: Vec::new(),
    }));
}

fn with_summary(samples: &[Sample<'_>], visit: impl FnOnce(Point<'_>)) {
    let mut quantiles = Vec::new();
    let mut sum = Number::U64(0);
    let mut count = 0;
    for sample in samples {
        match sample.role {
            Role::Bound(quantile) => quantiles.push((quantile, sample.value)),
            Role::Sum => sum = sample.value,
            Role::Count => count = sample.count(),
            Role::Value => {}
        }
    }
    visit(Point::Summary(SummaryPoint {
        quantiles: &quantiles,
        sum,
        count,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::encoder::Encoder;
    use crate::page::text::{Metadata, Text};

    const PAGE: &str = "\
# HELP z The last.
# TYPE z counter
z{a=\"2\"} 1
z{a=\"10\"} 5
z{a=\"1\",b=\"x # y\"} 3

# TYPE a gauge
a 1

# TYPE m histogram
m_bucket{x=\"2\",le=\"5\"} 1
m_bucket{x=\"2\",le=\"10\"} 2
m_bucket{x=\"2\",le=\"+Inf\"} 2
m_sum{x=\"2\"} 9
m_count{x=\"2\"} 2
m_bucket{x=\"1\",le=\"5\"} 0
m_bucket{x=\"1\",le=\"10\"} 0
m_bucket{x=\"1\",le=\"+Inf\"} 1
m_sum{x=\"1\"} 11
m_count{x=\"1\"} 1

# TYPE r_count summary
r_count{y=\"2\",quantile=\"0.5\"} 1
r_count_sum{y=\"2\"} 1
r_count{y=\"2\"} 1
r_count{y=\"1\",quantile=\"0.5\"} 1
r_count_sum{y=\"1\"} 1
r_count{y=\"1\"} 1

# TYPE a counter
a 2

";

    const SORTED: &str = "\
# TYPE a gauge
a 1
# TYPE m histogram
m_bucket{x=\"1\",le=\"5.0\"} 0
m_bucket{x=\"1\",le=\"10.0\"} 0
m_bucket{x=\"1\",le=\"+Inf\"} 1
m_sum{x=\"1\"} 11
m_count{x=\"1\"} 1
m_bucket{x=\"2\",le=\"5.0\"} 1
m_bucket{x=\"2\",le=\"10.0\"} 2
m_bucket{x=\"2\",le=\"+Inf\"} 2
m_sum{x=\"2\"} 9
m_count{x=\"2\"} 2
# TYPE r_count summary
r_count{y=\"1\",quantile=\"0.5\"} 1
r_count_sum{y=\"1\"} 1
r_count_count{y=\"1\"} 1
r_count{y=\"2\",quantile=\"0.5\"} 1
r_count_sum{y=\"2\"} 1
r_count_count{y=\"2\"} 1
# HELP z The last.
# TYPE z counter
z{a=\"1\",b=\"x # y\"} 3
z{a=\"10\"} 5
z{a=\"2\"} 1
";

    fn sorted(page: &str) -> String {
        let mut sorted = Vec::new();
        let mut text = Text::new(Metadata::Prometheus, false, &mut sorted);
        for family in families(page) {
            family.with_head(|head| text.family(head));
            family.each(UnixTime::now(), &mut |series| text.series(&series));
        }
        text.finish();
        String::from_utf8(sorted).expect("text")
    }

    #[test]
    fn families_and_series_are_sorted_and_buckets_are_not() {
        assert_eq!(sorted(PAGE), SORTED);
        assert_eq!(sorted(SORTED), SORTED);
    }

    #[test]
    fn labels_that_look_like_bounds_stay_labels() {
        for page in [
            "# TYPE a counter\na{user=\",le=\"} 1\na{user=\",quantile=\"} 2\n",
            "# TYPE a gauge\na{quantile=\"0.5\",queue=\"a\"} 1\na{quantile=\"0.5\",queue=\"b\"} 2\n",
            "# TYPE a counter\na{le=\"1\"} 1\na{le=\"2\"} 1\n",
            "# TYPE a histogram\n\
             a_bucket{quantile=\"0.5\",le=\"1.0\"} 1\n\
             a_bucket{quantile=\"0.5\",le=\"+Inf\"} 2\n\
             a_sum{quantile=\"0.5\"} 3\n\
             a_count{quantile=\"0.5\"} 2\n\
             a_bucket{quantile=\"0.9\",le=\"1.0\"} 0\n\
             a_bucket{quantile=\"0.9\",le=\"+Inf\"} 1\n\
             a_sum{quantile=\"0.9\"} 5\n\
             a_count{quantile=\"0.9\"} 1\n",
            "# TYPE a histogram\n\
             a_bucket{x=\",le=\",le=\"+Inf\"} 2\n\
             a_sum{x=\",le=\"} 3\n\
             a_count{x=\",le=\"} 2\n",
        ] {
            assert_eq!(sorted(page), page);
        }
    }

    #[test]
    fn any_text_comes_to_an_end() {
        for text in [
            "",
            "\n\n",
            "a 1",
            "#x\n\n# \n",
            "a 1\n# TYPE",
            "#\n#\n",
            "# HELP a b\n",
        ] {
            sorted(text);
        }
        assert_eq!(
            sorted("# TYPE b counter\n# TYPE a gauge\na 1\n")
                .lines()
                .count(),
            2,
            "a family without samples is left out"
        );
    }
}
