//! Chooses the format of a page from a scraper's `Accept` header.
//!
//! The rules are those of RFC 9110, section 12.5.1, and of Prometheus's
//! [content negotiation](https://prometheus.io/docs/instrumenting/content_negotiation/):
//! the format with the highest weight wins. A scraper that asks for nothing, for
//! anything, or only for formats that the page does not have gets text 0.0.4.

use std::cmp::Reverse;

use http::HeaderMap;
use http::header::ACCEPT;

/// A format of the page, with the scheme that writes its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Format {
    pub(crate) protocol: Protocol,
    pub(crate) escaping: Escaping,
}

/// The part of a [`Format`] that changes the content of the page. Formats of the same dialect
/// differ only in their `Content-Type`, so scrapers that ask for them share a render.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) syntax: Syntax,
    /// Names are written in the escaping scheme `dots`.
    pub(crate) dots: bool,
}

/// How a page is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// Prometheus's text format.
    #[default]
    Prometheus,
    OpenMetrics,
    /// Prometheus's protobuf format.
    Protobuf,
}

/// What Prometheus calls a scrape protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    /// `text/plain; version=0.0.4`
    Text0_0_4,
    /// `text/plain; version=1.0.0`
    Text1_0_0,
    /// `application/openmetrics-text; version=0.0.1`
    OpenMetrics0_0_1,
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics1_0_0,
    /// `application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily;
    /// encoding=delimited`
    Protobuf,
}

/// How names with characters outside `[a-zA-Z0-9_:]` are written.
///
/// The names on the page have no such characters, so only [`Dots`](Self::Dots), which
/// doubles underscores, changes them. See Prometheus's
/// [escaping schemes](https://prometheus.io/docs/instrumenting/escaping_schemes/).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Escaping {
    #[default]
    Underscores,
    AllowUtf8,
    Dots,
    Values,
}

impl Protocol {
    /// All protocols. If the same media range decides about several protocols, the first
    /// protocol in this list is chosen.
    const ALL: [Self; 5] = [
        Self::Text0_0_4,
        Self::OpenMetrics1_0_0,
        Self::OpenMetrics0_0_1,
        Self::Text1_0_0,
        Self::Protobuf,
    ];

    const fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Self::Text0_0_4 | Self::Text1_0_0 => ("text", "plain"),
            Self::OpenMetrics0_0_1 | Self::OpenMetrics1_0_0 => ("application", "openmetrics-text"),
            Self::Protobuf => ("application", "vnd.google.protobuf"),
        }
    }

    /// Returns the parameters of the media type that a media range must not contradict.
    const fn parameters(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Text0_0_4 => &[("version", "0.0.4")],
            Self::OpenMetrics0_0_1 => &[("version", "0.0.1")],
            Self::Text1_0_0 | Self::OpenMetrics1_0_0 => &[("version", "1.0.0")],
            Self::Protobuf => &[
                ("proto", "io.prometheus.client.MetricFamily"),
                ("encoding", "delimited"),
            ],
        }
    }

    const fn syntax(self) -> Syntax {
        match self {
            Self::Text0_0_4 | Self::Text1_0_0 => Syntax::Prometheus,
            Self::OpenMetrics0_0_1 | Self::OpenMetrics1_0_0 => Syntax::OpenMetrics,
            Self::Protobuf => Syntax::Protobuf,
        }
    }
}

impl Escaping {
    fn parse(scheme: &str) -> Option<Self> {
        Some(match scheme.to_ascii_lowercase().as_str() {
            // Prometheus's documents have both spellings.
            "allow-utf-8" | "allow-utf8" => Self::AllowUtf8,
            "underscores" => Self::Underscores,
            "dots" => Self::Dots,
            "values" => Self::Values,
            _ => return None,
        })
    }
}

impl Format {
    /// The format of a scraper that asks for nothing.
    pub(crate) const DEFAULT: Self = Self {
        protocol: Protocol::Text0_0_4,
        escaping: Escaping::Underscores,
    };

