//! The address of the Pushgateway, parsed from its URL.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use std::fmt;

use http::HeaderValue;
use http::uri::{Authority, Uri};

use crate::percent::decoded;

/// The parts of the gateway's URL that a push needs.
#[derive(Clone)]
pub(crate) struct Gateway {
    /// The host name or IP address. An IPv6 address has no brackets here.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The value of the `Host` header.
    pub(crate) host_header: HeaderValue,
    /// The path before `/metrics`, if the gateway is served under a prefix.
    pub(crate) prefix: String,
    /// The value of the `Authorization` header, if the URL has a user name.
    pub(crate) authorization: Option<HeaderValue>,
}

/// Writes the URL without user name and password.
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
    /// Parses the gateway's URL.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the URL and how to correct it.
    pub(crate) fn parse(url: &str) -> Result<Self, &'static str> {
        const INVALID: &str = "is not a valid URL; give a URL such as http://pushgateway:9091";
        let (scheme, _) = url
            .split_once("://")
            .ok_or("has no scheme; give a URL such as http://pushgateway:9091")?;
        if scheme.eq_ignore_ascii_case("https") {
            return Err(
                "uses TLS, which a push does not support; give the `http://` URL of the gateway, or \
                 of a local proxy that adds TLS",
            );
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err("has a scheme that a push does not support; give an `http://` URL");
        }
        // The string is checked, because `Uri` drops a fragment silently.
        if url.contains(['?', '#']) {
            return Err("has a query or a fragment, which a gateway does not use; remove it");
        }
        let uri: Uri = url.parse().map_err(|_| INVALID)?;
        let authority = uri.authority().ok_or(INVALID)?;
        let host = authority.host();
        if host.is_empty() {
            return Err("has no host; give a URL such as http://pushgateway:9091");
        }
        let prefix = uri.path().trim_end_matches('/');
        if format!("{prefix}/").contains("/metrics/job/") || prefix.contains("/metrics/job@") {
            return Err(
                "contains the path of a group; give the gateway's own URL, and set the group with \
                 `.push_job(…)` and `.push_group(…)`",
            );
        }
        let authorization = match authority.as_str().rsplit_once('@') {
            Some((user, _)) => Some(basic(user).ok_or(
                "has a user name or a password that is not percent-encoded; encode every character \
                 that is not a letter or a digit",
            )?),
            None => None,
        };
        let address = authority.as_str().rsplit('@').next().unwrap_or_default();
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        Ok(Self {
            host: bare.unwrap_or(host).to_owned(),
            port: port(authority, address)
                .ok_or("has no valid port after the `:`; give a number from 1 to 65535")?,
            host_header: HeaderValue::try_from(address).map_err(|_| INVALID)?,
            prefix: prefix.to_owned(),
            authorization,
        })
    }
}

/// Returns the port, 80 by default, or `None` if the port is not valid.
fn port(authority: &Authority, address: &str) -> Option<u16> {
    match authority.port_u16() {
        None if address == authority.host() => Some(80),
        port => port.filter(|&port| port > 0),
    }
}

/// Returns the `Authorization` header for HTTP basic authentication, or `None` if
/// `user_info` is not percent-encoded.
fn basic(user_info: &str) -> Option<HeaderValue> {
    // A colon in the user name is percent-encoded. A missing password counts as empty.
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let mut credentials = decoded(user)?;
    credentials.push(b':');
    credentials.extend(decoded(password)?);
    let header = format!("Basic {}", BASE64_STANDARD.encode(&credentials));
    let mut header = HeaderValue::try_from(header).ok()?;
    header.set_sensitive(true);
    Some(header)
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
            (
                "unix:///run/push",
                "has a scheme that a push does not support",
            ),
            ("http://", "not a valid URL"),
            ("http:///metrics", "not a valid URL"),
            ("http://:9091", "no host"),
            ("http://push:", "no valid port"),
            ("http://push:0", "no valid port"),
            ("http://push:65536", "no valid port"),
            ("http://push:http", "no valid port"),
            ("http://pu sh", "not a valid URL"),
            ("http://push/?a=b", "query"),
            ("http://push/#a", "fragment"),
            ("http://push/metrics/job/nightly", "path of a group"),
            ("http://push/metrics/job@base64/YS9i", "path of a group"),
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
        let gateway = Gateway::parse("http://me:secret@push/a").expect("a gateway");
        assert_eq!(
            format!("{gateway} {gateway:?}"),
            "http://push/a http://push/a"
        );
    }
}
