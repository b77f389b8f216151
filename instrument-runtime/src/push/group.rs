//! The URL path of a Pushgateway group: the job and the grouping labels.

use base64::prelude::{BASE64_URL_SAFE, Engine as _};

/// Returns the path of the group, to be appended to the gateway's URL.
///
/// A value that is not safe as a path segment is written in base64, see [Pushgateway].
///
/// [Pushgateway]: https://github.com/prometheus/pushgateway#url
pub(crate) fn path(job: &str, labels: &[(String, String)]) -> String {
    let labels = labels.iter().map(|(name, value)| (&**name, &**value));
    let mut path = String::from("/metrics");
    for (name, value) in [("job", job)].into_iter().chain(labels) {
        path.push('/');
        path.push_str(name);
        if is_segment(value) {
            path.push('/');
            path.push_str(value);
        } else {
            path.push_str("@base64/");
            // A segment must not be empty. A single `=` (padding) encodes an empty value.
            let encoded = BASE64_URL_SAFE.encode(value);
            path.push_str(if encoded.is_empty() { "=" } else { &encoded });
        }
    }
    path
}

/// Returns whether servers and proxies leave this path segment unchanged.
///
/// Percent-encoding would not help with `..`: some servers, the Pushgateway among them,
/// resolve `%2E%2E` like `..`.
fn is_segment(value: &str) -> bool {
    let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    !value.is_empty() && value.chars().all(unreserved) && value != "." && value != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_segment_is_in_base64() {
        for (job, labels, expected) in [
            ("nightly", &[][..], "/metrics/job/nightly"),
            (
                "nightly-2.0_~",
                &[("instance", "10.0.0.7"), ("shard", "3")],
                "/metrics/job/nightly-2.0_~/instance/10.0.0.7/shard/3",
            ),
            ("a/b", &[], "/metrics/job@base64/YS9i"),
            ("a b", &[], "/metrics/job@base64/YSBi"),
            ("a%2Fb", &[], "/metrics/job@base64/YSUyRmI="),
            ("?>?>", &[], "/metrics/job@base64/Pz4_Pg=="),
            ("é", &[], "/metrics/job@base64/w6k="),
            ("...", &[], "/metrics/job/..."),
            (
                ".",
                &[("instance", ""), ("path", "..")],
                "/metrics/job@base64/Lg==/instance@base64/=/path@base64/Li4=",
            ),
        ] {
            let labels: Vec<_> = labels
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(path(job, &labels), expected);
        }
    }
}
