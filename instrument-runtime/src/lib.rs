//! Prometheus metrics for async handlers, with one attribute.
//!
//! Counts requests, measures their latency and tracks how many are in flight. Cancelled
//! and panicked requests are counted too.
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
//! - [`instrumented`] is the attribute. Its documentation lists the arguments and the
//!   kinds of function that it supports.
//! - [`HttpStatus`] (a trait and a derive macro) and [`Outcome`] tell the attribute how a
//!   call ended, based on its return value.
//! - [`init`] and [`builder`] install the metrics and serve them. Both return an
//!   [`Exporter`].
//! - [`MetricNames`] sets the names of the metrics and labels.
//! - [`Builder::file_sd`] and [`http_sd`] let Prometheus discover the instances of a
//!   fleet as they start and stop.
//!
//! # Features
//!
//! Framework layers, each behind a feature, count whole requests (real method, matched
//! route, final status), including those that never reach a handler. No feature is
//! enabled by default.
//!
//! | feature | for | items |
//! |---|---|---|
//! | `axum` | axum 0.8 | the layer [`axum::layer`](crate::axum::layer()), and [`axum::metrics`](crate::axum::metrics()) to serve the page on a route; enables `tower` |
//! | `actix-web` | actix-web 4 | [`actix_web::middleware`](crate::actix_web::middleware()), and [`actix_web::metrics`](crate::actix_web::metrics()) to serve the page on a route |
//! | `tonic` | tonic 0.14: gRPC and gRPC-Web | the layer [`tonic::layer`](crate::tonic::layer()), and the label `grpc_status`; enables `tower` |
//! | `tower` | any `Service<http::Request<_>>` | the layer [`tower::layer`](crate::tower::layer()), and [`tower::set_matched_route`](crate::tower::set_matched_route()) |
//! | `process` | CPU, memory, file descriptors, threads and start time of the process | on every page; no items |
//! | `push` | batch jobs that end before Prometheus would scrape them | [`Builder::push`] to a Pushgateway, [`Exporter::last_push_error`], [`PushError`] |
//! | `testing` | unit tests (enable it in `[dev-dependencies]`) | [`testing::Recording`] and its assertions |
//!
//! # Recorders
//!
//! Calls are recorded through the [`metrics`] facade. [`init`] installs a recorder.
//! Without `init`, calls go to the recorder that the application installed itself. If
//! there is no recorder at all, a call costs a little and counts nothing. A library may
//! therefore annotate its functions and leave the decision to the application.
//!
//! The handles of `init`'s own recorder are cached. Any other recorder is asked for its
//! handles at every call, so it may drop idle series or add labels.
//!
//! # Silence
//!
//! The library reports, once each on stderr, mistakes that keep an application from
//! seeing its metrics:
//!
//! - A layer counts requests, or `axum::metrics` or `actix_web::metrics` is asked for the
//!   page, but `init` was not called.
//! - A layer is in use, but a function that is a handler (by its attribute or by its
//!   arguments) ran outside every request. In axum, its route was added after
//!   `.layer(…)`.
//! - Such a function has neither a method nor a route: `#[instrumented]` stands below the
//!   route attribute, or there is no layer.
//! - A function with labels of its own ran inside a request and may be the handler, but
//!   nothing proves it. The request is counted without these labels.
//!
//! Annotated functions alone never cause a message, with or without `init`. They may
//! belong to a library whose users have not asked for metrics. The checks run only when a
//! series is new or when no recorder is installed, never on the hot path.
//!
//! The environment variable `INSTRUMENT_DIAGNOSTICS` changes this: `off` silences every
//! message, and `verbose` also names the first annotated call that no recorder counts.
//! [`Builder::without_diagnostics`] has the effect of `off` from `install` on.

// docs.rs shows the feature or platform of each gated item.
#![cfg_attr(docsrs, feature(doc_cfg))]
// The links above point to items of every feature, so they are broken without some.
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

// Module map, in the order in which a call flows through the crate:
//
//   #[instrumented] ──► call ──► recorder ──► page ──┬──► exporter   Prometheus scrapes it
//   layers (axum, …) ─┘                              └──► push       sends it to a gateway
//
//   group           where it runs                        may it block?
//   1. hot path     in every annotated call              no
//   2. storage      in every annotated call; per page    only for a new series or a page
//   3. publishing   on the exporter's own thread         yes: sockets, files, rendering
//   4. settings     once, on the caller of `install`     yes: DNS, files
//   5. public API   layers: in every request             no
//
// The public items are the modules of group 5 and the re-exports below them. `__private`
// is public only for the expansion of the macros.

// 1. The hot path. A call outside a layer's request that our own recorder records takes
//    no lock, and allocates nothing once its series exist. Exceptions: the own labels of
//    a function that returns a future, and label values beyond `max_series`, allocate; a
//    call inside a layer's request locks the mutex of that request.
mod call;
mod lock_free;
mod outcome;

// 2. Storage: counters, histograms and gauges, sharded by thread. Recording a call takes
//    no lock; creating a series and reading all series for a page do.
mod recorder;

// 3. Publishing: renders the page, serves it, pushes it, and announces the instance to
//    service discovery. For a route of the application's own, a separate thread renders.
mod discovery;
mod exporter;
mod page;
#[cfg(feature = "process")]
mod process;
#[cfg_attr(not(feature = "push"), path = "push/off.rs")]
mod push;
mod stop;

// 4. Settings, their validation, and messages to users.
mod builder;
mod diagnostics;
mod error;
mod names;
mod settings;

// 5. Public API: one module per framework, and one for unit tests.
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

/// The items that the expansion of the macros uses. Not part of the public interface.
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

    /// Stands for a value of an inferred type, in code that is type-checked but never
    /// runs.
    #[must_use]
    pub fn never<R>() -> R {
        unreachable!("only the type of this expression is used")
    }

    /// Calls a function's body. The bound `FnOnce` makes rustc infer a closure that may
    /// move out of its captures.
    #[inline]
    pub fn call_once<R>(body: impl FnOnce() -> R) -> R {
        body()
    }

    /// Returns its argument. Fixes the type of an expression to the function's return
    /// type.
    #[inline(always)]
    pub fn returned<R>(value: R) -> R {
        value
    }

    /// Names the return type of a function pointer. On stable Rust, this is the only way
    /// to name the type `!`.
    pub trait Returns {
        type Output;
    }

    impl<R> Returns for fn() -> R {
        type Output = R;
    }
}

/// Compiles the code blocks of the README.
#[cfg(all(doctest, feature = "axum", feature = "push", feature = "testing"))]
#[doc = include_str!("../README.md")]
struct Readme;
