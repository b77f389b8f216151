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

    /// Calls `visit` with each series, sorted. `started` is the time since which the stock
    /// recorder has counted.
    pub(super) fn each(&self, started: UnixTime, visit: &mut dyn FnMut(Series<'_>)) {
        let mut series = if self.is_distribution() {
            self.distributions()
        } else {
            let lines = self.samples.split_inclusive('\n');
            lines.map(|line| (line, line)).collect()
        };
        series.sort_unstable();
        for (_, lines) in series {
            let mut samples = lines
                .lines()
                .filter_map(|line| Sample::parse(line, self.name));
            let started = Some(started);
            match self.kind {
                Kind::Histogram => visit_histogram(samples, started, visit),
                Kind::Summary => visit_summary(samples, started, visit),
                _ => {
                    if let Some(Sample { labels, value, .. }) = samples.next() {
                        let point = match self.kind {
                            Kind::Counter => Point::counter(value),
                            Kind::Gauge => Point::Gauge(value),
                            _ => Point::Untyped(value),
                        };
                        visit(Series {
                            labels,
                            started,
                            point,
                        });
                    }
                }
            }
        }
    }

    /// Returns whether this is a histogram or a summary, whose series have several lines
    /// each.
    fn is_distribution(&self) -> bool {
        matches!(self.kind, Kind::Histogram | Kind::Summary)
    }

    /// Returns the lines of each series of a histogram or a summary, together with the
    /// key to sort the series by.
    ///
    /// The lines of a series keep their order: first the buckets or quantiles, then the
    /// sum and the count. The key is the first line without `le` or `quantile`, because
    /// its labels are exactly those of the series.
    fn distributions(&self) -> Vec<(&str, &str)> {
        let mut series = Vec::new();
        let (mut start, mut end) = (0, 0);
        let mut labels = None;
        for line in self.samples.split_inclusive('\n') {
            if !has_bound(line) {
                labels.get_or_insert(line);
            } else if let Some(labels) = labels.take() {
                series.push((labels, &self.samples[start..end]));
                start = end;
            }
            end += line.len();
        }
        let rest = &self.samples[start..end];
        series.push((labels.unwrap_or(rest), rest));
        series
    }
}

/// One line of the page.
#[derive(Clone, Copy, Debug)]
struct Sample<'a> {
    of: Of,
    /// The labels without braces, and without `le` or `quantile`.
    labels: &'a str,
    /// The value of `le` or `quantile`.
    bound: Option<f64>,
    value: Number,
}

/// What a sample is of a histogram or a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// The value, a bucket or a quantile.
    Value,
    Sum,
    Count,
}

impl Of {
    /// `suffix` follows the name of the family.
    ///
    /// The stock recorder omits a suffix that the name already ends in: the count of a
    /// histogram `discount` is `discount`, not `discount_count`. The page writes it.
    fn new(family: &str, suffix: &str) -> Self {
        match suffix {
            "_sum" => Self::Sum,
            "_count" => Self::Count,
            "" if family.ends_with("sum") => Self::Sum,
            "" if family.ends_with("count") => Self::Count,
            _ => Self::Value,
        }
    }
}

impl<'a> Sample<'a> {
    /// Returns `None` for a line that is not a sample of the family.
    fn parse(line: &'a str, family: &str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.strip_suffix('}').unwrap_or(labels);
        let (labels, bound) = match BOUNDS.iter().find_map(|label| labels.rfind(label)) {
            Some(at) => (&labels[..at], Some(&labels[at..])),
            None if BOUNDS.iter().any(|label| labels.starts_with(&label[1..])) => {
                ("", Some(labels))
            }
            None => (labels, None),
        };
        let bound = bound.and_then(|label| label.split('"').nth(1)?.parse().ok());
        Some(Self {
            of: Of::new(family, name.strip_prefix(family)?),
            labels,
            bound,
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

fn visit_histogram<'a>(
    samples: impl Iterator<Item = Sample<'a>>,
    started: Option<UnixTime>,
    visit: &mut dyn FnMut(Series<'_>),
) {
    let mut of_series = "";
    let (mut bounds, mut counts) = (Vec::new(), Vec::new());
    let mut sum = Number::U64(0);
    let mut total = 0;
    for sample in samples {
        of_series = sample.labels;
        match (sample.of, sample.bound) {
            (_, Some(bound)) => {
                bounds.push(bound);
                // The page has cumulative counts.
                counts.push(sample.count().wrapping_sub(total));
                total = sample.count();
            }
            (Of::Sum, None) => sum = sample.value,
            _ => {}
        }
    }
    // The last bucket is `+Inf`.
    bounds.pop();
    visit(Series {
        labels: of_series,
        started,
        point: Point::Histogram(HistogramPoint {
            bounds: &bounds,
            counts,
            sum,
            native: None,
            exemplars: Vec::new(),
        }),
    });
}

fn visit_summary<'a>(
    samples: impl Iterator<Item = Sample<'a>>,
    started: Option<UnixTime>,
    visit: &mut dyn FnMut(Series<'_>),
) {
    let mut of_series = "";
    let mut quantiles = Vec::new();
    let mut sum = Number::U64(0);
    let mut count = 0;
    for sample in samples {
        of_series = sample.labels;
        match (sample.of, sample.bound) {
            (_, Some(quantile)) => quantiles.push((quantile, sample.value)),
            (Of::Sum, None) => sum = sample.value,
            (Of::Count, None) => count = sample.count(),
            _ => {}
        }
    }
    visit(Series {
        labels: of_series,
        started,
        point: Point::Summary(SummaryPoint {
            quantiles: &quantiles,
            sum,
            count,
        }),
    });
}

/// How a label `le` or `quantile` starts after another label. The stock recorder writes it
/// last. A label value cannot contain these patterns, because the double quotes in it are
/// escaped.
const BOUNDS: [&str; 2] = [",le=\"", ",quantile=\""];

/// Whether the line has a label `le` or `quantile`.
fn has_bound(line: &str) -> bool {
    BOUNDS
        .iter()
        .any(|label| line.contains(label) || line.contains(&label.replace(',', "{")))
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
