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
//! - [`Builder::file_sd`] and [`http_sd`] let Prometheus find the instances of a
//!   fleet as they come and go.
//!
//! Behind features, the whole of a request, with the method, the matched route
//! and the status that went out, and those that reached no handler:
//!
//! | feature | layer | the page as a handler |
//! |---|---|---|
//! | `axum` | [`axum::layer()`](crate::axum::layer) | [`axum::metrics`] |
//! | `actix-web` | [`actix_web::middleware()`](crate::actix_web::middleware) | [`actix_web::metrics`] |
//! | `tonic` | [`tonic::layer()`](crate::tonic::layer) | |
//! | `tower` | [`tower::layer()`](crate::tower::layer) | |
//!
//! Three more features: `process` adds the process's own metrics to the page, `push`
//! pushes the page of a job that is too short to be scraped ([`Builder::push`]), and
//! `testing` lets unit tests ask what was counted ([`testing`]).
//!
//! Calls are recorded through the [`metrics`] facade. Without `init`, a recorder
//! of your own gets them; with neither, a call costs a little and counts nothing. A
//! recorder of your own is asked for its handles at every call, so it may forget idle
//! series and add labels as it likes; only our own recorder's handles are kept.
//! A library may therefore annotate its functions and leave the rest to the
//! application.
//!
//! # Silence
//!
//! What keeps an application from seeing its metrics is said on stderr, once each:
//!
//! - A layer counts requests, or `axum::metrics` or `actix_web::metrics` is asked for
//!   the page, and there was no `init`.
//! - With a layer in use, a function that is a handler by its attribute or by its
//!   arguments ran outside of all requests. In axum, its route was added after
//!   `.layer(…)`.
//! - Such a function has neither a method nor a route: `#[instrumented]` stands below
//!   the route attribute, or there is no layer.
//! - A function with labels of its own ran within a request and may be its handler,
//!   but nothing proves it, so the request has no such labels.
//!
//! Annotated functions alone never cause a message, with or without `init`: they may
//! be a library's, and its users have not asked for metrics. Nothing is checked on
//! the path of a call, only when a series is new or is recorded by nothing.
//!
//! The environment variable `INSTRUMENT_DIAGNOSTICS` changes that: `off` says nothing
//! at all, and `verbose` also names the first annotated call that no recorder counts.
//! [`Builder::without_diagnostics`] is `off` from `install` on.

// docs.rs marks each gated item with its feature or platform.
#![cfg_attr(docsrs, feature(doc_cfg))]
// The links above lead to items of every feature.
#![cfg_attr(
    not(all(
        unix,
        feature = "actix-web",
        feature = "axum",
        feature = "push",
        feature = "testing",
        feature = "tonic"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

// The map of the crate, in the order in which a call flows through it.

// 1. The hot path: every annotated call runs through it. No allocation, no lock.
mod call;
mod lock_free;
mod outcome;

// 2. Where calls are stored. Locks only when a series is new or a page is made.
mod recorder;

// 3. From the store to Prometheus. May block; runs on the exporter's own thread.
mod discovery;
mod exporter;
mod page;
#[cfg(feature = "process")]
mod process;
#[cfg_attr(not(feature = "push"), path = "push/off.rs")]
mod push;
mod stop;

// 4. Settings and what goes wrong with them.
mod builder;
mod diagnostics;
mod error;
mod names;
mod settings;

// 5. Public modules: one for each framework, and one for unit tests.
#[cfg(feature = "actix-web")]
pub mod actix_web;
#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tonic")]
pub mod tonic;
#[cfg(feature = "tower")]
pub mod tower;

pub use builder::{Builder, builder, init};
#[cfg(unix)]
pub use discovery::http_sd;
pub use error::InitError;
#[cfg(feature = "push")]
pub use error::PushError;
pub use exporter::Exporter;
pub use instrument_macros::{HttpStatus, instrumented};
pub use names::MetricNames;
pub use outcome::Outcome;
pub use outcome::http_status::HttpStatus;

/// What the attribute's expansion calls. No part of the public interface.
#[doc(hidden)]
#[allow(missing_docs)]
pub mod __private {
    pub use crate::__arguments as arguments;
    #[cfg(feature = "actix-web")]
    pub use crate::call::arguments::ActixWeb;
    #[cfg(feature = "axum")]
    pub use crate::call::arguments::Axum;
    pub use crate::call::arguments::{Argument, Unknown, WithArguments};
    pub use crate::call::by_values::{LabelValue, shown};
    pub use crate::call::site::{CallSite, Known};
    pub use crate::call::{Call, Instrumented, Labelling, Running};
    pub use crate::outcome::probe::{BY_NOTHING, ByFunction, Probe, Teller, by_function, probe};
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
#[doc = include_str!("../README.md")]
struct Readme;
