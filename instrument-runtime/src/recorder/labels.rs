//! Converts the labels of a key to the text on the page.
//!
//! The text also identifies the series: two label sets have the same text exactly if
//! Prometheus regards them as equal.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use metrics::Key;

use crate::recorder::label_text;

/// The maximum length of a label value in bytes. A longer value is truncated, and a hash
/// of the whole value is appended. The limit bounds the size of the page and the memory
/// use. The hash keeps different values distinct (up to collisions of a 64-bit hash).
const LONGEST_VALUE: usize = 256;

/// The label of the overflow series. No key can have it: see [`is_allowed`].
const OVERFLOW: &str = "overflow=\"true\"";

/// The labels of one series, as text without braces.
///
/// Two sets are equal if the page shows the same labels for both. So a label of the key
/// that repeats a global label is left out of `own`, and so is a label with an empty
/// value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LabelSet {
    /// The labels of the key, sorted by name.
    pub(super) own: Box<str>,
    /// The global labels that the key does not override. `None` stands for all global
    /// labels.
    pub(super) globals: Option<Box<str>>,
}

/// The labels that every series has, unless its key overrides them.
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

    /// Returns the text of all global labels, without braces.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn value(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(global, _)| global == name);
        found.map(|(_, value)| &**value)
    }

    /// Returns the text of the global labels that `own` does not override, or `None` if
    /// `own` overrides no global label.
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
    /// Returns the labels of a series with this key.
    ///
    /// Labels with a name that is not allowed are left out. If a name occurs twice, the
    /// last label wins. A label of the key overrides the global label of the same name.
    /// An empty value removes the global label, because Prometheus treats a label with
    /// an empty value as absent.
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

    /// Adds a label after the others. The value must not need escaping.
    ///
    /// For labels that no key can have, such as `le`.
    pub(super) fn with_last(self, name: &str, value: &str) -> Self {
        let mut own = self.own.into_string();
        if !own.is_empty() {
            own.push(',');
        }
        own.push_str(&format!("{name}=\"{value}\""));
        Self {
            own: own.into(),
            globals: self.globals,
        }
    }

    /// Appends the text of all labels, global labels first, without braces.
    pub(super) fn push_text(&self, text: &mut String, globals: &GlobalLabels) {
        text.push_str(self.globals.as_deref().unwrap_or(globals.text()));
        if !text.is_empty() && !self.own.is_empty() {
            text.push(',');
        }
        text.push_str(&self.own);
    }

    /// Returns the labels of the overflow series.
    pub(super) fn overflow() -> Self {
        Self {
            own: OVERFLOW.into(),
            globals: None,
        }
    }
}

/// Returns whether a key may have a label of this name. Refuses:
///
/// - names that do not match Prometheus's grammar for label names,
/// - names that start with `__`, which Prometheus reserves,
/// - the label names that the page itself writes.
fn is_allowed(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with("__")
        && !matches!(name, "le" | "quantile" | "overflow")
}

/// Writes labels as `name="value"`, separated by commas.
fn write<'a>(labels: impl Iterator<Item = (&'a str, Cow<'a, str>)>) -> String {
    let mut written = String::with_capacity(128);
    for (name, value) in labels {
        if !written.is_empty() {
            written.push(',');
        }
        written.push_str(name);
        written.push_str("=\"");
        label_text::push_value(&mut written, &value);
        written.push('"');
    }
    written
}

/// Truncates a label value that is longer than [`LONGEST_VALUE`]. With the hash, the
/// result is again longer than `LONGEST_VALUE`, so it never equals a value that was not
/// truncated.
fn cut(value: &str) -> Cow<'_, str> {
    if value.len() <= LONGEST_VALUE {
        return value.into();
    }
    // `DefaultHasher::new` has fixed keys, so a series keeps its labels after a restart.
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
            // Prometheus treats an empty value as an absent label.
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
        // Three bytes each: the 86th character crosses the limit.
        let value = "語".repeat(100);
        let text = cut(&value);
        let (kept, hash) = text.split_once('…').expect("a mark");
        assert_eq!(kept, "語".repeat(85));
        assert_eq!(hash.len(), 16);
        assert_eq!(cut(&value), text);
        assert_eq!(cut(&value[..255]), value[..255]);
    }
}
