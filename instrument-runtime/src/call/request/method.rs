//! The value of the label `method`.

use crate::settings;

/// The label of a method that is not known.
const OTHER: &str = "_OTHER";

/// Returns the method if it is known, or `_OTHER`.
///
/// A client can send any method, so other methods must not become label values: that
/// would be unbounded cardinality. OpenTelemetry's conventions use `_OTHER` too. Methods
/// are case-sensitive.
pub(crate) fn label(method: &str) -> &'static str {
    let installed = settings::installed();
    match installed.and_then(|settings| settings.known_methods.as_deref()) {
        Some(known) => of_list(method, known),
        None => standard(method),
    }
}

fn of_list(method: &str, known: &'static [String]) -> &'static str {
    let found = known.iter().find(|known| *known == method);
    found.map_or(OTHER, String::as_str)
}

/// Returns the method if it is one of the ten standard methods: those of RFC 9110, `PATCH`
/// (RFC 5789), and [`QUERY`], which OpenTelemetry's conventions know, too.
///
/// [`QUERY`]: https://datatracker.ietf.org/doc/draft-ietf-httpbis-safe-method-w-body/
fn standard(method: &str) -> &'static str {
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
        "QUERY" => "QUERY",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_methods_are_one() {
        assert_eq!(label("GET"), "GET");
        assert_eq!(label("QUERY"), "QUERY");
        for odd in ["get", "PROPFIND", "", "GET ", "\u{1F600}"] {
            assert_eq!(label(odd), OTHER, "{odd}");
        }
    }

    #[test]
    fn a_list_replaces_the_standard_methods() {
        let known: &'static [String] = vec!["PROPFIND".to_owned(), "GET".to_owned()].leak();
        assert_eq!(of_list("PROPFIND", known), "PROPFIND");
        assert_eq!(of_list("GET", known), "GET");
        for other in ["POST", "propfind", ""] {
            assert_eq!(of_list(other, known), OTHER, "{other}");
        }
    }
}
