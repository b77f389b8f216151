//! The encoding of the page in a response: gzip compression.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;
use hyper::body::Bytes;

/// The value of the header `Vary`: the request headers that a page depends on.
pub(crate) const VARIES_BY: &str = "accept, accept-encoding";

/// A rendered page. The gzip encoding exists only if one of the requests that waited for
/// the page accepts gzip.
#[derive(Clone, Debug)]
pub(crate) struct Encodings {
    pub(crate) plain: Bytes,
    pub(crate) gzip: Option<Bytes>,
}

impl Encodings {
    pub(crate) fn new(page: String, with_gzip: bool) -> Self {
        let plain = Bytes::from(page);
        Self {
            gzip: if with_gzip { gzip(&plain) } else { None },
            plain,
        }
    }

    /// Returns the body of a response, and whether it is compressed.
    pub(crate) fn body(&self, accepts_gzip: bool) -> (Bytes, bool) {
        match &self.gzip {
            Some(gzip) if accepts_gzip => (gzip.clone(), true),
            _ => (self.plain.clone(), false),
        }
    }
}

/// Returns the page compressed for `Content-Encoding: gzip`, or `None` if compression
/// fails.
fn gzip(page: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(page).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Returns whether the request accepts gzip, by [RFC 9110, section 12.5.3]: `*` counts
/// only if `gzip` is not listed, and a weight of 0 refuses a coding.
///
/// [RFC 9110, section 12.5.3]: https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut by_name = None;
    let mut by_star = None;
    for part in headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let (coding, parameters) = part.split_once(';').unwrap_or((part, ""));
        let weight = parameters
            .split(';')
            .filter_map(|parameter| parameter.trim().strip_prefix("q="))
            .find_map(|weight| weight.trim().parse::<f32>().ok())
            .unwrap_or(1.0);
        match coding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => by_name = Some(weight > 0.0),
            "*" => by_star = Some(weight > 0.0),
            _ => {}
        }
    }
    by_name.or(by_star).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_sent_when_it_is_asked_for() {
        for (header, gzip) in [
            ("gzip", true),
            ("gzip, deflate, br", true),
            ("GZIP;q=0.5", true),
            ("deflate", false),
            ("", false),
            ("gzip;q=0", false),
            ("gzip; q=0.0, *", false),
            ("*", true),
            ("*;q=0", false),
            ("identity, *;q=0.1", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(header));
            assert_eq!(accepts_gzip(&headers), gzip, "{header:?}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
