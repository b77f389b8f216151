//! Numbers and times as they are on the page.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A value on the page. Text formats write integers and nanoseconds exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    U64(u64),
    F64(f64),
    /// A number of nanoseconds, which stands for a value in seconds.
    Nanos(u128),
}

impl Number {
    /// Returns the nearest float.
    pub(crate) fn to_f64(self) -> f64 {
        match self {
            Self::U64(value) => value as f64,
            Self::F64(value) => value,
            // Up to 2^53 ns, the conversion is exact and only the division rounds.
            Self::Nanos(nanos) if nanos <= 1 << f64::MANTISSA_DIGITS => nanos as f64 / 1e9,
            // Above 2^53 ns, the conversion and the division would each round. Parsing the
            // decimal text rounds once, as a scraper of a text format does.
            Self::Nanos(nanos) => seconds(nanos).parse().unwrap_or_default(),
        }
    }
}

/// What a histogram measures. It counts whole amounts, so that sums are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Seconds on the page. The amounts are nanoseconds.
    Duration,
    /// Bytes.
    Size,
}

impl Measure {
    /// Returns the amount that is 1 on the page.
    pub(crate) fn scale(self) -> f64 {
        match self {
            Self::Duration => 1e9,
            Self::Size => 1.0,
        }
    }

    /// Returns an amount as it is on the page.
    pub(crate) fn number(self, amount: u128) -> Number {
        match self {
            Self::Duration => Number::Nanos(amount),
            Self::Size => u64::try_from(amount).map_or(Number::F64(amount as f64), Number::U64),
        }
    }
}

/// Returns nanoseconds in seconds, exactly and without trailing zeros.
pub(crate) fn seconds(nanos: u128) -> String {
    const NANOS_PER_SECOND: u128 = 1_000_000_000;
    let whole = nanos / NANOS_PER_SECOND;
    match nanos % NANOS_PER_SECOND {
        0 => whole.to_string(),
        fraction => {
            let mut text = format!("{whole}.{fraction:09}");
            text.truncate(text.trim_end_matches('0').len());
            text
        }
    }
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

/// A time, as the duration since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnixTime(pub(crate) Duration);

impl UnixTime {
    /// Returns the current time, or the epoch if the clock is before it.
    pub(crate) fn now() -> Self {
        Self(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
