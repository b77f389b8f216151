//! The numbers that the view shows.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use instrument_browser::Browser;
use instrument_runtime::{Objective, instrumented};
use instrument_tests::page::scrape;

use crate::{
    A, B, Metrics, assert_quiet, installed, lines, number, open, tile, view, wait_for_next_page,
};

#[instrumented(endpoint = "/exact", method = "GET")]
async fn exact(how: &str) -> Result<(), &'static str> {
    match how {
        "ok" => Ok(()),
        "error" => Err("on purpose"),
        "panicked" => panic!("on purpose"),
        _ => poll_fn(|_| Poll::Pending).await,
    }
}

/// Polls a call once, and drops it.
fn cancel() {
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(exact("cancelled")).poll(&mut context).is_pending());
}

fn run(call: impl Future<Output = Result<(), &'static str>>) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(call).poll(&mut context).is_ready());
}

/// Calls that were made, on the exporter's own page, and its own metrics.
#[test]
fn the_numbers_are_those_of_the_calls() {
    let addr = installed().local_addr().expect("a TCP listener");
    let Some(browser) = Browser::start(1200, 900) else {
        return;
    };
    browser.open(&format!("http://{addr}/"));
    browser.wait_for("page >= 0");
    assert_eq!(number(&browser, "GET /exact", "Total"), "0");

    for _ in 0..1_234 {
        run(exact("ok"));
    }
    for _ in 0..7 {
        run(exact("error"));
    }
    for _ in 0..3 {
        cancel();
    }
    for _ in 0..2 {
        let unwound = std::panic::catch_unwind(|| run(exact("panicked")));
        assert!(unwound.is_err());
    }
    let mut in_flight = pin!(exact("in flight"));
    let mut context = Context::from_waker(Waker::noop());
    assert!(in_flight.as_mut().poll(&mut context).is_pending());
    wait_for_next_page(&browser);
    let shown = |column| number(&browser, "GET /exact", column);
    assert_eq!(shown("Total"), "1,246");
    assert_eq!(shown("In flight"), "1");
    assert_eq!(shown("Cancelled"), "3");
    assert_eq!(shown("Panicked"), "2");
    // All calls were made in the last minute: 9 of 1,246.
    assert_eq!(shown("Errors"), "0.72 %");
    open(&browser, "GET /exact");
    assert_eq!(
        lines(&browser, "GET /exact", "Statuses and outcomes")
            .iter()
            .map(|line| [&*line[0], &*line[2]])
            .collect::<Vec<_>>(),
        [
            ["ok", "1,234"],
            ["error", "7"],
            ["499 cancelled", "3"],
            ["500 panicked", "2"],
            ["200 ok", "0"]
        ]
    );

    // The sums over all rows are those of a scrape.
    let page = scrape(addr).expect("a page");
    let sum = |of: &str| {
        browser.run(&format!(
            "return [...rows.values()].reduce((sum, row) => sum + {of}, 0)"
        ))
    };
    assert_eq!(
        sum("row.calls.total").as_f64(),
        Some(page.sum("requests_total", &[]))
    );
    assert_eq!(
        tile(&browser, "In flight"),
        page.sum("requests_in_progress", &[]).to_string()
    );
    let series = page.series("requests_total");
    assert_eq!(tile(&browser, "Series"), format!("{series} of 2,000"));
    assert_eq!(browser.text("#app"), crate::APP);
    assert_eq!(browser.text("#version"), "1.2.3");
    for (name, unit) in [
        ("CPU", "% of a core"),
        ("Memory", "MB"),
        ("Descriptors", ""),
        ("Threads", ""),
        ("Up", " "),
    ] {
        let text = tile(&browser, name);
        assert!(
            text.starts_with(|digit: char| digit.is_ascii_digit()) && text.contains(unit),
            "{name}: {text}"
        );
    }
    assert_quiet(&browser);
}

