//! How a call ended.

/// How a call that returned went: what an `outcome = …` function answers.
///
/// It fills the label `outcome` and, where a status is known, `http_status`.
/// The two ends that no return value can tell, `panicked` and `cancelled`, are
/// seen by the attribute itself.
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
/// # assert_eq!(Outcome::HttpStatus(404).label(), "client_error");
/// # assert_eq!(Outcome::HttpStatus(302).label(), "ok");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// `outcome="ok"`, no status.
    Ok,
    /// `outcome="client_error"`, no status: the caller's fault.
    ClientError,
    /// `outcome="error"`, no status: the service's fault.
    Error,
    /// The outcome follows from an HTTP status (RFC 9110, section 15):
    /// `ok` below 400, `client_error` from 400, `error` from 500. A number
    /// outside 100 to 599 is no status: it is left off and counts as `error`.
    HttpStatus(u16),
}

impl Outcome {
    /// The value of the label `outcome`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.end().outcome_label()
    }

    pub(crate) const fn end(self) -> End {
        match self {
            Self::Ok => End::new(Kind::Ok),
            Self::ClientError => End::new(Kind::ClientError),
            Self::Error => End::new(Kind::Error),
            Self::HttpStatus(status) => End::http(status),
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

/// One of the ways a call can end, as the labels tell them apart. A call site
/// keeps the handles of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    kind: Kind,
    /// 100 to 599, or 0 for none.
    http_status: u16,
}

impl End {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            http_status: 0,
        }
    }

    pub(crate) const fn http(status: u16) -> Self {
        let kind = match status {
            100..=399 => Kind::Ok,
            400..=499 => Kind::ClientError,
            500..=599 => Kind::Error,
            _ => return Self::new(Kind::Error),
        };
        Self {
            kind,
            http_status: status,
        }
    }

    /// A panic; an HTTP request that panics is a 500.
    pub(crate) const fn panicked(http: bool) -> Self {
        Self {
            kind: Kind::Panicked,
            http_status: if http { 500 } else { 0 },
        }
    }

    /// A dropped future; for an HTTP request 499, nginx's number for a client
    /// that closed the connection.
    pub(crate) const fn cancelled(http: bool) -> Self {
        Self {
            kind: Kind::Cancelled,
            http_status: if http { 499 } else { 0 },
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
        (self.http_status != 0).then_some(self.http_status)
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
        assert_eq!(End::panicked(true).http_status(), Some(500));
        assert_eq!(End::panicked(false).http_status(), None);
        assert_eq!(End::cancelled(true).http_status(), Some(499));
        assert_eq!(End::cancelled(false).http_status(), None);
    }
}
