//! Checks the values of the label `method`.

use syn::LitStr;

use crate::suggest::closest;

/// The eight methods of RFC 9110, `PATCH` of RFC 5789, `QUERY`, and `_OTHER` for any other
/// method.
/// `_OTHER` bounds the cardinality of the label; OpenTelemetry's semantic conventions use
/// the same value. `call/request/method.rs` in the runtime has the same list;
/// `tests/compiler/same_lists.rs` compares them.
const METHODS: [&str; 11] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY",
    "_OTHER",
];

/// Whether this is one of the ten standard methods. Methods are case-sensitive.
pub(crate) fn is_standard(method: &str) -> bool {
    METHODS.contains(&method) && method != "_OTHER"
}

/// Refuses a value of the argument `method` that is not in the list.
pub(crate) fn validate(method: &LitStr) -> syn::Result<()> {
    let value = method.value();
    if METHODS.contains(&value.as_str()) {
        return Ok(());
    }
    let mut message = format!(
        "`{value}` is not a known HTTP method: use one of {}",
        METHODS.join(", ")
    );
    if let Some(meant) = closest(&value, &METHODS) {
        message += &format!("; did you mean `{meant}`?");
    }
    Err(syn::Error::new(method.span(), message))
}
