//! The kinds of a function's arguments: whether a framework can extract them from a
//! request, and how much they prove.

#![allow(missing_docs, reason = "named only in the expansion of the macro")]

/// The kinds of one argument, or of all arguments of a function, for one framework: a set
/// of flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extracts(u8);

impl Extracts {
    /// An extractor that helpers also take, such as a header map. A function without
    /// arguments has this value too.
    pub const PLAIN: Self = Self(0);
    /// Not an extractor.
    pub const OTHER: Self = Self(1);
    /// An extractor that consumes the body of the request.
    pub const BODY: Self = Self(2);
    /// An extractor that helpers seldom take: evidence that the function is a handler.
    pub const TELLING: Self = Self(4);
    /// The request itself.
    pub const REQUEST: Self = Self(8);

    /// Returns the union of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Extracts {
    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns whether all arguments are extractors.
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

/// The kinds of a function's arguments, for each framework.
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
