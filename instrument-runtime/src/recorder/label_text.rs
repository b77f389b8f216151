//! Labels as text, `name="value"` separated by commas: how series store their labels, and
//! how text formats write them.

use std::borrow::Cow;

/// Appends a label value. Escapes backslash, double quote and line feed; the format
/// allows every other character as is.
pub(crate) fn push_value(text: &mut String, value: &str) {
    push_escaped(text, value, |byte| matches!(byte, b'\\' | b'"' | b'\n'));
}

/// Appends `value`, with a backslash before each escaped byte. Works on bytes, because in
/// UTF-8 every byte of a multi-byte character is at least 128.
pub(crate) fn push_escaped(text: &mut String, value: &str, is_escaped: impl Fn(u8) -> bool) {
    let mut rest = value;
    while let Some(at) = rest.bytes().position(&is_escaped) {
        text.push_str(&rest[..at]);
        text.push('\\');
        text.push(match rest.as_bytes()[at] {
            b'\n' => 'n',
            other => char::from(other),
        });
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
}

/// Reverses [`push_escaped`].
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut value = String::with_capacity(text.len());
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => match signs.next() {
                Some('n') => value.push('\n'),
                other => value.extend(other),
            },
            sign => value.push(sign),
        }
    }
    value.into()
}

/// Returns the names of the labels in `text` with their values, which are still escaped.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (name, value) = rest.split_once("=\"")?;
        let end = end_of_value(value);
        rest = value.get(end + 1..).unwrap_or_default();
        rest = rest.strip_prefix(',').unwrap_or(rest);
        Some((name, &value[..end]))
    })
}

/// Splits the last label off. Returns the other labels, and the name and the value of the
/// last one, which is still escaped.
pub(crate) fn split_last(text: &str) -> Option<(&str, (&str, &str))> {
    let last = pairs(text).last()?;
    let length = last.0.len() + "=\"\"".len() + last.1.len();
    let rest = text.get(..text.len().checked_sub(length)?)?;
    Some((rest.strip_suffix(',').unwrap_or(rest), last))
}

/// Returns the index of the double quote that ends a value.
pub(crate) fn end_of_value(value: &str) -> usize {
    let mut is_escaped = false;
    for (index, byte) in value.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return index,
            _ => {}
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_out_of_the_text() {
        let hostile = "a\\b\"c\nd\re\0f\tg\u{202e}h\\";
        let values = ["", "x", hostile, "\",b=\"", "a=\"", "\\n", "ü,"];
        let mut text = String::new();
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str("name_");
            text.push_str("=\"");
            push_value(&mut text, value);
            text.push('"');
        }
        let read: Vec<_> = pairs(&text)
            .inspect(|(name, _)| assert_eq!(*name, "name_"))
            .map(|(_, value)| unescape(value))
            .collect();
        assert_eq!(read, values);
        assert_eq!(
            text.split(',').nth(2),
            Some("name_=\"a\\\\b\\\"c\\nd\re\0f\tg\u{202e}h\\\\\"")
        );
    }

    #[test]
    fn the_last_label_is_split_off() {
        for (text, rest, name, value) in [
            ("a=\"1\"", "", "a", "1"),
            ("a=\"1\",b=\"2\"", "a=\"1\"", "b", "2"),
            ("a=\"\",b=\"\"", "a=\"\"", "b", ""),
            ("a=\",le=\",le=\"\\\"\"", "a=\",le=\"", "le", "\\\""),
        ] {
            assert_eq!(split_last(text), Some((rest, (name, value))), "{text}");
        }
        assert_eq!(split_last(""), None);
    }

    #[test]
    fn damaged_text_comes_to_an_end() {
        for text in [
            "",
            ",",
            "a",
            "a=",
            "a=\"",
            "a=\"\\",
            "a=\"\\\"",
            "a=\"b\"c=\"d\"",
        ] {
            pairs(text).count();
            split_last(text);
        }
    }
}
