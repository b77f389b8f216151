//! Holds the page of `MetricNames::opentelemetry()` against OpenTelemetry's semantic
//! conventions: every series of the conventions' metrics has exactly the labels that the
//! conventions want in its situation, on every framework.
//!
//! The facts of the conventions are in `semconv-1.44.0.yaml`. A test says what has happened,
//! and `semconv.rs` derives the labels from the facts.

mod grpc;
mod http_frameworks;
mod semconv;

use std::sync::LazyLock;

use instrument_runtime::{Exporter, MetricNames, builder, instrumented};
use instrument_tests::page::Page;
use semconv::{Conventions, Situation};

const HTTP: &[&str] = &[
    "http.server.request.duration",
    "http.server.active_requests",
];
/// With the setting `response_sizes`.
const HTTP_AND_SIZE: &[&str] = &[
    "http.server.request.duration",
    "http.server.active_requests",
    "http.server.response.body.size",
];
const RPC: &[&str] = &["rpc.server.call.duration"];

static EXPORTER: LazyLock<Exporter> = LazyLock::new(|| {
    builder("conventions")
        .without_listener()
        .names(MetricNames::opentelemetry())
        .global_label("region", "eu")
        .install()
        .expect("installs")
});

/// The page, without the global label. Every series of a call has it.
fn page() -> Page {
    let mut page = Page::default();
    for (name, labels, value) in Page::parse(&EXPORTER.render()).all() {
        let mut labels = labels.clone();
        let is_own = name == "target_info" || name.starts_with("instrument_");
        let region = labels.remove("region");
        assert_eq!(region.is_some(), !is_own, "{name} {labels:?}");
        page.add(name.to_owned(), labels, value);
    }
    page
}

/// A method of an RPC that no layer counts.
#[instrumented(endpoint = "/test.Direct/Call", labels(case = case))]
async fn rpc(case: &str) -> Result<tonic::Response<()>, tonic::Status> {
    match case {
        "rpc, not found" => Err(tonic::Status::not_found("")),
        "rpc, internal" => Err(tonic::Status::internal("")),
        "rpc, cancelled" => std::future::pending().await,
        _ => Ok(tonic::Response::new(())),
    }
}

/// The same without an endpoint: the name of the RPC is not known.
#[instrumented(handler, labels(case = "rpc, handler"))]
async fn rpc_handler() -> Result<tonic::Response<()>, tonic::Status> {
    Ok(tonic::Response::new(()))
}

/// A helper of an RPC, which is not an RPC.
#[instrumented(labels(case = "helper"))]
async fn helper() -> Result<(), tonic::Status> {
    Err(tonic::Status::internal(""))
}

#[instrumented(endpoint = "/direct", method = "GET", labels(case = case))]
async fn http(case: &str) -> Result<http::StatusCode, String> {
    match case {
        "http, error" => Err("no status".to_owned()),
        "http, 503" => Ok(http::StatusCode::SERVICE_UNAVAILABLE),
        "http, panic" => panic!("on purpose"),
        "http, cancelled" => std::future::pending().await,
        _ => Ok(http::StatusCode::CREATED),
    }
}

#[instrumented(method = "GET", labels(case = "http, no route"))]
async fn http_without_route() {}

#[instrumented(labels(case = "function"))]
async fn function() -> http::StatusCode {
    http::StatusCode::OK
}

/// Asserts that the page has the metrics of the conventions, and the three metrics only for
/// what the conventions do not cover: functions, and RPCs in progress.
fn assert_page(page: &Page) {
    Conventions::read().assert_families(page);
    for (name, labels, _) in page.all() {
        let case = labels.get("case").map_or("", String::as_str);
        let is_function = matches!(case, "function" | "helper");
        let is_rpc = case.starts_with("rpc, ") || case.starts_with("grpc: ");
        let is_covered = match name {
            "requests_total" => !is_function,
            "requests_in_progress" => !is_function && !is_rpc,
            name if name.starts_with("request_latency_seconds") => !is_function,
            // The conventions have no metric of the sizes of RPCs.
            name if name.starts_with("response_size_bytes") => !is_rpc,
            name => {
                let prefixes = ["http_", "rpc_", "instrument_", "target_info", "process_"];
                !prefixes.iter().any(|prefix| name.starts_with(prefix))
            }
        };
        assert!(!is_covered, "{name} {labels:?}");
    }
}

/// Polls a future once, catches a panic, and drops the future.
fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    use futures::FutureExt;
    let future = std::panic::AssertUnwindSafe(future).catch_unwind();
    future.now_or_never()?.ok()
}

#[test]
fn functions_without_a_layer() {
    LazyLock::force(&EXPORTER);
    let conventions = Conventions::read();

    let call = Situation::of(&[
        ("rpc.system.name", "grpc"),
        ("rpc.method", "test.Direct/Call"),
    ]);
    let status = "rpc.response.status_code";
    for (case, situation) in [
        ("rpc, ok", call.clone().with(status, "OK")),
        ("rpc, not found", call.clone().with(status, "NOT_FOUND")),
        ("rpc, internal", call.clone().with(status, "INTERNAL")),
        ("rpc, cancelled", call.clone().failed("cancelled")),
    ] {
        once(rpc(case));
        conventions.assert_counted(&page(), case, RPC, &situation);
    }
    once(rpc_handler());
    let handler = call.without("rpc.method").with(status, "OK");
    conventions.assert_counted(&page(), "rpc, handler", RPC, &handler);

    let request = Situation::of(&[
        ("http.request.method", "GET"),
        ("url.scheme", "http"),
        ("http.route", "/direct"),
    ]);
    let status = "http.response.status_code";
    for (case, situation) in [
        ("http, created", request.clone().with(status, "201")),
        ("http, 503", request.clone().with(status, "503")),
        ("http, error", request.clone().failed("_OTHER")),
        ("http, panic", request.clone().failed("panic")),
        ("http, cancelled", request.clone().failed("cancelled")),
    ] {
        once(http(case));
        conventions.assert_counted(&page(), case, HTTP, &situation);
    }
    once(http_without_route());
    let no_route = request.without("http.route");
    conventions.assert_counted(&page(), "http, no route", HTTP, &no_route);

    // The conventions cover neither of these.
    once(function());
    once(helper());
    let page = page();
    let none = Situation::of(&[]);
    for case in ["function", "helper"] {
        conventions.assert_counted(&page, case, &[], &none);
        let own = [("case", case)];
        assert_eq!(page.sum("requests_total", &own), 1.0);
        assert_eq!(page.sum("request_latency_seconds_count", &own), 1.0);
        assert_eq!(page.sum("requests_in_progress", &own), 0.0);
    }
    let labels = [
        ("case", "function"),
        ("outcome", "ok"),
        ("http_status", "200"),
        ("endpoint", "function"),
    ];
    assert_eq!(page.exactly("requests_total", &labels), 1.0);
    assert_page(&page);
}
