//! Prometheus metrics for async handlers, by one attribute.

mod builder;
mod call;
mod call_site;
mod clock;
mod current;
mod error;
mod exporter;
mod http_status;
mod names;
mod outcome;
mod recorder;
mod series;
mod settings;
mod tell;

pub use builder::{Builder, builder, init};
pub use error::InitError;
pub use exporter::Exporter;
pub use http_status::HttpStatus;
pub use instrument_macros::{HttpStatus, instrumented};
pub use names::MetricNames;
pub use outcome::Outcome;

/// What the attribute's expansion calls. No part of the public interface.
#[doc(hidden)]
#[allow(missing_docs)]
pub mod __private {
    pub use crate::call::{Call, Instrumented};
    pub use crate::call_site::CallSite;
    pub use crate::tell::{BY_NOTHING, ByFunction, Probe, Teller, by_function, probe};
    pub use core::module_path;
    pub use std::boxed::Box;

    /// The traits by which a return type finds its [`Teller`].
    pub mod tell {
        pub use crate::tell::{HasNothing, HasStatus, HasText, OfResult, OfValue};
    }

    /// Gives an inferred type a name in code that never runs.
    #[must_use]
    pub fn never<R>() -> R {
        unreachable!("this only tells the compiler a type")
    }

    /// Names a function pointer's return type; the only way to write `!` there.
    pub trait Returns {
        type Output;
    }

    impl<R> Returns for fn() -> R {
        type Output = R;
    }
}
