//! Prometheus metrics for async handlers, by one attribute: how many requests
//! there were, how long they took and how many are in flight, with cancelled and
//! panicked ones counted.
//!
//! ```no_run
//! use instrument_runtime::instrumented;
//!
//! #[instrumented(endpoint = "/test", method = "GET")]
//! async fn test() -> &'static str {
//!     "test"
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     instrument_runtime::init("webapp_1")?; // serves http://127.0.0.1:9464/metrics
//!     println!("{}", test().await);
//!     Ok(())
//! }
//! ```
//!
//! - [`instrumented`] is the attribute, with its arguments and the shapes of
//!   function that it goes on.
//! - [`HttpStatus`] (a trait and a derive) and [`Outcome`] are how a return value
//!   tells how its call went.
//! - [`init`] and [`builder`] install the metrics and serve them; an [`Exporter`]
//!   is what comes back.
//! - [`MetricNames`] are what they are called.
//! - [`Builder::file_sd`] and `http_sd` let Prometheus find the instances of a
//!   fleet as they come and go.
//!
//! Behind features, the whole of a request, with the method, the matched route
//! and the status that went out, and those that reached no handler:
//!
//! | feature | layer | the page as a handler |
//! |---|---|---|
//! | `axum` | `axum::layer()` | `axum::metrics` |
//! | `actix-web` | `actix_web::middleware()` | `actix_web::metrics` |
//! | `tonic` | `tonic::layer()` | |
//! | `tower` | `tower::layer()` | |
//!
//! Three more features: `process` adds the process's own metrics to the page, `push`
//! pushes the page of a job that is too short to be scraped, and `testing` lets unit
//! tests ask what was counted.
//!
//! Calls are recorded through the [`metrics`] facade. Without `init`, a recorder
//! of your own gets them; with neither, a call costs a little and counts nothing.
//! A library may therefore annotate its functions and leave the rest to the
//! application.

#[cfg(feature = "actix-web")]
pub mod actix_web;
#[cfg(any(feature = "axum", feature = "actix-web"))]
mod app_page;
#[cfg(feature = "axum")]
pub mod axum;
mod builder;
mod call;
mod call_site;
mod clock;
mod current;
mod discovery;
mod error;
mod exporter;
mod http_status;
#[cfg(feature = "_layer")]
mod method;
mod names;
mod outcome;
#[cfg(feature = "process")]
mod process;
#[cfg(feature = "push")]
mod push;
mod recorder;
#[cfg(feature = "_layer")]
mod request;
#[cfg(feature = "_layer")]
mod request_series;
mod series;
mod settings;
mod tell;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tonic")]
pub mod tonic;
#[cfg(feature = "tower")]
pub mod tower;
mod values;
mod zeros;

pub use builder::{Builder, builder, init};
#[cfg(unix)]
pub use discovery::http_sd;
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
    pub use crate::call::{Call, Instrumented, Running};
    pub use crate::call_site::CallSite;
    pub use crate::tell::{BY_NOTHING, ByFunction, Probe, Teller, by_function, probe};
    pub use crate::values::{LabelValue, shown};
    pub use crate::zeros::Known;
    pub use core::module_path;
    pub use core::pin::pin;
    pub use inventory::submit;
    pub use std::boxed::Box;

    /// Gives an inferred type a name in code that never runs.
    #[must_use]
    pub fn never<R>() -> R {
        unreachable!("this only tells the compiler a type")
    }

    /// Calls a function's body. The bound tells the compiler that the closure is
    /// called once, so that it may move out of what it captured.
    #[inline]
    pub fn call_once<R>(body: impl FnOnce() -> R) -> R {
        body()
    }

    /// Gives an expression the type that the function returns.
    #[inline(always)]
    pub fn returned<R>(value: R) -> R {
        value
    }

    /// Names a function pointer's return type; the only way to write `!` there.
    pub trait Returns {
        type Output;
    }

    impl<R> Returns for fn() -> R {
        type Output = R;
    }
}

/// The README's code compiles.
#[cfg(all(doctest, feature = "axum", feature = "push", feature = "testing"))]
#[doc = include_str!("../../README.md")]
struct Readme;
