//! Metrics and labels with other names. A process has one installation, so each of these tests
//! runs in a process of its own.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Waker};

use instrument_browser::{Application, Browser};
use instrument_runtime::{Builder, MetricNames, builder, instrumented};
use instrument_tests::alone;
use instrument_tests::page::scrape;

use crate::{Metrics, assert_quiet, lines, number, open, row_names, tile, wait_for_next_page};

#[instrumented(endpoint = "/named", method = "GET")]
async fn named() {}

#[instrumented]
async fn job() {}

#[instrumented(endpoint = "/held", method = "GET")]
async fn held() {
    std::future::pending::<()>().await;
}

fn run(call: impl Future<Output = ()>) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(call).poll(&mut context).is_ready());
}

/// Opens the exporter's own view, after a few calls. Returns its address, too.
fn opened(builder: Builder) -> Option<(Browser, SocketAddr)> {
    let exporter = builder.listen(([127, 0, 0, 1], 0)).install();
    let exporter = exporter.expect("installs");
    let browser = Browser::start(1200, 900)?;
    for _ in 0..5 {
        run(named());
    }
    run(job());
    let mut context = Context::from_waker(Waker::noop());
    let mut held = Box::pin(held());
    assert!(held.as_mut().poll(&mut context).is_pending());
    // It stays in flight.
    std::mem::forget(held);
    let addr = exporter.local_addr().expect("a TCP listener");
    browser.open(&format!("http://{addr}/"));
    browser.wait_for("page >= 0");
    run(named());
    wait_for_next_page(&browser);
    Some((browser, addr))
}

fn query(browser: &Browser, row: &str, column: usize) -> String {
    let query = browser.run(&format!(
        "return [...rows.values()].find(row => row.name === {row:?}).body.querySelectorAll('.number')[{column}].query()"
    ));
    crate::plain(&query)
}

#[test]
fn the_article() {
    alone("names::the_article", || {
        let Some((browser, _)) = opened(builder("paper").names(MetricNames::article())) else {
            return;
        };
        assert_eq!(number(&browser, "GET /named", "Total"), "6");
        assert_eq!(number(&browser, "GET /held", "In flight"), "1");
        assert_ne!(number(&browser, "GET /named", "p95"), "–");
        let expected =
            r#"sum(requests_in_progress_total{app_name="paper",method="GET",endpoint="/held"})"#;
        assert_eq!(query(&browser, "GET /held", 5), expected);
        assert_quiet(&browser);
    });
}

