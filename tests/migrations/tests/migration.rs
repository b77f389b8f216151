//! Sends the same requests to both programs of a page and compares what they count.

use instrument_tests::markdown::{blocks, codes, section};
use instrument_tests::page::Page;
use instrument_tests::wait_until;

use crate::chapter::{Chapter, End, Request};
use crate::counted::{Counting, Counts};
use crate::program::Running;
use crate::queries::{At, Loaded};
use crate::traffic::{Connection, Mix, is_slow, send_all};
use crate::{chapter_of, program_of, text_of};

#[test]
fn axum_prometheus() {
    let Some(prometheus) = check(&chapter_of!("axum_prometheus")).prometheus else {
        return;
    };
    // The query for both metrics, in the introduction to the pages.
    let queries = blocks(text_of!("index"), "promql");
    let [query] = queries[..] else {
        panic!("not one query: {queries:?}");
    };
    let before = prometheus.number("sum(rate(axum_http_requests_total[5m]))", At::Before);
    let after = prometheus.number("sum(rate(requests_total[5m]))", At::After);
    assert_eq!(prometheus.number(query, At::Before), before);
    assert_eq!(prometheus.number(query, At::After), after);
    let both = prometheus.number(query, At::Both);
    assert!((both - before - after).abs() < 1e-9, "{both}");
}

#[test]
fn actix_web_prom() {
    check(&chapter_of!("actix_web_prom"));
}

#[test]
fn autometrics() {
    let [before, after] = check(&chapter_of!("autometrics")).pages;
    let name = [("service_name", "shop")];
    assert_eq!(before.value("build_info", &name), Some(1.0));
    assert_eq!(after.value("target_info", &name), Some(1.0));
}

#[test]
fn metrics() {
    let [before, after] = check(&chapter_of!("metrics")).pages;
    let created = |page: &Page, labels| page.value("users_created_total", labels);
    assert!(created(&before, &[]) > Some(0.0));
    assert_eq!(
        created(&after, &[("app_name", "shop")]),
        created(&before, &[])
    );
}

#[test]
fn opentelemetry() {
    let [before, after] = check(&chapter_of!("opentelemetry")).pages;
    let count = |page: &Page, metric: &str| page.series(&format!("{metric}_count"));
    let (requests, responses) = (
        "http_server_request_body_size_bytes",
        "http_server_response_body_size_bytes",
    );
    assert!(count(&before, requests) > 0 && count(&before, responses) > 0);
    assert!(count(&after, requests) == 0 && count(&after, responses) > 0);
    for name in codes(section(text_of!("opentelemetry"), "The metrics")) {
        let series = before.series(name) + count(&before, name);
        assert!(series > 0 || !name.starts_with("http_server_"), "{name}");
    }
    for (page, scheme) in [(&before, ""), (&after, "http")] {
        let all = page.sum("http_server_request_duration_seconds_count", &[]);
        let labels = [("url_scheme", scheme)];
        let these = page.sum("http_server_request_duration_seconds_count", &labels);
        assert!(all > 0.0 && these == all, "{scheme:?}");
    }
}

/// With both layers, both sets of metrics are on one page.
#[test]
fn both_layers_count_on_one_page() {
    let program = program_of!("axum_prometheus_both").start();
    for _ in 0..3 {
        Connection::send(program.app, "GET /users/7").rest();
    }
    let labels = [("endpoint", "/users/{id}"), ("method", "GET")];
    for metric in [
        "axum_http_requests_total",
        "axum_http_requests_duration_seconds_count",
        "requests_total",
        "request_latency_seconds_count",
    ] {
        wait_until(
            metric,
            || program.page().sum(metric, &labels),
            |sum| *sum == 3.0,
        );
    }
    for gauge in ["axum_http_requests_pending", "requests_in_progress"] {
        assert_eq!(program.page().value(gauge, &labels), Some(0.0), "{gauge}");
    }
    // The bounds are the same.
    let bounds = |metric: &str| program.page().series(&format!("{metric}_bucket"));
    let both = [
        "axum_http_requests_duration_seconds",
        "request_latency_seconds",
    ];
    assert_eq!(bounds(both[0]), bounds(both[1]));
}

/// The requests that each page has to compare.
const REQUESTS: [&str; 11] = [
    "POST /users",
    "GET /users/7",
    "GET /users/404",
    "GET /users/500",
    "GET /sleep/3000",
    "GET /nowhere",
    "GET /elsewhere",
    "DELETE /users",
    "GET /sleep/60000",
    "GET /download",
    "GET /crash",
];

