//! Parses the page of the stock recorder, which holds the application's other metrics,
//! into families, and sorts it so that the order is the same at every scrape.

use crate::recorder::text::{self, Head, HeadStyle};

const COMMENT: &str = "# ";

/// One family of the stock recorder's page.
#[derive(Debug)]
pub(super) struct StockFamily<'a> {
    pub(super) name: &'a str,
    /// The HELP and TYPE lines.
    head: &'a str,
    /// Whether this is a histogram or a summary, whose series have several lines each.
    is_distribution: bool,
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
                is_distribution: is_distribution(head),
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

fn is_distribution(head: &str) -> bool {
    head.lines()
        .last()
        .is_some_and(|line| line.ends_with(" histogram") || line.ends_with(" summary"))
}

impl StockFamily<'_> {
    /// Appends the family to `page`, with its series sorted.
    pub(super) fn write(&self, page: &mut String, style: HeadStyle<'_>) {
        self.write_head(page, style);
        let mut series = if self.is_distribution {
            self.distributions()
        } else {
            let lines = self.samples.split_inclusive('\n');
            lines.map(|line| (line, line)).collect()
        };
        series.sort_unstable();
        for (_, lines) in series {
            if self.is_distribution {
                lines
                    .split_inclusive('\n')
                    .for_each(|line| push_canonical(page, line));
            } else {
                page.push_str(lines);
            }
        }
    }

    /// Writes the metadata lines. Unescapes the HELP text of the stock recorder first,
    /// because each format escapes it differently.
    fn write_head(&self, page: &mut String, style: HeadStyle<'_>) {
        let line = |what: &str| {
            let lines = self.head.lines();
            let texts = lines.filter_map(move |line| line.strip_prefix("# ")?.strip_prefix(what));
            texts
                .filter_map(|text| Some(text.strip_prefix(' ')?.split_once(' ')?.1))
                .next_back()
        };
        let help = line("HELP").map(text::unescape).unwrap_or_default();
        let head = Head {
            name: self.name,
            help: &help,
            kind: line("TYPE").unwrap_or("untyped"),
        };
        head.write(page, style);
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

/// Appends the line with its bound or quantile in canonical form.
fn push_canonical(page: &mut String, line: &str) {
    let bound = BOUNDS.iter().find_map(|label| {
        let start = line.find(label)? + label.len();
        let length = line[start..].find('"')?;
        let bound: f64 = line[start..][..length].parse().ok()?;
        Some((start, start + length, bound))
    });
    match bound {
        Some((start, end, bound)) => {
            page.push_str(&line[..start]);
            page.push_str(&text::canonical(bound));
            page.push_str(&line[end..]);
        }
        None => page.push_str(line),
    }
}

/// How a label `le` or `quantile` starts. A label value cannot contain these patterns,
/// because the double quotes in it are escaped.
const BOUNDS: [&str; 4] = ["{le=\"", ",le=\"", "{quantile=\"", ",quantile=\""];

/// Whether the line has a label `le` or `quantile`.
fn has_bound(line: &str) -> bool {
    BOUNDS.iter().any(|label| line.contains(label))
}

#[cfg(test)]
mod tests {
    use super::*;

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
r_count{y=\"1\"} 1
r_count{y=\"2\",quantile=\"0.5\"} 1
r_count_sum{y=\"2\"} 1
r_count{y=\"2\"} 1
# HELP z The last.
# TYPE z counter
z{a=\"1\",b=\"x # y\"} 3
z{a=\"10\"} 5
z{a=\"2\"} 1
";

    fn sorted(page: &str) -> String {
        let mut sorted = String::new();
        for family in families(page) {
            family.write(&mut sorted, HeadStyle::Prometheus);
        }
        sorted
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
            3
        );
    }
}
