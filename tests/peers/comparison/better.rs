//! What the other libraries do better, as the README says below the table.
//!
//! These claims have sources instead of tests:
//!
//! - OpenTelemetry pushes to any backend by OTLP: the crate opentelemetry-otlp 0.33.
//! - autometrics links each function's docs to its queries: `create_metrics_docs` in
//!   autometrics-macros 3.0.0, src/lib.rs.
//! - Its maintainers say so on 2024-10-21, in pull request 183 of autometrics-dev/autometrics-rs:
//!   it is no longer actively maintained.
//! - Cached handles of `metrics` cost less per request: the benchmark `axum`.

use std::sync::{Arc, Mutex, PoisonError};

use actix_web::dev::Service as _;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, HttpMessage, web};
use actix_web_prom::{MetricsConfig, PrometheusMetricsBuilder};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use axum_prometheus::PrometheusMetricLayerBuilder;
use instrument_tests::page::Page;
use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry_instrumentation_tower::http::server;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::{Aggregation, Instrument, SdkMeterProvider, Stream};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use prometheus::{Registry, TextEncoder};
use tower::ServiceExt as _;
use ureq::http::Request;

use crate::features::COLUMNS;
use crate::peer::Peer;

#[test]
fn autometrics_labels_a_call_with_its_caller() {
    let column = COLUMNS.iter().find(|column| column.name == "autometrics");
    let peer = Peer::start(&column.expect("the column").servers[0]);
    assert_eq!(peer.get("/work"), Some(200));
    let labels = [("function", "work"), ("caller_function", "works")];
    assert_eq!(
        peer.scrape().value("function_calls_total", &labels),
        Some(1.0)
    );
}

/// Collects the names of spans.
#[derive(Clone, Debug, Default)]
struct Names(Arc<Mutex<Vec<String>>>);

impl SpanExporter for Names {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        let names = spans.into_iter().map(|span| span.name.into_owned());
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(names);
        Ok(())
    }
}

async fn get_from(app: Router, path: &str) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = app.oneshot(request).await.expect("a response");
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn opentelemetry_records_spans_and_has_views() {
    let names = Names::default();
    let tracer = SdkTracerProvider::builder().with_simple_exporter(names.clone());
    opentelemetry::global::set_tracer_provider(tracer.build());
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter();
    let exporter = exporter.with_registry(registry.clone()).build();
    let meter = SdkMeterProvider::builder()
        .with_reader(exporter.expect("an exporter"))
        .with_view(|instrument: &Instrument| {
            let stream = Stream::builder();
            match instrument.name() {
                "http.server.active_requests" => stream.with_name("in_flight").build().ok(),
                "http.server.request.duration" => {
                    let exponential = Aggregation::Base2ExponentialHistogram {
                        max_size: 160,
                        max_scale: 20,
                        record_min_max: false,
                    };
                    stream.with_aggregation(exponential).build().ok()
                }
                _ => None,
            }
        });
    opentelemetry::global::set_meter_provider(meter.build());
    let app = Router::new().route("/hello/{name}", get(async || "hello"));
    get_from(app.layer(server::Layer::new()), "/hello/you").await;

    let spans = names
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    assert_eq!(spans, ["GET /hello/{name}"]);
    let page = TextEncoder::new().encode_to_string(&registry.gather());
    let page = Page::parse(&page.expect("a page"));
    assert_eq!(page.series("in_flight"), 1, "{page:?}");
    let sizes = "http_server_response_body_size_bytes_count";
    assert_eq!(page.sum(sizes, &[]), 1.0, "{page:?}");
    // The exporter for Prometheus leaves exponential histograms out.
    let mut names = page.all().map(|(name, ..)| name);
    assert!(!names.any(|name| name.contains("duration")), "{page:?}");
}

#[actix_web::test]
async fn actix_web_prom_keeps_path_parameters() {
    let metrics = PrometheusMetricsBuilder::new("peer")
        .endpoint("/metrics")
        .build();
    let language = web::resource("/posts/{language}/{slug}")
        .wrap_fn(|request, service| {
            request.extensions_mut().insert(MetricsConfig {
                cardinality_keep_params: vec!["language".to_owned()],
            });
            service.call(request)
        })
        .route(web::get().to(async || "post"));
    let app = App::new().wrap(metrics.expect("metrics")).service(language);
    let app = init_service(app).await;
    let get = |path| TestRequest::with_uri(path).to_request();
    drop(read_body(call_service(&app, get("/posts/en/hello")).await).await);
    let page = read_body(call_service(&app, get("/metrics")).await).await;
    let page = Page::parse(str::from_utf8(&page).expect("UTF-8"));
    let labels = [("endpoint", "/posts/en/{slug}")];
    assert_eq!(page.value("peer_http_requests_total", &labels), Some(1.0));
}

#[test]
fn axum_prometheus_groups_routes() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    metrics::with_local_recorder(&recorder, || {
        let layer = PrometheusMetricLayerBuilder::new()
            .with_group_patterns_as("both", &["/one", "/two"])
            .build();
        let app = Router::new()
            .route("/one", get(async || "one"))
            .route("/two", get(async || "two"))
            .layer(layer);
        runtime.expect("a runtime").block_on(async {
            get_from(app.clone(), "/one").await;
            get_from(app, "/two").await;
        });
    });
    let page = Page::parse(&handle.render());
    let both = [("endpoint", "both")];
    assert_eq!(page.value("axum_http_requests_total", &both), Some(2.0));
}
