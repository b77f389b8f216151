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