    /// Chooses the format that the request prefers.
    pub(crate) fn negotiate(headers: &HeaderMap) -> Self {
        let ranges: Vec<Range<'_>> = headers
            .get_all(ACCEPT)
            .iter()
            // A header that is not text is ignored, as any other unknown format is.
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| split(value, ','))
            .filter_map(Range::parse)
            .collect();
        let mut best: Option<(Rank, Self)> = None;
        for protocol in Protocol::ALL {
            // The most specific range decides about a format (RFC 9110, 12.5.1).
            let decides = ranges
                .iter()
                .enumerate()
                .filter_map(|(index, range)| Some((range.specificity(protocol)?, index, range)))
                .max_by_key(|&(specificity, index, _)| (specificity, Reverse(index)));
            let Some((specificity, index, range)) = decides else {
                continue;
            };
            if range.weight == 0 {
                continue;
            }
            let rank = Rank {
                weight: range.weight,
                is_named: specificity >= Specificity::Subtype,
                position: Reverse(index),
            };
            if best.as_ref().is_none_or(|(so_far, _)| rank > *so_far) {
                let escaping = range.escaping.unwrap_or_default();
                best = Some((rank, Self { protocol, escaping }));
            }
        }
        best.map_or(Self::DEFAULT, |(_, format)| format)
    }

    /// Returns the part of the format that changes the content of the page.
    pub(crate) fn dialect(self) -> Dialect {
        Dialect {
            syntax: self.protocol.syntax(),
            dots: self.escaping == Escaping::Dots,
        }
    }

    /// Returns the value of the header `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        /// The media type with the parameter `escaping`. Old scrapers do not know the
        /// parameter, so the formats that they know omit it for `underscores`, the
        /// default.
        macro_rules! media_types {
            ($media_type:literal, $underscores:literal) => {
                match self.escaping {
                    Escaping::Underscores => concat!($media_type, $underscores),
                    Escaping::AllowUtf8 => concat!($media_type, "; escaping=allow-utf-8"),
                    Escaping::Dots => concat!($media_type, "; escaping=dots"),
                    Escaping::Values => concat!($media_type, "; escaping=values"),
                }
            };
        }
        match self.protocol {
            Protocol::Text0_0_4 => media_types!("text/plain; version=0.0.4; charset=utf-8", ""),
            Protocol::Text1_0_0 => media_types!(
                "text/plain; version=1.0.0; charset=utf-8",
                "; escaping=underscores"
            ),
            Protocol::OpenMetrics0_0_1 => media_types!(
                "application/openmetrics-text; version=0.0.1; charset=utf-8",
                ""
            ),
            Protocol::OpenMetrics1_0_0 => media_types!(
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                "; escaping=underscores"
            ),
            Protocol::Protobuf => media_types!(
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited",
                ""
            ),
        }
    }
}

/// How much a request prefers a format. Ranks are compared by weight, then by whether the
/// request names the format or only matches it with a wildcard, then by the position in
/// the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    weight: u16,
    is_named: bool,
    position: Reverse<usize>,
}

/// How closely a media range describes a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    /// `*/*`
    Any,
    /// `text/*`
    Type,
    /// `text/plain`
    Subtype,
    /// `text/plain; version=0.0.4`
    Parameters,
}

/// One media range of an `Accept` header.
#[derive(Debug)]
struct Range<'a> {
    main: &'a str,
    sub: &'a str,
    /// The parameters that tell formats of the same media type apart.
    parameters: Vec<(&'static str, String)>,
    escaping: Option<Escaping>,
    /// In thousandths, as RFC 9110 allows three digits.
    weight: u16,
}

impl<'a> Range<'a> {
    /// Returns `None` for what is not a media range.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = split(text, ';');
        let (main, sub) = parts.next()?.trim().split_once('/')?;
        let mut range = Self {
            main: main.trim(),
            sub: sub.trim(),
            parameters: Vec::new(),
            escaping: None,
            weight: 1000,
        };
        for parameter in parts {
            let Some((name, value)) = parameter.split_once('=') else {
                continue;
            };
            let value = unquoted(value.trim());
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => range.weight = weight(&value),
                "escaping" => range.escaping = Escaping::parse(&value),
                // `charset` and other parameters that a scraper may send do not matter here.
                name => {
                    let of_formats = ["version", "proto", "encoding"];
                    if let Some(name) = of_formats.into_iter().find(|known| *known == name) {
                        range.parameters.push((name, value));
                    }
                }
            }
        }
        Some(range)
    }

    /// Returns `None` if the range does not match the format.
    fn specificity(&self, protocol: Protocol) -> Option<Specificity> {
        let (main, sub) = protocol.media_type();
        match (self.main, self.sub) {
            ("*", "*") => Some(Specificity::Any),
            (of, "*") if of.eq_ignore_ascii_case(main) => Some(Specificity::Type),
            (of, exact) if of.eq_ignore_ascii_case(main) && exact.eq_ignore_ascii_case(sub) => {
                let mut specificity = Specificity::Subtype;
                for (name, value) in protocol.parameters() {
                    let asked = self.parameters.iter().find(|(asked, _)| asked == name);
                    match asked {
                        None => {}
                        Some((_, asked)) if asked.eq_ignore_ascii_case(value) => {
                            specificity = Specificity::Parameters;
                        }
                        Some(_) => return None,
                    }
                }
                Some(specificity)
            }
            _ => None,
        }
    }
}