/// Rates, shares and quantiles, within what two pages give.
#[test]
fn rates_and_latencies_are_those_of_the_last_minute() {
    let ok = |count| Metrics::default().calls(A, "200", "ok", count);
    let before = ok(1_000).latency(
        A,
        &[
            ("0.1", 1_000),
            ("0.25", 1_000),
            ("1.0", 1_000),
            ("+Inf", 1_000),
        ],
    );
    let Some((browser, application)) = view(&before.0) else {
        return;
    };
    // One page tells nothing about a rate.
    for column in ["Req/s", "Errors", "p50", "p95", "p99"] {
        assert_eq!(number(&browser, "GET /a", column), "–");
    }
    assert_eq!(number(&browser, "GET /a", "Total"), "1,000");

    // 60 calls succeed, 30 fail at the server, 10 at the client.
    let after = ok(1_060)
        .calls(A, "500", "error", 20)
        .calls(A, "500", "panicked", 10)
        .calls(A, "404", "client_error", 10)
        .calls(B, "499", "cancelled", 5)
        .latency(
            A,
            &[
                ("0.1", 1_050),
                ("0.25", 1_095),
                ("1.0", 1_099),
                ("+Inf", 1_100),
            ],
        )
        .latency(B, &[("0.1", 0), ("0.25", 0), ("1.0", 4), ("+Inf", 5)]);
    application.set(after.0);
    wait_for_next_page(&browser);
    // Both numbers are read at once, because the view goes on.
    let shown = browser.run(
        "const [row] = [...rows.values()].filter(row => row.name === 'GET /a');
         return [row.body.rows[0].cells[3].innerText, span, row.svg.ariaLabel, row.svg.firstChild.getAttribute('points')]",
    );
    let rate: f64 = shown[0]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a rate");
    let span = shown[1].as_f64().expect("a time");
    assert!((rate - 100.0 / span).abs() < 0.06, "{shown}");
    let label = shown[2].as_str().expect("a label");
    assert!(label.starts_with("GET /a: at most "), "{label}");
    assert!(!shown[3].as_str().expect("points").is_empty());
    for (column, expected) in [
        ("Errors", "30 %"),
        ("p50", "100 ms"),
        ("p95", "250 ms"),
        // Four of the five slowest calls lie between 0.25 and 1 second.
        ("p99", "1.00 s"),
        ("Total", "1,100"),
        ("Panicked", "10"),
    ] {
        assert_eq!(number(&browser, "GET /a", column), expected, "{column}");
    }
    // This row was not on the first page, so all its calls are new.
    let shown = |column| number(&browser, "POST /b", column);
    assert_eq!(
        [shown("Total"), shown("Cancelled"), shown("Errors")],
        ["5", "5", "0 %"]
    );
    assert_eq!([shown("p50"), shown("p99")], ["719 ms", "> 1 s"]);

    open(&browser, "GET /a");
    assert_eq!(
        lines(&browser, "GET /a", "Latency")
            .iter()
            .map(|line| [&*line[0], &*line[2], &*line[3]])
            .collect::<Vec<_>>(),
        [
            ["≤ 100 ms", "50", "1,050"],
            ["≤ 250 ms", "45", "45"],
            ["≤ 1 s", "4", "4"],
            ["more", "1", "1"]
        ]
    );
    let widths = browser.run("return [...document.querySelectorAll('.bar')].map(bar => Math.round(parseFloat(bar.style.width)))");
    assert_eq!(widths.to_string(), "[100,4,0,0]");
    assert_quiet(&browser);
}

/// After a minute, an old call is no longer in the rates. The clock of the browser is set.
#[test]
fn an_old_call_leaves_the_last_minute() {
    let Some((browser, application)) = view(&Metrics::default().calls(A, "200", "ok", 5).0) else {
        return;
    };
    application.set(Metrics::default().calls(A, "200", "ok", 10).0);
    wait_for_next_page(&browser);
    assert_ne!(number(&browser, "GET /a", "Req/s"), "0");
    // Each page comes 10 seconds after the one before.
    let _ = browser.run("window.late = 0; const real = performance.now.bind(performance); performance.now = () => real() + (late += 10_000)");
    browser.wait_for("rows.values().next().value.calls.rate === 0");
    assert_eq!(number(&browser, "GET /a", "Req/s"), "0");
    let span = browser.run("return span").as_f64().expect("a time");
    assert!((50.0..=61.0).contains(&span), "{span}");
    assert_eq!(number(&browser, "GET /a", "Total"), "10");

    // After a long pause, a peak before it no longer sets the scale of the sparkline.
    let peak = "rows.values().next().value.peak";
    assert_ne!(browser.run(&format!("return {peak}")), 0);
    let _ = browser.run("late += 300_000");
    wait_for_next_page(&browser);
    browser.wait_for(&format!("{peak} === 0"));
    assert_eq!(
        browser.run("return rows.values().next().value.svg.ariaLabel"),
        "GET /a: at most 0 a second"
    );
    assert_quiet(&browser);
}

