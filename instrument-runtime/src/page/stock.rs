//! The application's other metrics: the stock page, read into its families and
//! put in an order that stays the same from scrape to scrape.

const COMMENT: &str = "# ";

/// One family of the stock page.
#[derive(Debug)]
pub(super) struct StockFamily<'a> {
    pub(super) name: &'a str,
    /// The HELP and TYPE lines.
    head: &'a str,
    is_distribution: bool,
    samples: &'a str,
}

/// Splits a page at its families; of two with one name, the first stands.
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

/// The comments that a family begins with, and the name in them. The second
/// TYPE ends them, should a family without samples come before another.
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

/// Samples go on to an empty line or a comment.
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
    pub(super) fn write(&self, page: &mut String) {
        page.push_str(self.head);
        let mut series = if self.is_distribution {
            self.distributions()
        } else {
            let lines = self.samples.split_inclusive('\n');
            lines.map(|line| (line, line)).collect()
        };
        series.sort_unstable();
        for (_, lines) in series {
            page.push_str(lines);
        }
    }

    /// The lines of each series, whose own order counts, behind one that has
    /// its labels and no other. The buckets or quantiles come first.
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

/// A value cannot look like this: its double quotes are escaped.
fn has_bound(line: &str) -> bool {
    ["{le=\"", ",le=\"", "{quantile=\"", ",quantile=\""]
        .iter()
        .any(|label| line.contains(label))
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
m_bucket{x=\"1\",le=\"5\"} 0
m_bucket{x=\"1\",le=\"10\"} 0
m_bucket{x=\"1\",le=\"+Inf\"} 1
m_sum{x=\"1\"} 11
m_count{x=\"1\"} 1
m_bucket{x=\"2\",le=\"5\"} 1
m_bucket{x=\"2\",le=\"10\"} 2
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
            family.write(&mut sorted);
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
