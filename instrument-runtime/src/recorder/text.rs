//! Escapes strings, formats numbers and writes metadata lines, in Prometheus's text format
//! and in OpenMetrics.

use std::fmt::Write;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Appends a label value. Escapes backslash, double quote and line feed; the format
/// allows every other character as is.
pub(super) fn escape_label_value(page: &mut String, value: &str) {
    escape(page, value, |byte| matches!(byte, b'\\' | b'"' | b'\n'));
}

/// Appends a HELP text in Prometheus's text format. Escapes backslash and line feed, but
/// not double quotes. OpenMetrics escapes them too, as in a label value.
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

/// Reverses [`escape_help`].
pub(crate) fn unescape(help: &str) -> String {
    let mut text = String::with_capacity(help.len());
    let mut signs = help.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => match signs.next() {
                Some('n') => text.push('\n'),
                other => text.extend(other),
            },
            sign => text.push(sign),
        }
    }
    text
}

/// Returns a bound or a quantile as a label value, in OpenMetrics' canonical form.
///
/// The form is that of Go's `%g`, with `.0` after a number that would otherwise be all
/// digits: `1.0`, `0.25`, `1e+06`. It is the same in every format, so that a series keeps
/// its identity whichever format a scraper negotiates. Prometheus 3 converts these labels
/// to this form when it scrapes.
pub(crate) fn canonical(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let shortest = format!("{value:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if value != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let mut text = value.to_string();
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}

/// The metadata of a family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    /// The name of the family in Prometheus's text format, which is that of its samples.
    pub(crate) name: &'a str,
    /// The HELP text, not escaped. If it is empty, no HELP line is written.
    pub(crate) help: &'a str,
    pub(crate) kind: &'a str,
}

/// How the metadata of families is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HeadStyle<'a> {
    /// Prometheus's text format.
    Prometheus,
    /// OpenMetrics, with the names of all families of the page, sorted.
    OpenMetrics(&'a [&'a str]),
}

impl Head<'_> {
    /// Appends the lines HELP, TYPE and, in OpenMetrics, UNIT.
    ///
    /// In OpenMetrics, the family of a counter is named without `_total`, and that of an
    /// info metric without `_info`. If the name lacks this suffix, or if another family
    /// already has the shorter name, the type becomes `unknown`. The name then stays
    /// unchanged, so the samples have the same name in every format.
    pub(crate) fn write(&self, page: &mut String, style: HeadStyle<'_>) {
        let Self { name, help, kind } = *self;
        let HeadStyle::OpenMetrics(names) = style else {
            // Only OpenMetrics has the type `info`; its series is a gauge that is 1.
            let kind = if kind == "info" { "gauge" } else { kind };
            write_line(page, "HELP", name, help, |page| escape_help(page, help));
            write_line(page, "TYPE", name, kind, |page| page.push_str(kind));
            return;
        };
        let is_free = |family: &&str| !family.is_empty() && names.binary_search(family).is_err();
        let family = match kind {
            "info" => name.strip_suffix("_info"),
            _ => name.strip_suffix("_total").filter(is_free),
        };
        let (name, kind) = match (kind, family) {
            ("counter" | "info", Some(family)) => (family, kind),
            ("counter" | "info" | "untyped", _) => (name, "unknown"),
            (kind, _) => (name, kind),
        };
        write_line(page, "HELP", name, help, |page| {
            escape_label_value(page, help)
        });
        write_line(page, "TYPE", name, kind, |page| page.push_str(kind));
        let unit = BASE_UNITS.into_iter().find(|unit| {
            let before = name
                .strip_suffix(unit)
                .and_then(|name| name.strip_suffix('_'));
            before.is_some_and(|before| !before.is_empty())
        });
        if let Some(unit) = unit {
            write_line(page, "UNIT", name, unit, |page| page.push_str(unit));
        }
    }
}

/// Prometheus's [base units](https://prometheus.io/docs/practices/naming/#base-units) that
/// names end in.
const BASE_UNITS: [&str; 9] = [
    "seconds", "bytes", "ratio", "celsius", "meters", "volts", "amperes", "joules", "grams",
];

/// Appends a line of metadata, unless it would be empty.
fn write_line(
    page: &mut String,
    what: &str,
    name: &str,
    text: &str,
    write: impl FnOnce(&mut String),
) {
    if text.is_empty() {
        return;
    }
    page.push_str("# ");
    page.push_str(what);
    page.push(' ');
    page.push_str(name);
    page.push(' ');
    write(page);
    page.push('\n');
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

    #[test]
    fn bounds_are_written_as_go_writes_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (-3.0, "-3.0"),
            (0.25, "0.25"),
            (7.5, "7.5"),
            (0.0005, "0.0005"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.000_012_5, "1.25e-05"),
            (100_000.0, "100000.0"),
            (1e6, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (1e100, "1e+100"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(canonical(value), text);
        }
    }

    #[test]
    fn open_metrics_names_a_counter_without_its_suffix() {
        let head = |name, kind| Head {
            name,
            help: "a \"b\"\\\n",
            kind,
        };
        let names = ["taken", "taken_total"];
        for (name, kind, expected) in [
            (
                "a_total",
                "counter",
                "# HELP a a \\\"b\\\"\\\\\\n\n# TYPE a counter\n",
            ),
            (
                "a",
                "counter",
                "# HELP a a \\\"b\\\"\\\\\\n\n# TYPE a unknown\n",
            ),
            (
                "taken_total",
                "counter",
                "# HELP taken_total a \\\"b\\\"\\\\\\n\n# TYPE taken_total unknown\n",
            ),
            (
                "a_seconds",
                "histogram",
                "# HELP a_seconds a \\\"b\\\"\\\\\\n\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n",
            ),
        ] {
            let written =
                pushed(|page| head(name, kind).write(page, HeadStyle::OpenMetrics(&names)));
            assert_eq!(written, expected);
        }
        let written = pushed(|page| head("a_total", "counter").write(page, HeadStyle::Prometheus));
        assert_eq!(
            written,
            "# HELP a_total a \"b\"\\\\\\n\n# TYPE a_total counter\n"
        );
    }
}
