//! A recording in a process where `install` has been called with other metric names: the
//! recording and the installation each take their own calls, and a recording of the whole
//! process is refused.

use instrument_runtime::testing::Recording;
use instrument_runtime::{MetricNames, builder, instrumented};
use instrument_tests::page::Page;

#[instrumented(endpoint = "/plain", method = "GET")]
async fn plain() {
    tokio::task::yield_now().await;
}

#[instrumented(endpoint = "/labelled", labels(tenant = tenant))]
async fn labelled(tenant: &str) {
    tokio::task::yield_now().await;
}

async fn calls() {
    plain().await;
    labelled("acme").await;
}

#[test]
fn a_recording_and_an_installation_do_not_mix() {
    let exporter = builder("beside")
        .without_listener()
        .names(MetricNames::opentelemetry())
        .install()
        .expect("installs");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let recording = Recording::new();
    for round in 1_u64..=3 {
        runtime.block_on(async {
            calls().await;
            recording.scope(calls()).await;
            tokio::spawn(recording.scope(calls()))
                .await
                .expect("no panic");
            tokio::spawn(async {
                calls().await;
                calls().await;
            })
            .await
            .expect("no panic");
        });
        let page = Page::parse(&exporter.render());
        // An HTTP request with the metrics of the conventions, and a function without them.
        for (labels, gauge, ended) in [
            (
                &[("http_route", "/plain"), ("http_request_method", "GET")],
                "http_server_active_requests",
                "http_server_request_duration_seconds_count",
            ),
            (
                &[("outcome", "ok"), ("tenant", "acme")],
                "requests_in_progress",
                "requests_total",
            ),
        ] {
            recording.assert_requests(labels, 2 * round);
            assert_eq!(recording.latency(labels).count, 2 * round);
            recording.assert_in_progress(&labels[1..], 0);
            assert_eq!(page.sum(ended, labels), 3.0 * round as f64);
            assert_eq!(page.sum(gauge, &labels[1..]), 0.0);
        }
        recording.assert_requests(&[], 4 * round);
    }

    for _ in 0..2 {
        let refused = Recording::global().expect_err("one recorder is installed");
        assert!(refused.to_string().contains("init"), "{refused}");
    }
}
