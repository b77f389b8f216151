//! Exemplars: the trace of a call on the buckets of its latency, with real spans of
//! OpenTelemetry and of `tracing`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::Method;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use instrument_runtime::{TraceContext, instrumented};
use instrument_tests::page::scrape_as;
use instrument_tests::protobuf::{self, client};
use opentelemetry::Context;
use opentelemetry::trace::{
    FutureExt as _, SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState,
    TracerProvider,
};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tower::ServiceExt;
use tracing_subscriber::layer::SubscriberExt;

static ASKED: AtomicU64 = AtomicU64::new(0);

fn source() -> Option<TraceContext> {
    ASKED.fetch_add(1, Ordering::Relaxed);
    instrument_runtime::opentelemetry::current()
}

fn span(trace: u128, span: u64, is_sampled: bool) -> Context {
    let flags = TraceFlags::default().with_sampled(is_sampled);
    let (trace, span) = (TraceId::from(trace), SpanId::from(span));
    let span = SpanContext::new(trace, span, flags, false, TraceState::default());
    Context::new().with_remote_span_context(span)
}

#[instrumented(endpoint = "/plain", method = "GET", labels(case = case))]
async fn plain(case: &str) {
    std::future::ready(case).await;
}

#[instrumented(endpoint = "/often", method = "GET")]
async fn often() {}

#[instrumented(endpoint = "/cancelled", method = "GET")]
async fn cancelled() {
    std::future::pending().await
}

/// The span is current while the handler is polled, as with the layers of `tracing`.
async fn in_span(request: axum::extract::Request, next: Next) -> Response {
    next.run(request).with_context(span(0xA11, 7, true)).await
}

/// Its span is not sampled.
#[instrumented]
async fn unsampled(_: Method) -> &'static str {
    "answer"
}

async fn in_unsampled_span(request: axum::extract::Request, next: Next) -> Response {
    next.run(request).with_context(span(0xD, 0xE, false)).await
}

#[instrumented]
async fn handler(_: Method) -> &'static str {
    inner().await;
    "answer"
}

#[instrumented(endpoint = "inner")]
async fn inner() {}

/// The attribute of `tracing` is below ours, so its span surrounds the call.
#[instrumented(endpoint = "/traced", method = "GET", labels(trace = trace))]
#[tracing::instrument]
async fn traced(trace: &str) -> String {
    tokio::task::yield_now().await;
    current_trace()
}

fn current_trace() -> String {
    let current = Context::current();
    current.span().span_context().trace_id().to_string()
}

/// The exemplars of a series, as trace and span id, on its buckets and on its counter.
fn exemplars(addr: SocketAddr, label: (&str, &str)) -> (Vec<String>, Vec<String>) {
    let families = protobuf::families(&scrape_as(addr, "application/vnd.google.protobuf"));
    let of = |name| {
        let all = protobuf::metrics(&families, name);
        all.filter(|metric| {
            let labels = protobuf::labels(&metric.label);
            labels.get(label.0).is_some_and(|value| value == label.1)
        })
    };
    let shown = |exemplar: &client::Exemplar| {
        let labels: BTreeMap<String, String> = protobuf::labels(&exemplar.label);
        assert!(exemplar.timestamp.expect("a timestamp").seconds > 1_700_000_000);
        format!("{}-{}", labels["trace_id"], labels["span_id"])
    };
    let mut on_buckets = Vec::new();
    for metric in of("request_latency_seconds") {
        let histogram = metric.histogram.as_ref().expect("a histogram");
        let mut below = 0.0;
        for bucket in &histogram.bucket {
            if let Some(exemplar) = &bucket.exemplar {
                assert!(below <= exemplar.value() && exemplar.value() <= bucket.upper_bound());
                on_buckets.push(shown(exemplar));
            }
            below = bucket.upper_bound();
        }
        let native: Vec<String> = histogram.exemplars.iter().map(shown).collect();
        assert!(native.is_empty() || native == on_buckets);
    }
    let on_counter = of("requests_total")
        .filter_map(|metric| metric.counter.as_ref()?.exemplar.as_ref())
        .inspect(|exemplar| assert_eq!(exemplar.value(), 1.0))
        .map(shown);
    (on_buckets, on_counter.collect())
}

fn both(trace: &str) -> (Vec<String>, Vec<String>) {
    (vec![trace.to_owned()], vec![trace.to_owned()])
}