/// Reads a weight from `0` to `1`. A weight that cannot be read counts as 0, so that a
/// damaged header does not win.
fn weight(text: &str) -> u16 {
    match text.parse::<f32>() {
        // The value is from 0 to 1000. Rounding changes only a weight of more than three
        // digits, which RFC 9110 does not allow.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1000.0).round() as u16,
        _ => 0,
    }
}

/// Splits at `separator`, except in quoted strings.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    text.split(move |sign: char| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match sign {
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => return sign == separator && !is_quoted,
        }
        false
    })
}

/// The content of a quoted string, or the token itself.
fn unquoted(value: &str) -> String {
    let quoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    match quoted {
        None => value.to_owned(),
        Some(quoted) => {
            let mut content = String::with_capacity(quoted.len());
            let mut signs = quoted.chars();
            while let Some(sign) = signs.next() {
                content.extend(if sign == '\\' {
                    signs.next()
                } else {
                    Some(sign)
                });
            }
            content
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn chosen(accept: &[&str]) -> &'static str {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, HeaderValue::from_str(value).expect("a header"));
        }
        Format::negotiate(&headers).content_type()
    }

    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    const OPEN_METRICS: &str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";

    #[test]
    fn the_highest_weight_wins() {
        // The default headers of Prometheus 2.42 and 3.5.
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                            version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                            application/openmetrics-text;version=0.0.1;q=0.4,\
                            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
                            text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        let utf_8 =
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
        for (accept, format) in [
            (prometheus_2, OPEN_METRICS),
            (prometheus_3, utf_8),
            ("", TEXT),
            ("*/*", TEXT),
            ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
            ("text/plain", TEXT),
            ("text/*", TEXT),
            ("application/*", OPEN_METRICS),
            ("application/openmetrics-text", OPEN_METRICS),
            (
                "text/plain;version=1.0.0",
                "text/plain; version=1.0.0; charset=utf-8; escaping=underscores",
            ),
            (
                "application/openmetrics-text; version=0.0.1",
                "application/openmetrics-text; version=0.0.1; charset=utf-8",
            ),
            ("application/openmetrics-text;version=9.0.0,*/*;q=0.1", TEXT),
            ("application/openmetrics-text;q=0.4,text/plain;q=0.5", TEXT),
            (
                "application/openmetrics-text;q=0.5,text/plain;q=0.4",
                OPEN_METRICS,
            ),
            // Equal weights: the order of the header.
            ("text/plain,application/openmetrics-text", TEXT),
            ("application/openmetrics-text,text/plain", OPEN_METRICS),
            // A wildcard does not beat a name.
            ("*/*,application/openmetrics-text", OPEN_METRICS),
            // The most specific range decides, even if its weight of 0 refuses the format.
            ("text/plain;q=0,*/*", OPEN_METRICS),
            ("application/openmetrics-text;q=0,*/*;q=0.1", TEXT),
            // Without an acceptable format, the page is in the default format.
            ("text/plain;q=0", TEXT),
            ("application/json", TEXT),
        ] {
            assert_eq!(chosen(&[accept]), format, "{accept}");
        }
    }

    #[test]
    fn parameters_come_in_any_order_case_and_quotes() {
        for accept in [
            "Application/OpenMetrics-Text ; Q=1.0 ; VERSION=\"1.0.0\"",
            "text/plain;x=\"a,b;c\\\"\";q=0.1, application/openmetrics-text;charset=utf-8;version=1.0.0",
            "application/openmetrics-text;version=1.0.0;q=0.001",
        ] {
            assert_eq!(chosen(&[accept]), OPEN_METRICS, "{accept}");
        }
        assert_eq!(
            chosen(&["text/plain;q=0.1", "application/openmetrics-text"]),
            OPEN_METRICS
        );
    }

    #[test]
    fn the_escaping_scheme_is_that_of_the_range() {
        for (scheme, answered) in [
            ("dots", "dots"),
            ("values", "values"),
            ("allow-utf8", "allow-utf-8"),
            ("ALLOW-UTF-8", "allow-utf-8"),
            ("nonsense", "underscores"),
        ] {
            let chosen = chosen(&[&format!("text/plain;version=1.0.0;escaping={scheme}")]);
            assert!(
                chosen.ends_with(&format!("escaping={answered}")),
                "{scheme}: {chosen}"
            );
        }
    }

    #[test]
    fn garbage_gives_the_default() {
        for accept in [
            ",",
            ";;;",
            "/",
            "text",
            "\"",
            "text/plain;q=nan,application/openmetrics-text;q=-1",
            "application/openmetrics-text;q=2",
            "application/openmetrics-text;q=",
        ] {
            assert_eq!(chosen(&[accept]), TEXT, "{accept}");
        }
        assert_eq!(chosen(&[&"x/y;z=\\\",".repeat(2_000)]), TEXT);
    }
}
