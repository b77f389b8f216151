//! How a call ended: [`Outcome`] for users, [`End`] for the series, [`probe`] for reading
//! the outcome from a return value.

#[cfg_attr(
    not(feature = "actix-web"),
    allow(dead_code, reason = "used by actix-web only")
)]
pub(crate) mod answered;
pub(crate) mod http_status;
pub(crate) mod probe;

use std::borrow::Cow;

use crate::conventions::OTHER;

/// The outcome of a call that returned. An `outcome = …` function returns this type.
///
/// Determines the label `outcome`, and the label `http_status` or `grpc_status` if a
/// status is known. There is no variant for the outcomes `panicked` and `cancelled`,
/// because such a call returns no value. The attribute detects these outcomes itself.
///
/// # Examples
///
/// ```
/// use instrument_runtime::{Outcome, instrumented};
///
/// struct Reply {
///     code: u16,
/// }
///
/// #[instrumented(outcome = |reply| Outcome::HttpStatus(reply.code))]
/// async fn ask() -> Reply {
///     Reply { code: 404 }
/// }
/// assert_eq!(Outcome::HttpStatus(404).label(), "client_error");
/// assert_eq!(Outcome::HttpStatus(302).label(), "ok");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// A success: `outcome="ok"`, without a status.
    Ok,
    /// The caller's fault: `outcome="client_error"`, without a status.
    ClientError,
    /// The service's fault: `outcome="error"`, without a status.
    Error,
    /// An HTTP status ([RFC 9110, section 15](https://www.rfc-editor.org/rfc/rfc9110#section-15)), which becomes the label `http_status`.
    ///
    /// The outcome is `ok` for 100 to 399, `client_error` for 400 to 499 and `error` for
    /// 500 to 599. Any other number is not a status: it does not become a label, and
    /// counts as `error`.
    HttpStatus(u16),
    /// A gRPC status code, whose name becomes the label `grpc_status`.
    ///
    /// The outcome is `ok` for 0 (`OK`), `error` for 2, 4, 12, 13, 14 and 15 as in
    /// OpenTelemetry's conventions for gRPC servers, and `client_error` for the others. A
    /// number above 16 counts as 2 (`UNKNOWN`), as gRPC requires.
    GrpcStatus(u8),
}

impl Outcome {
    /// Returns the value of the label `outcome`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.end().outcome_label()
    }

    /// Returns the corresponding end. A `const fn`, because the outcome is often known at
    /// compile time.
    #[inline]
    pub(crate) const fn end(self) -> End {
        match self {
            Self::Ok => End::new(Kind::Ok),
            Self::ClientError => End::new(Kind::ClientError),
            Self::Error => End::new(Kind::Error),
            Self::HttpStatus(status) => End::http(status),
            Self::GrpcStatus(code) => End::grpc(code),
        }
    }
}

/// The values of the label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ok,
    ClientError,
    Error,
    Panicked,
    Cancelled,
}

/// The protocol of a request, which decides the status of a request without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The call is not a request. There is no status.
    None,
    /// HTTP. A cancelled request has 499 (nginx's code for a client that closed the
    /// connection), a panicked request has 500. The server may not have sent a response
    /// with this status.
    Http,
    /// gRPC. A cancelled request has `CANCELLED`, a panicked one `INTERNAL`.
    Grpc,
}

impl Protocol {
    /// Returns `self`, or `other` if `self` is `None`.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        match self {
            Self::None => other,
            _ => self,
        }
    }
}

/// How a call ended, to the extent that labels show it: an outcome and a status. A series
/// caches handles for each end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    kind: Kind,
    status: Status,
}

/// A status in one number, so that two ends are compared in one operation: 0 for none, an
/// HTTP status from 100 to 599, or [`GRPC`](Self::GRPC) plus a code from 0 to 16. The bit
/// [`UNSENT`](Self::UNSENT) marks the status that an end has by convention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Status(u16);

impl Status {
    const NONE: Self = Self(0);
    const GRPC: u16 = 1000;
    /// The bit of a status that no response had.
    const UNSENT: u16 = 1 << 15;

    const fn http(status: u16) -> Self {
        Self(status)
    }

    const fn grpc(code: u8) -> Self {
        Self(Self::GRPC + code as u16)
    }

    const fn unsent(self) -> Self {
        Self(self.0 | Self::UNSENT)
    }

    const fn number(self) -> u16 {
        self.0 & !Self::UNSENT
    }
}

/// The names of gRPC's status codes, indexed by the code.
const GRPC_CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
const GRPC_CANCELLED: u8 = 1;
const GRPC_UNKNOWN: u8 = 2;
const GRPC_INTERNAL: u8 = 13;

impl End {
    const fn new(kind: Kind) -> Self {
        Self {
            kind,
            status: Status::NONE,
        }
    }

    #[inline(never)]
    pub(crate) const fn http(status: u16) -> Self {
        let kind = match status {
            100..=399 => Kind::Ok,
            400..=499 => Kind::ClientError,
            500..=599 => Kind::Error,
            _ => return Self::new(Kind::Error),
        };
        Self {
            kind,
            status: Status::http(status),
        }
    }