#[test]
fn the_users_own() {
    alone("names::the_users_own", || {
        let names = MetricNames::default()
            .requests_total("shop:requests")
            .request_latency_seconds("shop:latency")
            .requests_in_progress("shop:in_flight");
        let builder = builder("shop").names(names).app_name_label(false);
        let builder = builder
            .global_label("region", "eu \"west\"\\ <1>")
            .max_series(30);
        let Some((browser, addr)) = opened(builder) else {
            return;
        };
        // The name comes from `target_info`.
        assert_eq!(browser.text("#app"), "shop");
        assert_eq!(number(&browser, "GET /named", "Total"), "6");
        assert_eq!(number(&browser, "GET /held", "In flight"), "1");
        // A function without a method.
        let job = row_names(&browser);
        let job = job
            .iter()
            .find(|name| name.ends_with("::job"))
            .expect("the function");
        assert!(job.starts_with("– "), "{job}");
        let endpoint = &job["– ".len()..];
        assert_eq!(number(&browser, endpoint, "Total"), "1");
        let expected = format!(r#"sum(shop:requests{{method="",endpoint="{endpoint}"}})"#);
        assert_eq!(query(&browser, endpoint, 8), expected);
        // A global label is not the function's own.
        open(&browser, endpoint);
        let titles = browser.run(
            "return [...document.querySelectorAll('caption')].map(caption => caption.textContent)",
        );
        assert_eq!(
            titles.to_string(),
            r#"["More","Statuses and outcomes","Latency"]"#
        );
        let series = scrape(addr).expect("a page").series("shop:requests");
        assert_eq!(tile(&browser, "Series"), format!("{series} of 30"));
        assert_quiet(&browser);
    });
}

#[test]
fn opentelemetry() {
    alone("names::opentelemetry", || {
        let Some((browser, _)) = opened(builder("otel").names(MetricNames::opentelemetry())) else {
            return;
        };
        assert_eq!(number(&browser, "GET /named", "Total"), "6");
        assert_ne!(number(&browser, "GET /named", "p95"), "–");
        // The conventions count requests in flight by method only.
        assert_eq!(number(&browser, "GET /named", "In flight"), "–");
        assert_eq!(tile(&browser, "In flight"), "1");
        let expected = r#"sum(http_server_request_duration_seconds_count{http_request_method="GET",http_route="/named"})"#;
        assert_eq!(query(&browser, "GET /named", 8), expected);
        let expected = r#"sum(http_server_active_requests{http_request_method="GET"})"#;
        assert_eq!(query(&browser, "GET /named", 5), expected);
        assert!(
            row_names(&browser)
                .iter()
                .any(|name| name.ends_with("::job"))
        );
        written(&browser);
        assert_quiet(&browser);
    });
}

/// Outcomes and RPCs, on a page that the test writes.
fn written(browser: &Browser) {
    let http = "http_server_request_duration_seconds_count";
    let rpc = "rpc_server_call_duration_seconds_count";
    let a = "http_request_method=\"GET\",http_route=\"/a\",url_scheme=\"http\"";
    let of_rpc = "rpc_system_name=\"grpc\",rpc_method=\"shop.Cart/Add\"";
    let ratio = "slo=\"x\",sli=\"success\"";
    let route = "http_request_method=\"GET\",http_route=\"/a\"";
    let page = Metrics::default()
        .with(
            http,
            &format!("{a},http_response_status_code=\"200\""),
            90.0,
        )
        .with(http, &format!("{a},http_response_status_code=\"404\""), 4.0)
        .with(
            http,
            &format!("{a},http_response_status_code=\"503\",error_type=\"503\""),
            3.0,
        )
        .with(http, &format!("{a},error_type=\"panic\""), 2.0)
        .with(http, &format!("{a},error_type=\"cancelled\""), 1.0)
        .with(
            http,
            "http_request_method=\"GET\",url_scheme=\"http\",http_response_status_code=\"404\"",
            8.0,
        )
        .with(
            "http_server_active_requests",
            "http_request_method=\"GET\"",
            3.0,
        )
        .with(
            rpc,
            &format!("{of_rpc},rpc_response_status_code=\"OK\""),
            5.0,
        )
        .with(
            rpc,
            &format!("{of_rpc},rpc_response_status_code=\"INTERNAL\",error_type=\"INTERNAL\""),
            2.0,
        )
        .with(
            "requests_in_progress",
            "method=\"POST\",endpoint=\"/shop.Cart/Add\"",
            6.0,
        )
        .with(
            "requests_oldest_in_progress_seconds",
            "method=\"POST\",endpoint=\"/shop.Cart/Add\"",
            40.0,
        )
        .with("request_objective_ratio", &format!("{route},{ratio}"), 0.5)
        .with(
            "request_objective_ratio",
            "rpc_method=\"shop.Cart/Add\",slo=\"y\",sli=\"success\"",
            0.5,
        )
        .with(
            "requests_oldest_in_progress_seconds",
            &format!("{route},url_scheme=\"http\""),
            50.0,
        )
        .with(
            "requests_total",
            "endpoint=\"jobs::run\",outcome=\"error\"",
            1.0,
        );
    let application = Application::start(&page.0);
    browser.open(&application.url());
    browser.wait_for("page >= 1");
    assert_eq!(
        row_names(browser),
        [
            "GET /a",
            "GET unmatched",
            "grpc shop.Cart/Add",
            "– jobs::run"
        ]
    );
    for (row, column, expected) in [
        ("GET /a", "Total", "100"),
        ("GET /a", "Cancelled", "1"),
        ("GET /a", "Panicked", "2"),
        ("GET unmatched", "Total", "8"),
        ("grpc shop.Cart/Add", "Total", "7"),
        ("grpc shop.Cart/Add", "In flight", "6"),
        ("jobs::run", "Total", "1"),
    ] {
        assert_eq!(number(browser, row, column), expected, "{row}: {column}");
    }
    assert_eq!(tile(browser, "In flight"), "9");
    let failed = browser.run("return [...rows.values()].map(row => row.failed.total)");
    assert_eq!(failed.to_string(), "[5,0,2,1]");
    for row in ["GET /a", "grpc shop.Cart/Add"] {
        open(browser, row);
    }
    let first = |row: &str, title: &str| -> Vec<String> {
        let lines = lines(browser, row, title);
        lines
            .into_iter()
            .map(|mut line| line.swap_remove(0))
            .collect()
    };
    let title = "Statuses and outcomes";
    assert_eq!(
        first("GET /a", title),
        [
            "200 ok",
            "404 client_error",
            "503 error",
            "panicked panic",
            "cancelled"
        ]
    );
    assert_eq!(
        first("grpc shop.Cart/Add", title),
        ["OK ok", "INTERNAL error"]
    );
    assert_eq!(
        lines(browser, "GET /a", "Objectives, since the start"),
        [["x: success", "50 %", "95 %", "90 %"]]
    );
    assert_eq!(
        lines(browser, "grpc shop.Cart/Add", "Objectives, since the start"),
        [["y: success", "50 %", "71.4 %", "42.8 %"]]
    );
    assert_eq!(
        crate::warnings_of(browser),
        [
            "bad: 2 calls of GET /a have panicked.",
            "warn: A call of GET /a is in flight for 50 s.",
            "warn: A call of grpc shop.Cart/Add is in flight for 40 s.",
        ]
    );
}