#[test]
fn an_open_row_shows_its_labels() {
    let of = |tenant: u32, count| (format!("{A},tenant=\"t{tenant}\""), count);
    let mut page = Metrics::default();
    for (labels, count) in (1..=12).map(|tenant| of(tenant, tenant * 10)) {
        page = page.calls(&labels, "200", "ok", count);
    }
    let page = page
        .calls(&of(3, 0).0, "500", "error", 1_000)
        .calls(A, "200", "ok", 2);
    let Some((browser, _application)) = view(&page.0) else {
        return;
    };
    open(&browser, "GET /a");
    let tenants = lines(&browser, "GET /a", "Label tenant");
    let shown: Vec<_> = tenants.iter().map(|line| line[0].as_str()).collect();
    assert_eq!(
        shown,
        [
            "t3", "t12", "t11", "t10", "t9", "t8", "t7", "t6", "t5", "t4", "3 more"
        ]
    );
    assert_eq!(tenants[0], ["t3", "–", "1,030"]);
    // Global labels are not the function's own.
    let parts = browser.run(
        "return [...document.querySelectorAll('caption')].map(caption => caption.textContent)",
    );
    assert_eq!(
        parts.to_string(),
        r#"["More","Statuses and outcomes","Label tenant"]"#
    );
    assert_quiet(&browser);
}

const CHECKOUT: Objective = Objective::new("checkout")
    .success(99.0)
    .latency(Duration::from_millis(120), 90.0);

#[instrumented(endpoint = "/cart", method = "POST", objective = CHECKOUT)]
async fn cart(is_ok: bool) -> Result<(), &'static str> {
    if is_ok { Ok(()) } else { Err("on purpose") }
}

#[instrumented(endpoint = "/pay", method = "POST", objective = CHECKOUT)]
async fn pay() {}

/// The objectives that are in the code of an application.
#[test]
fn objectives_of_functions_are_found() {
    let addr = installed().local_addr().expect("a TCP listener");
    let Some(browser) = Browser::start(1200, 900) else {
        return;
    };
    browser.open(&format!("http://{addr}/"));
    browser.wait_for("page >= 0");
    let title = "Objectives, since the start";
    open(&browser, "POST /pay");
    assert_eq!(
        lines(&browser, "POST /pay", title),
        [
            ["checkout: latency within 120 ms", "90 %", "–", "100 %"],
            ["checkout: success", "99 %", "–", "100 %"],
        ]
    );
    for number in 0..100 {
        run(cart(number != 0));
    }
    for _ in 0..100 {
        run(async {
            pay().await;
            Ok(())
        });
    }
    wait_for_next_page(&browser);
    // Both functions share the budget: 2 of their 200 calls may fail, and 1 has failed.
    assert_eq!(
        lines(&browser, "POST /pay", title),
        [
            ["checkout: latency within 120 ms", "90 %", "100 %", "100 %"],
            ["checkout: success", "99 %", "99.5 %", "50 %"],
        ]
    );
    assert_quiet(&browser);
}

#[test]
fn objectives_show_the_budget_that_is_left() {
    let objective = |page: Metrics, labels: &str, target| {
        let labels = format!("app_name=\"live\",{labels}");
        page.with("request_objective_ratio", &labels, target)
    };
    let page = Metrics::default()
        .calls(A, "200", "ok", 9_990)
        .calls(A, "500", "error", 4)
        .calls(A, "500", "panicked", 1)
        .calls(A, "404", "client_error", 5)
        .latency(A, &[("0.1", 8_000), ("0.25", 9_800), ("+Inf", 10_000)])
        .calls(B, "200", "ok", 0);
    let page = objective(
        page,
        &format!("{A},slo=\"checkout\",sli=\"success\""),
        0.999,
    );
    let page = objective(
        page,
        &format!("{A},slo=\"checkout\",sli=\"latency\",le=\"0.25\""),
        0.99,
    );
    let page = objective(page, &format!("{B},slo=\"idle\",sli=\"success\""), 0.99999);
    let Some((browser, _application)) = view(&page.0) else {
        return;
    };
    open(&browser, "GET /a");
    open(&browser, "POST /b");
    let title = "Objectives, since the start";
    assert_eq!(
        lines(&browser, "GET /a", title),
        [
            ["checkout: success", "99.9 %", "99.95 %", "50 %"],
            ["checkout: latency within 250 ms", "99 %", "98 %", "-100 %"],
        ]
    );
    assert_eq!(
        lines(&browser, "POST /b", title),
        [["idle: success", "99.999 %", "–", "100 %"]]
    );
    let tones = browser.run("return [...document.querySelectorAll('.parts table:not(.narrow) :is(.good, .bad)')].map(button => button.className)");
    assert_eq!(
        tones.to_string(),
        r#"["number good","number bad","number good"]"#
    );
    assert_quiet(&browser);
}

