//! The values of the label `method`.

use syn::LitStr;

use crate::suggest::closest;

/// RFC 9110's eight and PATCH of RFC 5789; whatever else is `_OTHER`, as in the
/// OpenTelemetry conventions, so that the label stays bounded.
const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "_OTHER",
];

pub(crate) fn is_standard(method: &str) -> bool {
    METHODS.contains(&method) && method != "_OTHER"
}

pub(crate) fn validate(method: &LitStr) -> syn::Result<()> {
    let value = method.value();
    if METHODS.contains(&value.as_str()) {
        return Ok(());
    }
    let mut message = format!("`method = \"{value}\"` is none of {}", METHODS.join(", "));
    if let Some(meant) = closest(&value, &METHODS) {
        message += &format!("; did you mean \"{meant}\"?");
    }
    Err(syn::Error::new(method.span(), message))
}