    #[inline(never)]
    const fn grpc(code: u8) -> Self {
        let kind = match code {
            0 => Kind::Ok,
            1 | 3 | 5..=11 | 16 => Kind::ClientError,
            _ => Kind::Error,
        };
        let code = if code as usize >= GRPC_CODES.len() {
            GRPC_UNKNOWN
        } else {
            code
        };
        Self {
            kind,
            status: Status::grpc(code),
        }
    }

    /// The end of a call that panicked.
    pub(crate) const fn panicked(protocol: Protocol) -> Self {
        Self {
            kind: Kind::Panicked,
            status: match protocol {
                Protocol::None => Status::NONE,
                Protocol::Http => Status::http(500).unsent(),
                Protocol::Grpc => Status::grpc(GRPC_INTERNAL).unsent(),
            },
        }
    }

    /// The end of a call whose future was dropped.
    pub(crate) const fn cancelled(protocol: Protocol) -> Self {
        Self {
            kind: Kind::Cancelled,
            status: match protocol {
                Protocol::None => Status::NONE,
                Protocol::Http => Status::http(499).unsent(),
                Protocol::Grpc => Status::grpc(GRPC_CANCELLED).unsent(),
            },
        }
    }

    pub(crate) const fn outcome_label(self) -> &'static str {
        match self.kind {
            Kind::Ok => "ok",
            Kind::ClientError => "client_error",
            Kind::Error => "error",
            Kind::Panicked => "panicked",
            Kind::Cancelled => "cancelled",
        }
    }

    pub(crate) fn http_status(self) -> Option<u16> {
        let status = self.status.number();
        (status != 0 && status < Status::GRPC).then_some(status)
    }

    pub(crate) fn grpc_status(self) -> Option<&'static str> {
        let code = self.status.number().checked_sub(Status::GRPC)?;
        GRPC_CODES.get(usize::from(code)).copied()
    }

    /// Returns whether a response had the status. Without a response, an end may have a
    /// status by convention.
    pub(crate) fn is_sent(self) -> bool {
        self.status.0 & Status::UNSENT == 0
    }

    /// Returns the label `error_type` of OpenTelemetry's conventions, or `None` if the call
    /// has succeeded. A failure that is the client's fault is not an error of the server.
    pub(crate) fn error_type(self) -> Option<Cow<'static, str>> {
        match self.kind {
            Kind::Ok | Kind::ClientError => None,
            Kind::Panicked => Some("panic".into()),
            Kind::Cancelled => Some("cancelled".into()),
            Kind::Error => Some(match (self.http_status(), self.grpc_status()) {
                (Some(status @ 500..), _) => status.to_string().into(),
                (_, Some(status)) if status != GRPC_CODES[0] => status.into(),
                // The call failed in another way, perhaps with a success status.
                _ => OTHER.into(),
            }),
        }
    }
}

/// For layers, which combine the end of the handler with the response that went out.
#[cfg_attr(
    not(feature = "_layer"),
    allow(dead_code, reason = "used by layers only")
)]
impl End {
    /// The end of a request whose response failed while its body was sent.
    pub(crate) const FAILED: Self = Self::new(Kind::Error);

    pub(crate) const fn is_panicked(self) -> bool {
        matches!(self.kind, Kind::Panicked)
    }

    pub(crate) const fn is_cancelled(self) -> bool {
        matches!(self.kind, Kind::Cancelled)
    }

    pub(crate) const fn is_ok(self) -> bool {
        matches!(self.kind, Kind::Ok)
    }

    /// Returns this end's outcome with the status of the response that went out.
    pub(crate) const fn answered_with(self, answer: Self) -> Self {
        Self {
            kind: self.kind,
            status: answer.status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_fall_into_the_contracts_classes() {
        for (status, label, kept) in [
            (100, "ok", true),
            (200, "ok", true),
            (399, "ok", true),
            (400, "client_error", true),
            (499, "client_error", true),
            (500, "error", true),
            (599, "error", true),
            (600, "error", false),
            (99, "error", false),
            (0, "error", false),
        ] {
            let end = Outcome::HttpStatus(status).end();
            assert_eq!(end.outcome_label(), label, "{status}");
            assert_eq!(end.http_status(), kept.then_some(status), "{status}");
        }
    }

    #[test]
    fn only_a_request_gets_a_status_it_did_not_answer() {
        for (end, http, grpc) in [
            (End::panicked(Protocol::Http), Some(500), None),
            (End::panicked(Protocol::Grpc), None, Some("INTERNAL")),
            (End::panicked(Protocol::None), None, None),
            (End::cancelled(Protocol::Http), Some(499), None),
            (End::cancelled(Protocol::Grpc), None, Some("CANCELLED")),
            (End::cancelled(Protocol::None), None, None),
        ] {
            assert_eq!(end.http_status(), http, "{end:?}");
            assert_eq!(end.grpc_status(), grpc, "{end:?}");
        }
    }

    #[test]
    fn grpc_codes_fall_into_classes_too() {
        for (code, label, name) in [
            (0, "ok", "OK"),
            (1, "client_error", "CANCELLED"),
            (2, "error", "UNKNOWN"),
            (5, "client_error", "NOT_FOUND"),
            (12, "error", "UNIMPLEMENTED"),
            (16, "client_error", "UNAUTHENTICATED"),
            (17, "error", "UNKNOWN"),
        ] {
            let end = Outcome::GrpcStatus(code).end();
            assert_eq!(
                (end.outcome_label(), end.grpc_status()),
                (label, Some(name))
            );
        }
    }
}
