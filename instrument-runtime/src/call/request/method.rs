//! The value of the label `method`.

/// Returns one of the nine standard methods (RFC 9110, and RFC 5789 for `PATCH`), or
/// `_OTHER`.
///
/// A client can send any method, so other methods must not become label values: that
/// would be unbounded cardinality. OpenTelemetry's conventions use `_OTHER` too. Methods
/// are case-sensitive.
pub(crate) fn label(method: &str) -> &'static str {
    match method {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "CONNECT" => "CONNECT",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "PATCH" => "PATCH",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn odd_methods_are_one() {
        assert_eq!(label("GET"), "GET");
        for odd in ["get", "PROPFIND", "", "GET ", "\u{1F600}"] {
            assert_eq!(label(odd), "_OTHER", "{odd}");
        }
    }
}
