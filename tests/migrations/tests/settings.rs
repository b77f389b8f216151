//! Compiles the settings of the other libraries that the pages name, so that none of them is
//! invented or out of date.

use std::time::Duration;

use actix_web_prom::{
    ActixMetricsConfiguration, LabelsConfiguration, MetricsConfig, PrometheusMetricsBuilder,
};
use autometrics::autometrics;
use autometrics::objectives::{Objective, ObjectiveLatency, ObjectivePercentile};
use autometrics::settings::AutometricsSettings;
use axum::body::Body;
use axum::http::{Request, Response};
use axum_prometheus::utils::SECONDS_DURATION_BUCKETS;
use axum_prometheus::{EndpointLabel, PrometheusMetricLayerBuilder};
use instrument_tests::markdown::{blocks, codes, section, table};
use metrics_exporter_prometheus::{Matcher, NativeHistogramConfig, PrometheusBuilder};
use opentelemetry_instrumentation_tower::http::extractors::{NoOpExtractor, PathExtractor};
use opentelemetry_instrumentation_tower::http::server::LayerBuilder;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{Instrument, SdkMeterProvider, Stream};

use crate::text_of;

#[test]
fn the_settings_exist() {
    axum_prometheus();
    actix_web_prom().expect("metrics");
    let _ = (double(2), halve(2), divide(4, 2), Shop.open());
    autometrics_settings();
    metrics_exporter().expect("settings");
    opentelemetry().expect("a layer");

    let used = include_str!("settings.rs");
    let mut found = 0;
    for page in [
        text_of!("axum_prometheus"),
        text_of!("actix_web_prom"),
        text_of!("autometrics"),
        text_of!("metrics"),
        text_of!("opentelemetry"),
    ] {
        for row in &table(page, "Settings")[1..] {
            for setting in codes(row[0]) {
                // This function does not name any setting, so the name is in those below.
                let mut words = used.split(|sign: char| !sign.is_alphanumeric() && sign != '_');
                assert!(words.any(|word| word == setting), "{setting}");
                found += 1;
            }
        }
    }
    assert!(found >= 40, "{found}");
    let objectives = blocks(
        section(text_of!("autometrics"), "Objectives"),
        "rust,ignore",
    );
    assert!(!objectives.is_empty());
    for line in objectives.iter().flat_map(|block| block.lines()) {
        assert!(used.lines().any(|other| other == line), "{line}");
    }
}

fn axum_prometheus() {
    let _ = PrometheusMetricLayerBuilder::new()
        .with_prefix("shop")
        .with_ignore_pattern("/metrics")
        .with_ignore_patterns(&["/health"])
        .with_group_patterns_as("/auth", &["/auth/{*rest}"])
        .with_endpoint_label_type(EndpointLabel::Exact)
        .enable_response_body_size(true)
        .with_metrics_from_fn(|| {
            let builder = PrometheusBuilder::new().set_buckets(SECONDS_DURATION_BUCKETS);
            builder.expect("bounds").build_recorder().handle()
        });
    let allowed = PrometheusMetricLayerBuilder::new().with_allow_pattern("/users");
    let _ = allowed.with_allow_patterns(&["/users/{id}"]).build();
}

fn actix_web_prom() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let names = ActixMetricsConfiguration::default()
        .http_requests_total_name("requests")
        .http_requests_duration_seconds_name("seconds")
        .labels(LabelsConfiguration::default().status("code").version("v"));
    let _ = PrometheusMetricsBuilder::new("shop")
        .endpoint("/metrics")
        .buckets(&[0.1])
        .const_labels([("region".to_owned(), "eu".to_owned())].into())
        .exclude("/health")
        .exclude_regex("/internal/.*")
        .exclude_status(actix_web::http::StatusCode::NOT_FOUND)
        .mask_unmatched_patterns("UNKNOWN")
        .metrics_configuration(names)
        .registry(prometheus::Registry::new())
        .build()?;
    let _ = MetricsConfig {
        cardinality_keep_params: vec!["language".to_owned()],
    };
    Ok(())
}

#[autometrics(track_concurrency, ok_if = is_even)]
fn double(number: u32) -> u32 {
    2 * number
}

const API: Objective = Objective::new("api")
    .success_rate(ObjectivePercentile::P99_9)
    .latency(ObjectiveLatency::Ms250, ObjectivePercentile::P99);

#[autometrics(objective = API)]
fn halve(number: u32) -> u32 {
    number / 2
}

#[autometrics(error_if = is_even)]
fn divide(number: u32, by: u32) -> u32 {
    number / by
}

fn is_even(number: &u32) -> bool {
    number.is_multiple_of(2)
}

struct Shop;

#[autometrics(struct_name = "Shop")]
impl Shop {
    fn open(&self) -> Sale {
        self.sale();
        Sale::Done
    }

    #[skip_autometrics]
    fn sale(&self) {}
}

#[derive(autometrics::ResultLabels)]
enum Sale {
    #[label(result = "ok")]
    Done,
}

fn autometrics_settings() {
    let _ = AutometricsSettings::builder()
        .service_name("shop")
        .histogram_buckets(vec![0.1])
        .repo_url("https://example.com")
        .repo_provider("example");
    let _ = autometrics::settings::AutometricsSettingsBuilder::try_init;
}

fn metrics_exporter() -> anyhow::Result<()> {
    let name = Matcher::Full("seconds".to_owned());
    let native = NativeHistogramConfig::new(1.1, 160, 1e-9).map_err(anyhow::Error::msg)?;
    let builder = PrometheusBuilder::new()
        .with_http_listener(([127, 0, 0, 1], 0))
        .add_allowed_address("10.0.0.0/8")?
        .set_buckets(&[0.1])?
        .set_quantiles(&[0.5])?
        .set_buckets_for_metric(name.clone(), &[0.1])?
        .set_native_histogram_for_metric(name, native)
        .add_global_label("region", "eu")
        .idle_timeout(
            metrics_util::MetricKindMask::ALL,
            Some(Duration::from_secs(60)),
        );
    let page = builder.build_recorder().handle();
    page.run_upkeep();
    let _ = (page.render(), PrometheusBuilder::install_recorder);
    Ok(())
}

fn opentelemetry() -> anyhow::Result<()> {
    let _ = LayerBuilder::builder()
        .with_tracing(false)
        .with_route_extractor(PathExtractor)
        .with_request_extractor::<_, Body>(NoOpExtractor)
        .with_response_extractor::<_, Body>(NoOpExtractor)
        .build();
    let spans_only = LayerBuilder::builder()
        .with_metrics(false)
        .with_route_extractor_fn(|_: &Request<Body>| None)
        .with_request_extractor_fn(|_: &Request<Body>| Vec::new())
        .with_response_extractor_fn(|_: &Response<Body>| Vec::new());
    assert!(spans_only.build().is_ok());
    let exporter = opentelemetry_prometheus::exporter();
    let exporter = exporter.with_registry(prometheus::Registry::new());
    let _ = SdkMeterProvider::builder()
        .with_reader(exporter.build()?)
        .with_resource(Resource::builder_empty().build())
        .with_view(|_: &Instrument| -> Option<Stream> { None })
        .build();
    Ok(())
}
