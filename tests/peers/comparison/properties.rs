//! Asks a server whether it has a property.

use instrument_tests::protobuf;

use crate::peer::Peer;

/// The name of a row, and a function that asks for it.
pub(crate) type Property = (&'static str, fn(&Peer) -> Option<bool>);

/// The rows of the table that a running server can show. A function returns `None` if the
/// property makes no sense for the server. It gets a server that has not had any requests.
///
/// Each server uses what its library offers. These sources show that a "no" is not only a setting
/// that the server leaves out:
///
/// - functions: axum-prometheus 0.10.1 (src/builder.rs), actix-web-prom 0.10.0 (src/lib.rs) and
///   opentelemetry-instrumentation-tower 0.19.0 (src/lib.rs) have layers only.
/// - native histograms: prometheus 0.14.0 (src/histogram.rs), which actix-web-prom writes the page
///   with, and prometheus-client 0.22.3 (src/metrics/histogram.rs), which autometrics writes it
///   with, have classic buckets only.
/// - exemplars: neither prometheus 0.14.0 nor metrics-exporter-prometheus 0.18.3 mentions them in
///   its source, and opentelemetry_sdk 0.33.1 leaves them empty (src/metrics/internal/histogram.rs).
/// - a bound on the series: the exporter's builder has time-outs, but no limit
///   (metrics-exporter-prometheus 0.18.3, src/exporter/builder.rs).
/// - objectives, and a live view: none of the libraries but autometrics mentions the former, and
///   none has a page for a browser.
pub(crate) const PROPERTIES: &[Property] = &[
    ("any function, async or not", any_function),
    ("whole requests by a layer", whole_requests),
    (
        "a client that leaves, or a panic, is counted",
        leaving_and_panics,
    ),
    ("the gauge survives cancellation and panics", gauge),
    ("requests without a route are bounded", unmatched),
    ("unknown methods are bounded", methods),
    ("a bound on the number of series", limit),
    ("native histograms", native_histograms),
    ("exemplars", exemplars),
    ("objectives and alerts from code", objectives),
    ("a live view of the application", live_view),
];

/// The function `work` is not async and not a handler.
fn any_function(peer: &Peer) -> Option<bool> {
    assert_eq!(peer.get("/work"), Some(200));
    let page = peer.scrape();
    let mut names = page.all().filter(|(.., value)| *value > 0.0);
    Some(names.any(|(name, labels, _)| {
        let is_work = |value: &String| value == "work" || value.ends_with("::work");
        name.starts_with("work_") || labels.values().any(is_work)
    }))
}

/// A request that an extractor refuses, so that it does not reach its handler.
fn whole_requests(peer: &Peer) -> Option<bool> {
    let status = peer.get("/number/x").expect("a status");
    assert!([400, 404].contains(&status), "{status}");
    Some(peer.counted() > 0.0)
}

fn leaving_and_panics(peer: &Peer) -> Option<bool> {
    peer.leave(|| ());
    let left = peer.counted() - base(peer);
    peer.panic();
    let panicked = peer.counted() - base(peer) - left;
    assert_eq!(left, panicked, "{}: a row for each", peer.kind.name);
    Some(left == 1.0)
}

/// The requests for `/metrics` that the application counts, because its layer is around them.
fn base(peer: &Peer) -> f64 {
    let page = peer.scrape();
    let samples = page.samples(peer.kind.counter);
    let is_page = |value: &String| value == "/metrics" || value == "unmatched";
    samples
        .filter(|(labels, _)| labels.values().any(is_page))
        .map(|(_, value)| value)
        .sum()
}

fn gauge(peer: &Peer) -> Option<bool> {
    let gauge = peer.kind.gauge?;
    let in_flight = || peer.scrape().sum(gauge, &[]);
    let while_waiting = peer.leave(in_flight);
    assert!(while_waiting >= 1.0, "{}: {while_waiting}", peer.kind.name);
    peer.panic();
    Some(in_flight() == 0.0)
}

/// Returns whether no label has a value that only the client knows.
fn unmatched(peer: &Peer) -> Option<bool> {
    assert_eq!(peer.get("/nowhere/1"), Some(404));
    (peer.counted() > 0.0).then(|| !peer.text().contains("nowhere"))
}

fn methods(peer: &Peer) -> Option<bool> {
    peer.send("BREW", "/hello", "").expect("a status");
    (peer.counted() > 0.0).then(|| !peer.text().contains("BREW"))
}

/// Returns whether 2,500 requests, each with a tenant and a path of its own, lead to fewer
/// series. Each limit is 2,000 or less by default.
fn limit(peer: &Peer) -> Option<bool> {
    for n in 0..2_500 {
        let tenant = format!("tenant {n}");
        peer.send("GET", &format!("/nowhere/{n}"), &tenant)
            .expect("a status");
        peer.send("GET", "/hello", &tenant).expect("a status");
    }
    Some(peer.scrape().series(peer.kind.counter) < 2_100)
}

const PROTOBUF: &str = "application/vnd.google.protobuf;\
    proto=io.prometheus.client.MetricFamily;encoding=delimited";

fn native_histograms(peer: &Peer) -> Option<bool> {
    assert_eq!(peer.get("/hello"), Some(200));
    assert_eq!(peer.get("/work"), Some(200));
    let (content_type, page) = peer.page_server("/metrics", PROTOBUF).expect("a page");
    if !content_type.starts_with("application/vnd.google.protobuf") {
        return Some(false);
    }
    let families = protobuf::families(&page);
    let mut metrics = families.iter().flat_map(|family| &family.metric);
    Some(metrics.any(|metric| {
        let histogram = metric.histogram.as_ref();
        histogram.is_some_and(|histogram| !protobuf::native_buckets(histogram).is_empty())
    }))
}

fn exemplars(peer: &Peer) -> Option<bool> {
    assert_eq!(peer.get("/hello"), Some(200));
    assert_eq!(peer.get("/work"), Some(200));
    let accept = "application/openmetrics-text; version=1.0.0";
    let (_, page) = peer.page_server("/metrics", accept).expect("a page");
    let page = String::from_utf8(page).expect("UTF-8");
    Some(page.contains(" # {trace_id=\"0101"))
}

/// The function `work` has an objective, if the library has objectives.
fn objectives(peer: &Peer) -> Option<bool> {
    assert_eq!(peer.get("/work"), Some(200));
    Some(peer.text().contains("objective"))
}

fn live_view(peer: &Peer) -> Option<bool> {
    let view = peer.page_server("/", "text/html");
    Some(view.is_some_and(|(content_type, _)| content_type.starts_with("text/html")))
}
