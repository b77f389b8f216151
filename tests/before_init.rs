//! Calls before `init` are not counted, and leave no gauge in a wrong state.

use std::future::Future;
use std::task::{Context, Waker};

use instrument_runtime::instrumented;
use instrument_tests::page::Page;

#[instrumented(endpoint = "/early", method = "GET")]
async fn early(wait: bool) -> &'static str {
    if wait {
        std::future::pending::<()>().await;
    }
    "early"
}

#[instrumented(labels(who = who))]
async fn labelled(who: &str) {}

#[tokio::test]
async fn calls_before_init_are_lost_and_later_ones_are_not() {
    for _ in 0..5 {
        early(false).await;
        labelled("a").await;
    }
    let mut straddling = Box::pin(early(true));
    let pending = straddling
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(pending.is_pending());

    let exporter = instrument_runtime::builder("late")
        .without_listener()
        .install()
        .expect("installs");
    assert_eq!(
        Page::parse(&exporter.render()).sum("requests_total", &[]),
        0.0
    );

    early(false).await;
    early(false).await;
    labelled("a").await;
    drop(straddling);
    let page = Page::parse(&exporter.render());
    let ok = [("endpoint", "/early"), ("outcome", "ok")];
    assert_eq!(page.value("requests_total", &ok), Some(2.0));
    assert_eq!(page.value("request_latency_seconds_count", &ok), Some(2.0));
    assert_eq!(page.value("requests_total", &[("who", "a")]), Some(1.0));
    // The call began before there was a recorder, so its end must not decrement the
    // gauge.
    assert_eq!(
        page.value("requests_in_progress", &[("endpoint", "/early")]),
        Some(0.0)
    );
}
