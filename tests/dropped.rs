//! Dropping the `Exporter` that `init` returns does not stop the exporter.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use instrument_runtime::instrumented;
use instrument_tests::page::scrape;

#[instrumented(endpoint = "/dropped", method = "GET")]
async fn dropped() {}

#[tokio::test]
async fn the_page_is_served_on() {
    let addr = {
        let exporter = instrument_runtime::builder("dropped")
            .listen((Ipv4Addr::LOCALHOST, 0))
            .install()
            .expect("installs");
        exporter.local_addr().expect("bound")
    };
    let began = Instant::now();
    let mut calls = 0.0;
    // A stopping exporter would be gone within a few milliseconds.
    while began.elapsed() < Duration::from_millis(300) {
        dropped().await;
        calls += 1.0;
        let page = tokio::task::spawn_blocking(move || scrape(addr))
            .await
            .expect("no panic")
            .expect("it still answers");
        assert_eq!(page.sum("requests_total", &[]), calls);
    }
}
