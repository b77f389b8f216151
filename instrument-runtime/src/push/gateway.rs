//! Where the gateway is, from its URL.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use std::fmt;

use http::HeaderValue;
use http::uri::{Authority, Uri};

#[derive(Clone)]
pub(crate) struct Gateway {
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The `Host` header.
    pub(crate) host_header: HeaderValue,
    /// Before `/metrics`; a gateway may be served under a prefix.
    pub(crate) prefix: String,
    pub(crate) authorization: Option<HeaderValue>,
}

/// Without the password.
impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host_header.to_str().unwrap_or(&self.host);
        write!(f, "http://{host}{}", self.prefix)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Gateway {
    /// The error is what is wrong with the URL, and the way out.
    pub(crate) fn parse(url: &str) -> Result<Self, &'static str> {
        const NONE: &str = "is no URL; give one such as http://pushgateway:9091";
        let (scheme, _) = url
            .split_once("://")
            .ok_or("has no scheme; give a URL such as http://pushgateway:9091")?;
        if scheme.eq_ignore_ascii_case("https") {
            return Err(
                "asks for TLS, which a push does not speak; give an `http://` URL, of the gateway \
                 or of a proxy beside the job that does",
            );
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err("is neither http nor anything else that a push speaks; begin with http://");
        }
        // The type below would leave it out without a word.
        if url.contains(['?', '#']) {
            return Err("has a query or a fragment, which a gateway does not know; leave it out");
        }
        let uri: Uri = url.parse().map_err(|_| NONE)?;
        let authority = uri.authority().ok_or(NONE)?;
        let host = authority.host();
        if host.is_empty() {
            return Err("has no host; give a URL such as http://pushgateway:9091");
        }
        let prefix = uri.path().trim_end_matches('/');
        if format!("{prefix}/").contains("/metrics/job/") || prefix.contains("/metrics/job@") {
            return Err(
                "holds the group; give the gateway's own URL, and the group with `.push_job(…)` and \
                 `.push_group(…)`",
            );
        }
        let authorization = match authority.as_str().rsplit_once('@') {
            Some((user, _)) => Some(basic(user).ok_or(
                "has a user name or a password that is not percent-encoded; encode what is no \
                 letter and no digit",
            )?),
            None => None,
        };
        let address = authority.as_str().rsplit('@').next().unwrap_or_default();
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        Ok(Self {
            host: bare.unwrap_or(host).to_owned(),
            port: port(authority, address).ok_or("has no port after the `:`; give 1 to 65535")?,
            host_header: HeaderValue::try_from(address).map_err(|_| NONE)?,
            prefix: prefix.to_owned(),
            authorization,
        })
    }
}

fn port(authority: &Authority, address: &str) -> Option<u16> {
    match authority.port_u16() {
        None if address == authority.host() => Some(80),
        port => port.filter(|&port| port > 0),
    }
}

fn basic(user_info: &str) -> Option<HeaderValue> {
    // A colon in a user name is encoded; without a password it is an empty one.
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let mut credentials = decoded(user)?;
    credentials.push(b':');
    credentials.extend(decoded(password)?);
    let header = format!("Basic {}", BASE64_STANDARD.encode(&credentials));
    let mut header = HeaderValue::try_from(header).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Percent-decoded.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            u8::try_from(high << 4 | low).ok()?
        } else {
            byte
        });
    }
    Some(bytes)
}

/// The URL as one may show it: without what signs in.
pub(crate) fn without_password(url: &str) -> String {
    let begin = url.find("://").map_or(0, |scheme| scheme + 3);
    let (scheme, rest) = url.split_at(begin);
    // Where the password holds a `/` the URL is wrong, and still not to be shown.
    match rest.rsplit_once('@') {
        Some((_, address)) => format!("{scheme}…@{address}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_place() {
        for (url, host, port, header, prefix) in [
            ("http://push:9091", "push", 9091, "push:9091", ""),
            ("HTTP://push", "push", 80, "push", ""),
            ("http://10.0.0.7:1/", "10.0.0.7", 1, "10.0.0.7:1", ""),
            ("http://[::1]:9091/a/b/", "::1", 9091, "[::1]:9091", "/a/b"),
            ("http://[::1]", "::1", 80, "[::1]", ""),
            ("http://me:no@push:9091/a", "push", 9091, "push:9091", "/a"),
            ("http://push/metrics/", "push", 80, "push", "/metrics"),
        ] {
            let gateway = Gateway::parse(url).expect(url);
            assert_eq!(gateway.host, host, "{url}");
            assert_eq!(gateway.port, port, "{url}");
            assert_eq!(gateway.host_header, header, "{url}");
            assert_eq!(gateway.prefix, prefix, "{url}");
            assert_eq!(gateway.authorization.is_some(), url.contains('@'), "{url}");
        }
    }

    #[test]
    fn what_is_no_gateway_is_refused() {
        for (url, why) in [
            ("", "no scheme"),
            ("push:9091", "no scheme"),
            ("push", "no scheme"),
            ("https://push:9091", "TLS"),
            ("HTTPS://push", "TLS"),
            ("unix:///run/push", "neither http"),
            ("http://", "no URL"),
            ("http:///metrics", "no URL"),
            ("http://:9091", "no host"),
            ("http://push:", "no port"),
            ("http://push:0", "no port"),
            ("http://push:65536", "no port"),
            ("http://push:http", "no port"),
            ("http://pu sh", "no URL"),
            ("http://push/?a=b", "query"),
            ("http://push/#a", "fragment"),
            ("http://push/metrics/job/nightly", "holds the group"),
            ("http://push/metrics/job@base64/YS9i", "holds the group"),
            ("http://a%zz:b@push", "percent-encoded"),
        ] {
            let problem = Gateway::parse(url).expect_err(url);
            assert!(problem.contains(why), "{url}: {problem}");
        }
    }

    #[test]
    fn a_user_signs_in() {
        for (url, credentials) in [
            ("http://me:secret@push", "me:secret"),
            ("http://me@push", "me:"),
            ("http://a%3ab:c%40d%C3%A9@push", "a:b:c@dé"),
        ] {
            let header = Gateway::parse(url).expect(url).authorization;
            let expected = format!("Basic {}", BASE64_STANDARD.encode(credentials));
            assert_eq!(header.expect(url), expected, "{url}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        for (url, shown) in [
            ("http://push:9091/a", "http://push:9091/a"),
            ("http://me:secret@push:9091/a", "http://…@push:9091/a"),
            ("https://me:sec/ret@push", "https://…@push"),
            ("me:secret@push", "…@push"),
        ] {
            assert_eq!(without_password(url), shown);
        }
        let gateway = Gateway::parse("http://me:secret@push/a").expect("a gateway");
        assert_eq!(
            format!("{gateway} {gateway:?}"),
            "http://push/a http://push/a"
        );
    }
}