/// The metrics pages of both programs.
struct Compared {
    pages: [Page; 2],
    /// A Prometheus server that has the pages. `None` if Prometheus is not installed.
    prometheus: Option<Loaded>,
}

/// Checks the tables and the queries of a page.
fn check(chapter: &Chapter) -> Compared {
    let (metrics, requests) = (chapter.metrics(), chapter.requests());
    let lines: Vec<_> = requests.rows.iter().map(|row| row.line).collect();
    assert_eq!(lines, REQUESTS);
    let mix = Mix::new(&requests);
    let includes_body = chapter.includes_body();
    let pages = std::thread::scope(|scope| {
        let column = |column: usize| {
            let counting = Counting::new(&metrics[column], &requests, column);
            let program = chapter.programs[column];
            let (mix, includes_body) = (&mix, includes_body[column]);
            scope.spawn(move || run(&program.start(), mix, &counting, includes_body))
        };
        let threads = [column(0), column(1)];
        threads.map(|thread| thread.join().expect("the column is right"))
    });
    let prometheus = Loaded::start(pages.each_ref());
    if let Some(prometheus) = &prometheus {
        prometheus.check(&chapter.queries(), &requests);
    }
    Compared { pages, prometheus }
}

/// Sends the requests to one program and compares its page with its column of the tables.
/// Returns the page at the time when all responses have been sent, and the other requests
/// are in flight.
fn run(
    program: &Running,
    mix: &Mix<'_>,
    counting: &Counting<'_>,
    includes_body: [bool; 2],
) -> Page {
    let responses = || mix.that_end(End::Response);
    send_all(program.app, responses());
    // The slow requests ran at the same time, so their lines are mixed.
    for _ in responses().filter(|request| is_slow(request)) {
        program.next_line();
        program.next_line();
    }
    let mut expected = counting.expected(responses());
    wait_for_counts(program, counting, &expected);

    // Clients leave while their handlers run.
    let left: Vec<&Request> = mix.that_end(End::Left).collect();
    let connect = |request: &&Request| Connection::send(program.app, request.line);
    let connections: Vec<Connection> = left.iter().map(connect).collect();
    for _ in &connections {
        assert_eq!(program.next_line(), "sleep starts");
    }
    if let Some(in_flight) = &mut expected.in_flight {
        *in_flight += connections.len() as f64;
    }
    let page = program.page();
    let differences = counting.found(&page).differences(&expected);
    assert!(differences.is_empty(), "{differences:#?}");
    for connection in connections {
        drop(connection);
        assert_eq!(program.next_line(), "sleep ends");
    }

    // Handlers panic. The connection ends when the panic has unwound.
    let panics = || mix.that_end(End::Panic);
    for request in panics() {
        assert_eq!(Connection::send(program.app, request.line).rest(), "");
    }

    // Clients leave when they have the head of the response.
    let left_body = || mix.that_end(End::LeftBody);
    for request in left_body() {
        Connection::send(program.app, request.line).read_head();
    }

    let sent = responses().chain(left).chain(panics()).chain(left_body());
    let expected = counting.expected(sent);
    wait_for_counts(program, counting, &expected);
    counting.check_metrics(&program.page());
    check_end(program, counting, &expected, includes_body);
    page
}

/// Waits until the page has these counts.
fn wait_for_counts(program: &Running, counting: &Counting<'_>, expected: &Counts) {
    wait_until(
        counting.metrics.requests.name,
        || counting.found(&program.page()).differences(expected),
        Vec::is_empty,
    );
}

/// Checks with one more request whether the latency and the time in flight end with the head
/// or with the body of the response.
fn check_end(
    program: &Running,
    counting: &Counting<'_>,
    before: &Counts,
    [latency_includes_body, in_flight_includes_body]: [bool; 2],
) {
    let mut connection = Connection::send(program.app, "GET /download");
    connection.read_head();
    let found = counting.found(&program.page());
    let count = |counts: &Counts| counts.latencies.values().sum::<u64>();
    let ended = u64::from(!latency_includes_body);
    assert_eq!(count(&found), count(before) + ended, "latency: {found:#?}");
    let open = f64::from(u8::from(in_flight_includes_body));
    let expected = before.in_flight.map(|in_flight| in_flight + open);
    assert_eq!(found.in_flight, expected, "in flight: {found:#?}");
}
