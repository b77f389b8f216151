//! Parses an HTTP status in an attribute: a number, or the name of a constant of
//! `http::StatusCode`.

use syn::parse::{Parse, ParseStream};
use syn::{Ident, LitInt};

use crate::suggest::closest;

/// The IANA registry of HTTP status codes, under the names of the constants of
/// `http::StatusCode`.
const NAMES: [(&str, u16); 61] = [
    ("CONTINUE", 100),
    ("SWITCHING_PROTOCOLS", 101),
    ("PROCESSING", 102),
    ("EARLY_HINTS", 103),
    ("OK", 200),
    ("CREATED", 201),
    ("ACCEPTED", 202),
    ("NON_AUTHORITATIVE_INFORMATION", 203),
    ("NO_CONTENT", 204),
    ("RESET_CONTENT", 205),
    ("PARTIAL_CONTENT", 206),
    ("MULTI_STATUS", 207),
    ("ALREADY_REPORTED", 208),
    ("IM_USED", 226),
    ("MULTIPLE_CHOICES", 300),
    ("MOVED_PERMANENTLY", 301),
    ("FOUND", 302),
    ("SEE_OTHER", 303),
    ("NOT_MODIFIED", 304),
    ("USE_PROXY", 305),
    ("TEMPORARY_REDIRECT", 307),
    ("PERMANENT_REDIRECT", 308),
    ("BAD_REQUEST", 400),
    ("UNAUTHORIZED", 401),
    ("PAYMENT_REQUIRED", 402),
    ("FORBIDDEN", 403),
    ("NOT_FOUND", 404),
    ("METHOD_NOT_ALLOWED", 405),
    ("NOT_ACCEPTABLE", 406),
    ("PROXY_AUTHENTICATION_REQUIRED", 407),
    ("REQUEST_TIMEOUT", 408),
    ("CONFLICT", 409),
    ("GONE", 410),
    ("LENGTH_REQUIRED", 411),
    ("PRECONDITION_FAILED", 412),
    ("PAYLOAD_TOO_LARGE", 413),
    ("URI_TOO_LONG", 414),
    ("UNSUPPORTED_MEDIA_TYPE", 415),
    ("RANGE_NOT_SATISFIABLE", 416),
    ("EXPECTATION_FAILED", 417),
    ("IM_A_TEAPOT", 418),
    ("MISDIRECTED_REQUEST", 421),
    ("UNPROCESSABLE_ENTITY", 422),
    ("LOCKED", 423),
    ("FAILED_DEPENDENCY", 424),
    ("TOO_EARLY", 425),
    ("UPGRADE_REQUIRED", 426),
    ("PRECONDITION_REQUIRED", 428),
    ("TOO_MANY_REQUESTS", 429),
    ("REQUEST_HEADER_FIELDS_TOO_LARGE", 431),
    ("UNAVAILABLE_FOR_LEGAL_REASONS", 451),
    ("INTERNAL_SERVER_ERROR", 500),
    ("NOT_IMPLEMENTED", 501),
    ("BAD_GATEWAY", 502),
    ("SERVICE_UNAVAILABLE", 503),
    ("GATEWAY_TIMEOUT", 504),
    ("HTTP_VERSION_NOT_SUPPORTED", 505),
    ("VARIANT_ALSO_NEGOTIATES", 506),
    ("INSUFFICIENT_STORAGE", 507),
    ("LOOP_DETECTED", 508),
    ("NETWORK_AUTHENTICATION_REQUIRED", 511),
];

/// A status from 100 to 599.
#[derive(Clone, Copy)]
pub(crate) struct StatusCode(pub(crate) u16);

impl Parse for StatusCode {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.peek(LitInt) {
            let number: LitInt = input.parse()?;
            return match number.base10_parse() {
                Ok(status @ 100..=599) => Ok(Self(status)),
                _ => Err(syn::Error::new(
                    number.span(),
                    format!("`{number}` is not an HTTP status: write a number from 100 to 599"),
                )),
            };
        }
        let name: Ident = input.parse().map_err(|error| {
            syn::Error::new(
                error.span(),
                "expected an HTTP status: write a number such as `404`, a name such as \
                 `NOT_FOUND`, or `transparent`",
            )
        })?;
        let found = name.to_string();
        NAMES
            .iter()
            .find(|(name, _)| *name == found)
            .map(|(_, status)| Self(*status))
            .ok_or_else(|| {
                let mut names = NAMES.map(|(name, _)| name).to_vec();
                names.push("transparent");
                let hint = closest(&found, &names)
                    .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                syn::Error::new(
                    name.span(),
                    format!(
                        "`{found}` is not an HTTP status: write a number, the name of a \
                         constant of `http::StatusCode`, or `transparent`{hint}"
                    ),
                )
            })
    }
}
