//! Escapes strings and formats numbers for Prometheus's text format 0.0.4.

use std::fmt::Write;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Appends a label value. Escapes backslash, double quote and line feed; the format
/// allows every other character as is.
pub(super) fn escape_label_value(page: &mut String, value: &str) {
    escape(page, value, |byte| matches!(byte, b'\\' | b'"' | b'\n'));
}

/// Appends a HELP text. Escapes backslash and line feed; the format does not escape
/// double quotes there.
pub(super) fn escape_help(page: &mut String, help: &str) {
    escape(page, help, |byte| matches!(byte, b'\\' | b'\n'));
}

/// Appends `text`, with a backslash before each escaped byte. Works on bytes, because in
/// UTF-8 every byte of a multi-byte character is at least 128.
fn escape(page: &mut String, text: &str, is_escaped: impl Fn(u8) -> bool) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(&is_escaped) {
        page.push_str(&rest[..at]);
        page.push('\\');
        page.push(match rest.as_bytes()[at] {
            b'\n' => 'n',
            other => char::from(other),
        });
        rest = &rest[at + 1..];
    }
    page.push_str(rest);
}

/// Appends an integer. Most values on a page are small counts, so this function is
/// written by hand: it takes half the time of `write!`.
pub(super) fn push_u64(page: &mut String, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    page.push_str(std::str::from_utf8(&digits[first..]).unwrap_or_default());
}

/// Appends a float as the format writes it.
pub(super) fn push_f64(page: &mut String, value: f64) {
    if value == f64::INFINITY {
        page.push_str("+Inf");
    } else if value == f64::NEG_INFINITY {
        page.push_str("-Inf");
    } else {
        // Rust and the format both write NaN as `NaN`.
        let _ = write!(page, "{value}");
    }
}

/// Appends nanoseconds in seconds, exactly and without trailing zeros.
pub(super) fn push_seconds(page: &mut String, nanos: u128) {
    let _ = write!(page, "{}", nanos / NANOS_PER_SECOND);
    let fraction = (nanos % NANOS_PER_SECOND) as u64;
    if fraction != 0 {
        let start = page.len();
        let _ = write!(page, ".{fraction:09}");
        let trimmed = page[start..].trim_end_matches('0').len();
        page.truncate(start + trimmed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(push: impl FnOnce(&mut String)) -> String {
        let mut page = String::new();
        push(&mut page);
        page
    }

    #[test]
    fn only_what_the_format_names_is_escaped() {
        let hostile = "a\\b\"c\nd\re\0f\tg\u{202e}h\\";
        assert_eq!(
            pushed(|page| escape_label_value(page, hostile)),
            "a\\\\b\\\"c\\nd\re\0f\tg\u{202e}h\\\\"
        );
        assert_eq!(
            pushed(|page| escape_help(page, hostile)),
            "a\\\\b\"c\\nd\re\0f\tg\u{202e}h\\\\"
        );
    }

    #[test]
    fn integers_are_written_as_the_standard_library_does() {
        for value in [0, 1, 9, 10, 99, 100, 1 << 53, u64::MAX] {
            assert_eq!(pushed(|page| push_u64(page, value)), value.to_string());
        }
    }

    #[test]
    fn floats_are_written_as_the_format_says() {
        for (value, text) in [
            (0.0, "0"),
            (-3.0, "-3"),
            (0.25, "0.25"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(pushed(|page| push_f64(page, value)), text);
        }
    }

    #[test]
    fn seconds_keep_every_nanosecond() {
        for (nanos, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (1_500_000_000, "1.5"),
            (10_000_000_000, "10"),
            (u128::from(u64::MAX) + 1, "18446744073.709551616"),
        ] {
            assert_eq!(pushed(|page| push_seconds(page, nanos)), text);
        }
    }
}
