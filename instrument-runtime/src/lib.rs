//! Prometheus metrics for any function, with one attribute.
//!
//! Put [`#[instrumented]`](instrumented) on a function and call [`init`] once. Prometheus then
//! sees how many calls there were, how they ended, how long they took, and how many are in
//! flight. Calls that panic or are cancelled are counted too.
//!
//! ```no_run
//! use instrument_runtime::instrumented;
//!
//! #[instrumented(labels(queue = queue))]
//! async fn work(queue: &str, job: &str) -> Result<u32, std::num::ParseIntError> {
//!     job.parse()
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let exporter = instrument_runtime::init("worker_1")?;
//!     for job in ["7", "8", "nine"] {
//!         if let Err(error) = work("mail", job).await {
//!             eprintln!("a job failed: {error}");
//!         }
//!     }
//!     tokio::signal::ctrl_c().await?;
//!     exporter.shutdown().await;
//!     Ok(())
//! }
//! ```
//!
//! Until Ctrl+C, this program serves a [live view](Exporter#the-live-view) for people at
//! `http://127.0.0.1:9464/`, and for Prometheus a page at `http://127.0.0.1:9464/metrics`, which
//! has among others:
//!
//! ```text
//! requests_total{app_name="worker_1",endpoint="work",outcome="ok",queue="mail"} 2
//! requests_total{app_name="worker_1",endpoint="work",outcome="error",queue="mail"} 1
//! requests_in_progress{app_name="worker_1",endpoint="work",queue="mail"} 0
//! ```
//!
//! A web service adds the layer of its framework, which counts whole requests, with the
//! matched route and the status that goes out. The guide has [a complete start for each
//! framework](_guide::frameworks).
//!
//! # Guide
//!
//! The module [`_guide`] contains only documentation. Its chapters:
//!
//! - [`frameworks`](_guide::frameworks): a complete start for each framework, and for workers,
//!   batch jobs and libraries
//! - [`counted_when`](_guide::counted_when): what is counted when, with and without a layer
//! - [`labels`](_guide::labels): your own labels, and how their number of series stays bounded
//! - [`naming`](_guide::naming): the names of metrics and labels, buckets, and the name of the
//!   application
//! - [`objectives`](_guide::objectives): service level objectives
//! - [`formats`](_guide::formats): the formats of the page, native histograms and exemplars
//! - [`testing`](_guide::testing): unit tests that check what was counted
//! - [`production`](_guide::production): addresses, discovery, shutdown, forks, pushes and
//!   Kubernetes
//! - [`security`](_guide::security): what the endpoint exposes, and what protects it
//! - [`performance`](_guide::performance): what a call, a request and a scrape cost
//! - [`troubleshooting`](_guide::troubleshooting): symptoms, their causes, and what to do
//! - [`how_it_works`](_guide::how_it_works): the way of a call from the attribute to Prometheus
//! - [`coming_from`](_guide::coming_from): how to migrate from axum-prometheus, actix-web-prom,
//!   autometrics, the macros of `metrics`, or OpenTelemetry
//!
//! # Items
//!
//! - [`instrumented`] is the attribute. Its documentation lists the arguments and the
//!   kinds of function that it supports.
//! - [`init`] and [`Builder::install`] install the recorder, serve the metrics and return
//!   an [`Exporter`]. [`builder()`] returns a [`Builder`], which has all settings.
//! - [`HttpStatus`] (a trait and a derive macro) and [`Outcome`] determine from the return
//!   value how a call ended.
//! - [`MetricNames`] sets the names of the metrics and labels.
//! - [`Objective`] is what the calls of a function or the requests of a route must achieve,
//!   for alerts on service level objectives (SLOs).
//! - [`Builder::native_histograms`] adds the buckets of native histograms,
//!   [`Builder::exemplars`] adds the traces of single calls, and
//!   [`Builder::oldest_in_progress`] adds the age of the oldest call in flight.
//! - [`Builder::file_sd`] and [`http_sd`] let Prometheus discover instances that start and
//!   stop.
//!
//! # Features
//!
//! Framework layers, each behind a feature, count whole requests (real method, matched
//! route, final status), including those that never reach a handler. No feature is
//! enabled by default.
//!
//! | feature | purpose | items |
//! |---|---|---|
//! | `axum` | axum 0.8 | the layer [`axum::layer`](crate::axum::layer()), [`axum::metrics`](crate::axum::metrics()) and [`axum::live_view`](crate::axum::live_view()) to serve the page and the live view on routes; enables `tower` |
//! | `actix-web` | actix-web 4 | [`actix_web::middleware`](crate::actix_web::middleware()), [`actix_web::metrics`](crate::actix_web::metrics()) and [`actix_web::live_view`](crate::actix_web::live_view()) to serve the page and the live view on routes |
//! | `tonic` | tonic 0.14: gRPC and gRPC-Web | the layer [`tonic::layer`](crate::tonic::layer()), and the label `grpc_status`; enables `tower` |
//! | `tower` | any `Service<http::Request<_>>` | the layer [`tower::layer`](crate::tower::layer()), and [`tower::set_matched_route`](crate::tower::set_matched_route()) |
//! | `opentelemetry` | exemplars with the current OpenTelemetry span | [`opentelemetry::current`](crate::opentelemetry::current()), for [`Builder::exemplars`] |
//! | `process` | CPU time, memory, file descriptors, threads and start time of the process, as far as the operating system provides them | no items: the metrics are on every page |
//! | `push` | batch jobs that end before Prometheus would scrape them | [`Builder::push`] to a Pushgateway, [`Exporter::last_push_error`], [`PushError`] |
//! | `testing` | unit tests (enable it in `[dev-dependencies]`) | [`testing::Recording`] and its assertions |
//! | `tokio` | workers, busy time, tasks and queue of tokio runtimes (tokio 1.49 or newer) | the metrics are on every page; [`tokio::watch`](crate::tokio::watch()) adds a runtime that is built after `install`, or a second one |
//!
//! # Recorders
//!
//! Calls are recorded through the facade of the crate [`metrics`](https://docs.rs/metrics).
//! [`init`] installs the recorder of this crate. Without `init`, calls go to the recorder
//! that the application has installed. Without any recorder, a call has little overhead and
//! records nothing. A library can therefore annotate its functions and let the application
//! decide whether to record them.
//!
//! The handles of this crate's own recorder are cached. Any other recorder is asked for new
//! handles in every call. It may therefore drop idle series, or add labels that change
//! between calls.
//!
//! # Diagnostics
//!
//! The library writes messages to stderr about mistakes that keep an application from
//! seeing its metrics. Each message is written once:
//!
//! - A layer handled a request, or `axum::metrics` or `actix_web::metrics` was asked for
//!   the page, but no recorder is installed.
//! - A layer is in use, but a function that looks like a handler (by its attribute or by
//!   its arguments) ran outside every request. In axum, a common cause is a route that was
//!   added after `.layer(…)`.
//! - A function that looks like a handler has neither a method nor an endpoint, and ran
//!   outside every request. `#[instrumented]` is below the route attribute, or there is no
//!   layer.
//! - A function with its own labels ran inside a request and may be the handler, but
//!   nothing proves it. The request was counted without these labels.
//! - A metric of the application is not on the page, because another metric on the page
//!   has the same name. This message is written once for each name.
//! - A push to a Pushgateway has failed. There is another message if the last push fails.
//!
//! The second and the third message are not written for a function whose own labels have
//! values that are expressions.
//!
//! Outside every request, an annotated function that does not look like a handler never
//! causes a message, because it may belong to a library whose users have not asked for
//! metrics. The checks run when a series or a metric is new, when no recorder is
//! installed, and when a function runs inside a request and may be, but is not proven to
//! be, the handler of that request.
//!
//! The environment variable `INSTRUMENT_DIAGNOSTICS` changes this: `off` turns all messages
//! off, and `verbose` adds a message about the first annotated call that no recorder
//! records. [`Builder::without_diagnostics`] turns all messages off once `install` has
//! succeeded.

