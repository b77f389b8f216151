//! Prometheus's text format 0.0.4: what it escapes, and how it writes numbers.

use std::fmt::Write;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Three characters have an escape; every other stands for itself.
pub(super) fn escape_label_value(page: &mut String, value: &str) {
    escape(page, value, |byte| matches!(byte, b'\\' | b'"' | b'\n'));
}

/// In a HELP line a double quote is one character among others.
pub(super) fn escape_help(page: &mut String, help: &str) {
    escape(page, help, |byte| matches!(byte, b'\\' | b'\n'));
}

/// By bytes, since no byte of a longer character is below 128.
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

/// Most of a page is small counts, for which this takes half the time of a
/// `write!`.
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

pub(super) fn push_f64(page: &mut String, value: f64) {
    if value == f64::INFINITY {
        page.push_str("+Inf");
    } else if value == f64::NEG_INFINITY {
        page.push_str("-Inf");
    } else {
        // `NaN` is what the format calls it, too.
        let _ = write!(page, "{value}");
    }
}

/// Nanoseconds as seconds, to the last digit.
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
