//! Spans of OpenTelemetry, whose traces become the exemplars.

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Makes each span of `tracing` a span of OpenTelemetry.
pub(crate) fn install() {
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(Stdout)
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("webapp"));
    tracing_subscriber::registry().with(layer).init();
}

/// Prints each span. A real service sends its spans to a tracing backend instead, for
/// example with the crate `opentelemetry-otlp`.
#[derive(Debug)]
struct Stdout;

impl SpanExporter for Stdout {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        for span in spans {
            let trace_id = span.span_context.trace_id();
            let took = span.end_time.duration_since(span.start_time);
            let took = took.unwrap_or_default();
            println!("span of {}: trace_id={trace_id}, {took:?}", span.name);
        }
        Ok(())
    }
}