// On docs.rs, each item shows the feature or platform that it requires.
#![cfg_attr(docsrs, feature(doc_cfg))]
// The links above point to items behind every feature. Without all of these features,
// some links are broken.
#![cfg_attr(
    not(all(
        unix,
        feature = "actix-web",
        feature = "axum",
        feature = "opentelemetry",
        feature = "push",
        feature = "testing",
        feature = "tokio",
        feature = "tonic"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

// Module map, in the order in which a call flows through the crate:
//
//   #[instrumented] ──► call ──► recorder ──► page ──┬──► exporter   Prometheus scrapes it, and
//                                                    │               live_view reads it
//   layers (axum, …) ─┘                              └──► push       sends it to a gateway
//
//   group           where it runs                        may it block?
//   1. hot path     in every annotated call              no, except for a request's own mutex
//   2. storage      in every annotated call, and for     only for a new series or a page
//                   every page
//   3. publishing   on the exporter's own thread         yes: sockets, files, rendering
//   4. settings     on the caller of `install`; a call   `install` only: DNS, files
//                   reads names when a series is new
//   5. public API   layers: in every request             no
//
// The public API consists of the modules of group 5 and the re-exports below them. The
// module `__private` is public only because the expansion of the macros uses it.

// 1. The hot path. With our own recorder, a call takes no lock, and does not allocate
//    once its series exist. There are three exceptions: a function that returns a future
//    and has its own labels allocates; a call with label values beyond `max_series`
//    allocates; and a call inside a request that a layer counts locks that request's
//    mutex.
mod call;
mod lock_free;
mod outcome;

// 2. Storage: counters, histograms and gauges, sharded by thread. Recording a call takes
//    no lock; creating a series and reading all series for a page do.
mod recorder;

// 3. Publishing: renders, serves and pushes the page, and registers the instance with
//    service discovery. If the application serves the page on a route of its own, a
//    separate thread renders the page.
mod discovery;
mod exporter;
mod live_view;
mod page;
#[cfg(feature = "process")]
mod process;
#[cfg_attr(not(feature = "push"), path = "push/off.rs")]
mod push;
mod stop;

// 4. Settings, their validation, and messages to users.
mod builder;
mod conventions;
mod diagnostics;
mod error;
mod names;
mod objective;
mod percent;
mod settings;
mod url;

// 5. Public API: one module per framework, one for OpenTelemetry, one for tokio's runtimes
//    (read for every page), and one for unit tests.
#[cfg(feature = "actix-web")]
pub mod actix_web;
#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "opentelemetry")]
pub mod opentelemetry;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "tonic")]
pub mod tonic;
#[cfg(feature = "tower")]
pub mod tower;