#[tokio::test]
async fn a_call_leaves_its_trace() {
    let exporter = instrument_runtime::builder("exemplars")
        .listen(([127, 0, 0, 1], 0))
        .exemplars(source)
        .install()
        .expect("installs");
    let addr = exporter.local_addr().expect("an address");

    // No span, one that is not sampled, and one that is.
    plain("none").await;
    assert_eq!(exemplars(addr, ("case", "none")), (vec![], vec![]));
    {
        let _current = span(1, 2, false).attach();
        plain("unsampled").await;
    }
    assert_eq!(exemplars(addr, ("case", "unsampled")), (vec![], vec![]));
    {
        let _current = span(0x4bf9, 0xf067, true).attach();
        plain("sampled").await;
    }
    let sampled = "00000000000000000000000000004bf9-000000000000f067";
    assert_eq!(exemplars(addr, ("case", "sampled")), both(sampled));

    // OpenMetrics has the same, Prometheus's text format has none.
    let text = |accept| String::from_utf8(scrape_as(addr, accept)).expect("text");
    let open_metrics = text("application/openmetrics-text");
    let lines: Vec<&str> = open_metrics
        .lines()
        .filter(|line| line.contains(" # {"))
        .collect();
    assert_eq!(lines.len(), 2, "{open_metrics}");
    for (line, name) in lines
        .into_iter()
        .zip(["request_latency_seconds_bucket{", "requests_total{"])
    {
        assert!(line.starts_with(name), "{line}");
        let labels =
            "} 1 # {trace_id=\"00000000000000000000000000004bf9\",span_id=\"000000000000f067\"} ";
        assert!(line.contains(labels), "{line}");
    }
    assert!(!text("text/plain").contains(" # {"));

    // A trace that comes after calls without one is not missed for long.
    plain("none").await;
    instrument_tests::wait_for("an exemplar", || {
        let _current = span(3, 4, true).attach();
        futures::executor::block_on(plain("none"));
        let (on_buckets, _) = exemplars(addr, ("case", "none"));
        (!on_buckets.is_empty()).then_some(())
    });

    // Calls in a row ask seldom.
    let before = ASKED.load(Ordering::Relaxed);
    {
        let _current = span(5, 6, true).attach();
        for _ in 0..100_000 {
            often().await;
        }
    }
    let asked = ASKED.load(Ordering::Relaxed) - before;
    assert!(asked < 200, "asked {asked} times in 100,000 calls");

    // A call that is dropped ends in the span that drops it.
    {
        let _current = span(8, 9, true).attach();
        let mut call = Box::pin(cancelled());
        assert!(futures::poll!(&mut call).is_pending());
    }
    let (on_buckets, _) = exemplars(addr, ("endpoint", "/cancelled"));
    assert_eq!(on_buckets.len(), 1);

    // A request has the trace of its handler, which is not current in the layer.
    let app = Router::new()
        .route("/handled", get(handler).layer(from_fn(in_span)))
        .route(
            "/unsampled",
            get(unsampled).layer(from_fn(in_unsampled_span)),
        )
        .route("/not_annotated", get(|| async { "answer" }))
        .layer(instrument_runtime::axum::layer());
    for (path, current, expected) in [
        (
            "/handled",
            None,
            "00000000000000000000000000000a11-0000000000000007",
        ),
        // Without an annotated handler, the trace is current around the layer.
        (
            "/not_annotated",
            Some(span(0xB, 0xC, true)),
            "0000000000000000000000000000000b-000000000000000c",
        ),
    ] {
        let _current = current.map(Context::attach);
        let request = http::Request::get(path).body(Body::empty());
        let Ok(_) = app.clone().oneshot(request.expect("a request")).await;
        assert_eq!(
            exemplars(addr, ("endpoint", path)),
            both(expected),
            "{path}"
        );
    }
    // Only the handler's trace counts, also if it is not sampled.
    {
        let _current = span(0xF, 0xF, true).attach();
        for _ in 0..10 {
            let request = http::Request::get("/unsampled").body(Body::empty());
            let Ok(_) = app.clone().oneshot(request.expect("a request")).await;
        }
    }
    assert_eq!(
        exemplars(addr, ("endpoint", "/unsampled")),
        (vec![], vec![])
    );
    // Requests in a row ask seldom, although the handler ends without the status 200.
    let before = ASKED.load(Ordering::Relaxed);
    for _ in 0..2_000 {
        let request = http::Request::get("/handled").body(Body::empty());
        let Ok(_) = app.clone().oneshot(request.expect("a request")).await;
    }
    let asked = ASKED.load(Ordering::Relaxed) - before;
    assert!(asked < 1_000, "asked {asked} times in 2,000 requests");

    // A call in the request has its own trace.
    let inner = "00000000000000000000000000000a11-0000000000000007";
    assert_eq!(exemplars(addr, ("endpoint", "inner")), both(inner));

    // Spans of `tracing`.
    let provider = SdkTracerProvider::builder().build();
    let tracer = provider.tracer("tests");
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    let subscriber = tracing_subscriber::registry().with(layer);
    let _default = tracing::subscriber::set_default(subscriber);
    let trace = traced("tracing").await;
    assert_ne!(trace, "0".repeat(32));
    let (on_buckets, on_counter) = exemplars(addr, ("trace", "tracing"));
    assert_eq!(on_buckets, on_counter);
    assert_eq!(on_buckets.len(), 1);
    assert!(
        on_buckets[0].starts_with(&trace),
        "{on_buckets:?} in {trace}"
    );
}

/// A source that panics, and whose panic panics again when it is dropped.
#[tokio::test]
async fn a_source_that_panics_is_not_asked_again() {
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("once more");
        }
    }

    instrument_tests::alone("a_source_that_panics_is_not_asked_again", || {
        static PANICS: AtomicU64 = AtomicU64::new(0);
        let exporter = instrument_runtime::builder("panics")
            .without_listener()
            .exemplars(|| {
                PANICS.fetch_add(1, Ordering::Relaxed);
                std::panic::panic_any(Bomb)
            })
            .install()
            .expect("installs");
        for _ in 0..3 {
            futures::executor::block_on(often());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(PANICS.load(Ordering::Relaxed), 1);
        assert!(exporter.render().contains("requests_total"));
    });
}