/// The metrics of the process and of the runtime, whatever they are.
#[test]
fn the_strip_shows_what_is_on_the_page() {
    let process = |seconds: f64| {
        Metrics::default()
            .with("process_cpu_seconds_total", "app_name=\"live\"", seconds)
            .with("process_max_fds", "", 1_024.0)
            .with("process_open_fds", "", 43.0)
            .with("process_resident_memory_bytes", "", 48_320_512.0)
            .with("process_start_time_seconds", "", 0.0)
            .with("process_threads", "", 9.0)
            .with("tokio_alive_tasks", "", 118.0)
            .with("tokio_workers", "", 4.0)
            .with(
                "tokio_workers_busy_seconds_total",
                "worker=\"0\"",
                seconds * 2.0,
            )
            .with("tokio_workers_busy_seconds_total", "worker=\"1\"", seconds)
            .with("tokio_poll_seconds_bucket", "le=\"+Inf\"", 1.0)
            .with("other_total", "", 1.0)
            .with("instrument_series_limit", "", 2_000.0)
            .calls(A, "200", "ok", 1)
    };
    let Some((browser, application)) = view(&process(100.0).0) else {
        return;
    };
    for (name, expected) in [
        ("CPU", "– of a core"),
        ("Memory", "48.3 MB"),
        ("Descriptors", "43 of 1,024"),
        ("Threads", "9"),
        ("tokio alive tasks", "118"),
        ("Series", "1 of 2,000"),
        ("tokio poll", "none"),
    ] {
        assert_eq!(tile(&browser, name), expected, "{name}");
    }
    // The process has run since 1970.
    assert!(tile(&browser, "Up").ends_with(" d"));
    // Without its start, the last tile has no query. Later, this place has a number again.
    let second = format!("tokio_a{{}} 3\ntokio_b{{}} 4\n{}", process(100.0).0);
    application.set(
        process(100.0)
            .0
            .replace("process_start_time_seconds", "other"),
    );
    wait_for_next_page(&browser);
    application.set(second);
    wait_for_next_page(&browser);
    assert_eq!(tile(&browser, "tokio b"), "4");
    assert!(tile(&browser, "Up").ends_with(" d"));
    application.set(process(101.0).0);
    wait_for_next_page(&browser);
    let span = browser.run("return span").as_f64().expect("a time");
    let cpu = tile(&browser, "CPU");
    let percent: f64 = cpu
        .split(' ')
        .next()
        .and_then(|text| text.parse().ok())
        .expect("a number");
    // The view may have read another page since.
    assert!(
        percent <= 100.0 / 1.9 && percent >= 100.0 / (span + 4.0) - 0.1,
        "{cpu} in {span} s"
    );
    // The workers are busy three times as long, and there are four of them.
    let busy = browser.run(
        "return others.get('tokio_workers_busy_seconds_total').rate / others.get('process_cpu_seconds_total').rate / 4",
    );
    assert!(
        (busy.as_f64().expect("a number") - 0.75).abs() < 1e-6,
        "{busy}"
    );
    assert!(tile(&browser, "tokio workers busy").ends_with(" %"));
    assert_quiet(&browser);
}

#[test]
fn an_application_without_calls_says_so() {
    let Some((browser, application)) = view("\n") else {
        return;
    };
    assert_eq!(browser.text("#empty"), "No calls yet.");
    assert_eq!(browser.text("#count"), "0 of 0 endpoints");
    assert!(
        tile(&browser, "Up").ends_with(" s"),
        "the time of the installation is known"
    );
    application.set(Metrics::default().calls(A, "200", "ok", 1).0);
    wait_for_next_page(&browser);
    assert_eq!(
        browser.run("return document.getElementById('empty').hidden"),
        true
    );
    assert_quiet(&browser);
}