// The guide. Only rustdoc compiles it, so it costs users nothing.
#[cfg(any(doc, doctest))]
#[path = "guide/mod.rs"]
pub mod _guide;

pub use builder::{Builder, builder, init};
#[cfg(feature = "_layer")]
pub use call::head::RequestHead;
#[cfg(unix)]
pub use discovery::http_sd;
pub use error::InitError;
#[cfg(feature = "push")]
pub use error::PushError;
pub use exporter::Exporter;
pub use instrument_macros::{HttpStatus, instrumented};
pub use names::MetricNames;
pub use objective::Objective;
pub use outcome::Outcome;
pub use outcome::http_status::HttpStatus;
pub use recorder::exemplars::TraceContext;

/// The items that the expansion of the macros uses. Not part of the public API.
#[doc(hidden)]
#[allow(missing_docs)]
pub mod __private {
    pub use crate::__arguments as arguments;
    #[cfg(feature = "actix-web")]
    pub use crate::call::arguments::ActixWeb;
    #[cfg(feature = "axum")]
    pub use crate::call::arguments::Axum;
    pub use crate::call::arguments::{Argument, Unknown, WithArguments};
    pub use crate::call::awaited_labels::{AwaitedLabels, RunningWithLabels};
    pub use crate::call::by_values::{LabelValue, shown};
    pub use crate::call::plain::{Entered, Guard, Opened};
    pub use crate::call::question_mark::{Branch, FromResidual};
    pub use crate::call::site::{CallSite, Known};
    pub use crate::call::{Call, Instrumented, Labelling, Running};
    pub use crate::objective::{Objective, objective, objectives};
    pub use crate::outcome::probe::{
        BY_NOTHING, ByFunction, Probe, ProbeOfPlain, Teller, by_function, probe, probe_fn, probe_of,
    };
    pub use core::module_path;
    pub use core::ops::ControlFlow;
    pub use core::pin::pin;
    pub use inventory::submit;
    pub use std::boxed::Box;

    /// Stands for a value of an inferred type, in code that is type-checked but never
    /// runs.
    #[must_use]
    pub fn never<R>() -> R {
        unreachable!("only the type of this expression is used")
    }

    /// Stands for a value of the probe's type, in code that is type-checked but never runs.
    #[must_use]
    pub fn never_of<R>(_probe: &Probe<R>) -> R {
        never()
    }

    /// Stands for a value of the same type, in code that is type-checked but never runs.
    #[must_use]
    pub fn never_like<R>(_value: &R) -> R {
        never()
    }

    /// Calls the closure that holds a function's body. Because of the bound `FnOnce`, rustc
    /// lets the closure move out of its captures.
    #[inline]
    pub fn call_once<R>(body: impl FnOnce() -> R) -> R {
        body()
    }

    /// Returns its argument. The expansion passes the function's return type as `R`, which
    /// makes it the expected type of the argument.
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
#[cfg(all(
    doctest,
    feature = "actix-web",
    feature = "axum",
    feature = "opentelemetry",
    feature = "push",
    feature = "testing",
    feature = "tokio",
    feature = "tonic"
))]
#[doc = include_str!("../README.md")]
struct Readme;
