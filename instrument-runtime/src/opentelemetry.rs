//! Exemplars from OpenTelemetry (feature `opentelemetry`, for version 0.33 of the crate
//! `opentelemetry`).
//!
//! ```
//! # fn main() -> Result<(), instrument_runtime::InitError> {
//! instrument_runtime::builder("webapp_1")
//! #   .without_listener()
//!     .exemplars(instrument_runtime::opentelemetry::current)
//!     .install()?;
//! # Ok(())
//! # }
//! ```
//!
//! The current context of OpenTelemetry belongs to one version of the crate `opentelemetry`.
//! An application with another version passes a closure to
//! [`Builder::exemplars`](crate::Builder::exemplars) that does the same as [`current`].

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;

use crate::TraceContext;

/// Returns the current span, if it is sampled.
///
/// A span that is not sampled is not stored, so an exemplar could not link to it. OpenTelemetry's SDKs choose exemplars in the same way (`trace_based`).
///
/// Spans of the crate `tracing` are found, too, if the application has the layer of
/// `tracing-opentelemetry` 0.34: by default, that layer makes an entered span the current
/// span of OpenTelemetry.
#[must_use]
pub fn current() -> Option<TraceContext> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        let is_found = span.is_valid() && span.is_sampled();
        is_found.then(|| TraceContext::new(span.trace_id().to_bytes(), span.span_id().to_bytes()))
    })
}
