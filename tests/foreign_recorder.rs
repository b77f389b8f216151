//! The user installed another recorder. Everything works except serving the page, and the
//! error of `install` says why.

use instrument_runtime::{InitError, instrumented};
use instrument_tests::page::Page;
use metrics_exporter_prometheus::PrometheusBuilder;

#[instrumented(endpoint = "/foreign", method = "GET")]
async fn foreign() -> &'static str {
    "foreign"
}

#[tokio::test]
async fn a_recorder_of_the_users_own_gets_all_three_metrics() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).expect("the first recorder");

    for _ in 0..3 {
        foreign().await;
    }
    let text = handle.render();
    let page = Page::parse(&text);
    let labels = [("endpoint", "/foreign"), ("http_status", "200")];
    assert_eq!(page.value("requests_total", &labels), Some(3.0));
    assert_eq!(
        page.value("request_latency_seconds_count", &labels[..1]),
        Some(3.0)
    );
    assert_eq!(page.value("requests_in_progress", &labels[..1]), Some(0.0));
    for name in [
        "requests_total",
        "request_latency_seconds",
        "requests_in_progress",
    ] {
        assert!(text.contains(&format!("# HELP {name} ")), "{text}");
    }

    let refused = instrument_runtime::builder("second")
        .without_listener()
        .install();
    assert!(matches!(refused, Err(InitError::AlreadyInstalled)));
}
