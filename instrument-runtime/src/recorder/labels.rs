//! From a key's labels to their text, which is also what identifies a series: two
//! label sets have the same text only if Prometheus takes them for the same.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use metrics::Key;

use crate::recorder::text;

/// Bytes of a label value. A longer one is cut there and ends in a hash of the
/// whole, so that a caller's text bounds neither the page nor the memory, and
/// different values stay different.
const LONGEST_VALUE: usize = 256;

/// The one series past the bound; no key has this label.
const OVERFLOW: &str = "overflow=\"true\"";

/// The labels of one series, as text without braces. Two sets are equal if the page
/// shows the same labels for both: a label of the key that only repeats a global one
/// is in `globals` alone, and an empty value is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LabelSet {
    /// The key's, by name.
    pub(super) own: Box<str>,
    /// The global labels beside them, where the key overrides some of them. `None`
    /// is all of them.
    pub(super) globals: Option<Box<str>>,
}

/// The labels on every series.
#[derive(Debug)]
pub(super) struct GlobalLabels {
    labels: Vec<(String, String)>,
    text: String,
}

impl GlobalLabels {
    pub(super) fn new(labels: &[(String, String)]) -> Self {
        Self {
            labels: labels.to_vec(),
            text: write(labels.iter().map(|(name, value)| (&**name, value.into()))),
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn value(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(global, _)| global == name);
        found.map(|(_, value)| &**value)
    }

    /// The text without the labels of these names, if there are any of them.
    fn without(&self, own: &[(&str, Cow<'_, str>)]) -> Option<Box<str>> {
        let is_own = |name: &str| own.iter().any(|(own, _)| *own == name);
        if !self.labels.iter().any(|(name, _)| is_own(name)) {
            return None;
        }
        let rest = self.labels.iter().filter(|(name, _)| !is_own(name));
        Some(write(rest.map(|(name, value)| (&**name, value.into()))).into())
    }
}

impl LabelSet {
    /// Labels that no page could show are left out. Of two with one name the
    /// last one counts. A label of the key overrides a global one of its name, also
    /// with an empty value, which to Prometheus is no label.
    pub(super) fn of(key: &Key, globals: &GlobalLabels) -> Self {
        let mut own: Vec<(&str, Cow<'_, str>)> = key
            .labels()
            .filter(|label| is_allowed(label.key()))
            .map(|label| (label.key(), cut(label.value())))
            .collect();
        own.sort_by_key(|(name, _)| *name);
        own.dedup_by(|next, kept| {
            let again = next.0 == kept.0;
            if again {
                std::mem::swap(kept, next);
            }
            again
        });
        own.retain(|(name, value)| globals.value(name) != Some(value));
        let globals = globals.without(&own);
        own.retain(|(_, value)| !value.is_empty());
        Self {
            own: write(own.into_iter()).into(),
            globals,
        }
    }

    pub(super) fn overflow() -> Self {
        Self {
            own: OVERFLOW.into(),
            globals: None,
        }
    }
}

/// The grammar, without what the page itself writes or Prometheus keeps.
fn is_allowed(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with("__")
        && !matches!(name, "le" | "quantile" | "overflow")
}

fn write<'a>(labels: impl Iterator<Item = (&'a str, Cow<'a, str>)>) -> String {
    let mut written = String::with_capacity(128);
    for (name, value) in labels {
        if !written.is_empty() {
            written.push(',');
        }
        written.push_str(name);
        written.push_str("=\"");
        text::escape_label_value(&mut written, &value);
        written.push('"');
    }
    written
}

/// What is cut is longer than anything that is not, so the two never meet.
fn cut(value: &str) -> Cow<'_, str> {
    if value.len() <= LONGEST_VALUE {
        return value.into();
    }
    // Without a seed, so that a series keeps its name over a restart.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    let mut end = LONGEST_VALUE;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…{:016x}", &value[..end], hasher.finish()).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use metrics::Label;

    use super::*;

    fn no_globals() -> GlobalLabels {
        GlobalLabels::new(&[])
    }

    fn own(labels: &[(&'static str, &str)]) -> String {
        let labels: Vec<Label> = labels
            .iter()
            .map(|(name, value)| Label::new(*name, (*value).to_owned()))
            .collect();
        let key = Key::from_parts("name", labels);
        LabelSet::of(&key, &no_globals()).own.into()
    }

    #[test]
    fn the_order_of_the_labels_does_not_matter() {
        assert_eq!(own(&[("b", "2"), ("a", "1")]), r#"a="1",b="2""#);
        assert_eq!(own(&[("a", "1"), ("b", "2")]), r#"a="1",b="2""#);
    }

    #[test]
    fn the_last_of_two_labels_with_one_name_counts() {
        assert_eq!(
            own(&[("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")]),
            r#"a="4",b="2""#
        );
    }

    #[test]
    fn labels_that_no_page_can_show_are_left_out() {
        let names = [
            "", "1st", "a-b", "é", "__a", "le", "quantile", "overflow", "a b", "a\n",
        ];
        for name in names {
            assert_eq!(own(&[(name, "x"), ("a", "1")]), r#"a="1""#, "{name:?}");
        }
        assert_eq!(own(&[("_", "x")]), r#"_="x""#);
    }

    #[test]
    fn an_own_label_stands_in_for_a_global_one() {
        let globals = GlobalLabels::new(&[
            ("app_name".to_owned(), "a\"b".to_owned()),
            ("region".to_owned(), "eu".to_owned()),
        ]);
        assert_eq!(globals.text(), r#"app_name="a\"b",region="eu""#);
        let key = Key::from_parts("name", vec![Label::new("region", "us")]);
        let set = LabelSet::of(&key, &globals);
        assert_eq!(&*set.own, r#"region="us""#);
        assert_eq!(set.globals.as_deref(), Some(r#"app_name="a\"b""#));
        let set = LabelSet::of(&Key::from_name("name"), &globals);
        assert_eq!(set.globals, None);
    }

    #[test]
    fn sets_that_the_page_shows_alike_are_equal() {
        let globals = [("app_name", "shop"), ("region", "eu"), ("zone", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let globals = GlobalLabels::new(&globals);
        let set = |labels: &[(&'static str, &'static str)]| {
            let labels: Vec<Label> = labels
                .iter()
                .map(|(name, value)| Label::new(*name, *value))
                .collect();
            LabelSet::of(&Key::from_parts("name", labels), &globals)
        };
        let plain = set(&[("endpoint", "/a")]);
        for same in [
            &[("region", "eu"), ("endpoint", "/a")][..],
            &[("endpoint", "/a"), ("tenant", "")],
            &[("endpoint", "/a"), ("zone", "")],
            &[("region", "us"), ("endpoint", "/a"), ("region", "eu")],
        ] {
            assert_eq!(set(same), plain, "{same:?}");
        }
        let others = [
            set(&[("endpoint", "/a"), ("region", "us")]),
            set(&[("endpoint", "/a"), ("region", "")]),
            set(&[("endpoint", "/a"), ("zone", "b")]),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(*other, plain);
            assert!(!others[..index].contains(other));
        }
        assert_eq!(&*others[1].own, r#"endpoint="/a""#);
        let rest = r#"app_name="shop",zone="""#;
        assert_eq!(others[1].globals.as_deref(), Some(rest));
    }

    #[test]
    fn different_values_are_never_one() {
        let long = "x".repeat(LONGEST_VALUE);
        let megabyte = "é".repeat(500_000);
        let other_end = format!("{megabyte}!");
        let values = [
            // Without the label, as Prometheus sees it.
            "",
            "a\"b",
            "a\\\"b",
            "a\\b",
            "a\\\\b",
            "a\nb",
            "a\\nb",
            "a\rb",
            "a\0b",
            "ab",
            "a,b",
            "a\",b=\"c",
            "{}",
            "\u{202e}ab",
            "…",
            &long,
            "x\u{2066}",
            &megabyte,
            &other_end,
        ];
        let longer = format!("{long}y");
        let cut_by_hand = cut(&longer).into_owned();
        let all = values
            .into_iter()
            .chain([longer.as_str(), cut_by_hand.as_str()]);
        let mut texts = HashSet::new();
        for value in all {
            let text = own(&[("a", value)]);
            assert!(text.len() < 2 * LONGEST_VALUE, "{} bytes", text.len());
            assert!(!text.contains('\n'));
            assert!(texts.insert(text), "merged: {value:.20}");
        }
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        // Three bytes each: the 86th lies across the bound.
        let value = "語".repeat(100);
        let text = cut(&value);
        let (kept, hash) = text.split_once('…').expect("a mark");
        assert_eq!(kept, "語".repeat(85));
        assert_eq!(hash.len(), 16);
        assert_eq!(cut(&value), text);
        assert_eq!(cut(&value[..255]), value[..255]);
    }
}
