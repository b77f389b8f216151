//! What a function's arguments are to a framework: extractors, and of which kind.

#![allow(missing_docs, reason = "only the expansion names these")]

/// What one argument is to one framework, or all of a function's together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extracts(u8);

impl Extracts {
    /// An extractor as any helper may take one: headers, say, or none at all.
    pub const PLAIN: Self = Self(0);
    /// No extractor.
    pub const OTHER: Self = Self(1);
    /// It takes the request's body.
    pub const BODY: Self = Self(2);
    /// Helpers seldom take it.
    pub const TELLING: Self = Self(4);
    /// The request itself.
    pub const REQUEST: Self = Self(8);

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Extracts {
    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all arguments are extractors.
    pub(crate) const fn are_all(self) -> bool {
        !self.has(Self::OTHER)
    }

    pub(crate) const fn has_body(self) -> bool {
        self.has(Self::BODY)
    }

    pub(crate) const fn is_telling(self) -> bool {
        self.has(Self::TELLING)
    }

    pub(crate) const fn is_request(self) -> bool {
        self.has(Self::REQUEST)
    }
}

/// What a function's arguments are to each framework.
#[derive(Clone, Copy, Debug)]
pub struct ExtractsOf {
    pub axum: Extracts,
    pub actix_web: Extracts,
}

impl ExtractsOf {
    pub const NO_ARGUMENTS: Self = Self {
        axum: Extracts::PLAIN,
        actix_web: Extracts::PLAIN,
    };

    pub const UNKNOWN: Self = Self {
        axum: Extracts::OTHER,
        actix_web: Extracts::OTHER,
    };
}
