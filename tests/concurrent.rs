//! Many concurrent calls on several threads, with one global recorder.

use std::time::Duration;

use futures::future::join_all;
use instrument_runtime::instrumented;
use instrument_tests::page::Page;

#[instrumented(endpoint = "/busy", method = "POST", labels(shard = number % 4))]
async fn busy(number: usize) -> Result<(), ()> {
    tokio::task::yield_now().await;
    match number % 10 {
        0 => Err(()),
        1 => std::future::pending().await,
        2 => panic!("on purpose"),
        _ => {
            tokio::time::sleep(Duration::from_micros(number as u64 % 50)).await;
            Ok(())
        }
    }
}

#[test]
fn ten_thousand_calls_are_counted_exactly() {
    let exporter = instrument_runtime::builder("concurrent")
        .without_listener()
        .install()
        .expect("installs");
    std::panic::set_hook(Box::new(|_| {}));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let calls: Vec<_> = (0..10_000)
            .map(|number| tokio::spawn(busy(number)))
            .collect();
        // The calls that never end are aborted after they have started.
        let progress = [("endpoint", "/busy")];
        let started = || {
            let page = Page::parse(&exporter.render());
            page.sum("requests_total", &progress) + page.sum("requests_in_progress", &progress)
                == 10_000.0
                && page.sum("requests_in_progress", &progress) == 1_000.0
        };
        let deadline = std::time::Instant::now() + instrument_tests::DEADLINE;
        while !started() {
            assert!(
                std::time::Instant::now() < deadline,
                "not all calls have ended or are in progress"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for (number, call) in calls.iter().enumerate() {
            if number % 10 == 1 {
                call.abort();
            }
        }
        join_all(calls).await;
    });

    let page = Page::parse(&exporter.render());
    for (outcome, status, expected) in [
        ("ok", None, 7_000.0),
        ("error", None, 1_000.0),
        ("cancelled", Some("499"), 1_000.0),
        ("panicked", Some("500"), 1_000.0),
    ] {
        let mut labels = vec![("endpoint", "/busy"), ("outcome", outcome)];
        let latencies = page.sum("request_latency_seconds_count", &labels);
        assert_eq!(latencies, expected, "latencies of {outcome}");
        labels.extend(status.map(|status| ("http_status", status)));
        assert_eq!(page.sum("requests_total", &labels), expected, "{outcome}");
    }
    assert_eq!(
        page.sum("requests_total", &[("endpoint", "/busy")]),
        10_000.0
    );
    for shard in ["0", "1", "2", "3"] {
        let labels = [("shard", shard)];
        assert_eq!(page.sum("requests_total", &labels), 2_500.0);
        assert_eq!(page.value("requests_in_progress", &labels), Some(0.0));
    }
}
