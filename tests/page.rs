//! Scrapes and parses a page.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The samples of a page, by name and labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page(BTreeMap<(String, Labels), f64>);

type Labels = BTreeMap<String, String>;

/// Scrapes `http://addr/metrics`.
///
/// # Errors
///
/// Returns an error if there is no answer, or if its status is not 200.
pub fn scrape(addr: SocketAddr) -> anyhow::Result<Page> {
    let text = ureq::get(&format!("http://{addr}/metrics"))
        .call()?
        .body_mut()
        .read_to_string()?;
    Ok(Page::parse(&text))
}

/// Scrapes `http://addr/metrics` in the format that `accept` asks for.
///
/// # Panics
///
/// Panics if there is no answer, or if its status is not 200.
#[must_use]
pub fn scrape_as(addr: SocketAddr, accept: &str) -> Vec<u8> {
    let request = ureq::get(&format!("http://{addr}/metrics")).header("accept", accept);
    let mut response = request.call().expect("a page");
    let body = response.body_mut().with_config().limit(u64::MAX);
    body.read_to_vec().expect("a body")
}

impl Page {
    /// Parses the text format.
    ///
    /// # Panics
    ///
    /// Panics if a line is not a sample, or if a sample occurs twice.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut samples = BTreeMap::new();
        for line in text.lines() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, labels, value) =
                sample(line).unwrap_or_else(|| panic!("not a sample: {line}"));
            let before = samples.insert((name, labels), value);
            assert_eq!(before, None, "the sample occurs twice: {line}");
        }
        Self(samples)
    }

    /// Adds a sample.
    ///
    /// # Panics
    ///
    /// Panics if the page has the sample already.
    pub fn add(&mut self, name: String, labels: Labels, value: f64) {
        let sample = (name, labels);
        let before = self.0.insert(sample.clone(), value);
        assert_eq!(before, None, "the sample occurs twice: {sample:?}");
    }

    /// Returns the page without the samples whose names start with one of `starts`.
    #[must_use]
    pub fn without(mut self, starts: &[&str]) -> Self {
        let is_kept = |name: &str| !starts.iter().any(|start| name.starts_with(start));
        self.0.retain(|(name, _), _| is_kept(name));
        self
    }

    /// Returns the value of the only series of this name with at least these labels.
    ///
    /// # Panics
    ///
    /// Panics if several series match.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut matching = self.matching(name, labels);
        let first = matching.next();
        assert_eq!(matching.next(), None, "{name}{labels:?} is not one series");
        first
    }

    /// Returns the value of the series of this name with exactly these labels.
    ///
    /// # Panics
    ///
    /// Panics if there is no such series.
    #[must_use]
    pub fn exactly(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.0[&(name.to_owned(), labels.collect())]
    }

    /// Returns the sum over the series of this name with at least these labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).sum()
    }

    /// Returns the number of series of this name.
    #[must_use]
    pub fn series(&self, name: &str) -> usize {
        self.matching(name, &[]).count()
    }

    /// Returns the name, the labels and the value of each series.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Labels, f64)> {
        self.0
            .iter()
            .map(|((name, labels), value)| (name.as_str(), labels, *value))
    }

    /// Returns the labels of each series of this name.
    pub fn labels<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Labels> {
        self.0
            .keys()
            .filter(move |(found, _)| found == name)
            .map(|(_, labels)| labels)
    }

    /// Returns the labels and the value of each series of this name.
    pub fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Labels, f64)> {
        self.0
            .iter()
            .filter(move |((found, _), _)| found == name)
            .map(|((_, labels), value)| (labels, *value))
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = f64> {
        self.0
            .iter()
            .filter(move |((found, all), _)| {
                found == name
                    && labels
                        .iter()
                        .all(|(name, value)| all.get(*name).is_some_and(|found| found == value))
            })
            .map(|(_, value)| *value)
    }
}

fn sample(line: &str) -> Option<(String, Labels, f64)> {
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    // An exemplar may follow the value.
    let value = rest.split(" # {").next()?;
    Some((name.to_owned(), labels, value.trim().parse().ok()?))
}

/// Parses labels up to the closing brace. Returns them and the rest of the text.
fn labels(mut text: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next()? {
                (end, '"') => break end,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    _ => return None,
                }),
                (_, plain) => value.push(plain),
            }
        };
        let before = labels.insert(name.trim_start_matches(',').to_owned(), value);
        assert_eq!(before, None, "the label {name} occurs twice");
        text = rest[end + 1..].trim_start_matches(',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unescaped() {
        let page = Page::parse("# HELP a b\na{x=\"1\",y=\"q\\\"\\\\\\n}\"} 2\nb 3\n");
        assert_eq!(page.value("a", &[("y", "q\"\\\n}")]), Some(2.0));
        assert_eq!(page.value("b", &[]), Some(3.0));
        assert_eq!(page.value("c", &[]), None);
    }
}
