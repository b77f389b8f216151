//! The formats of the page, asked for by `Accept` and read by the Python client library.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use instrument_runtime::{TraceContext, axum as on_axum, instrumented};
use instrument_tests::page::Page;
use instrument_tests::protobuf::{self, client::MetricType};
use instrument_tests::random::Random;
use instrument_tests::{DEADLINE, in_ci, skipped};
use metrics::{counter, describe_counter, gauge, histogram};
use serde_json::{Value, json};
use tower::ServiceExt;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";

const PROTOBUF_TYPE: &str = "application/vnd.google.protobuf";
const PROTOBUF: &str = "application/vnd.google.protobuf; \
                        proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// The starts of the names of metrics that differ from scrape to scrape.
const CHANGING: &[&str] = &[
    "instrument_scrape",
    "process_",
    "tokio_alive_tasks",
    "tokio_global_queue_depth",
    "tokio_workers_",
];

#[instrumented(endpoint = "/items/{id}", method = "GET", labels(shop = "a\\b\"c\n"))]
async fn item(is_there: bool) -> Result<(), ()> {
    is_there.then_some(()).ok_or(())
}

/// Media type and body of a page in a text format.
fn get(addr: SocketAddr, accept: &[u8]) -> (String, String) {
    let (media_type, body) = get_bytes(addr, accept);
    (media_type, String::from_utf8(body).expect("text"))
}

/// Media type and body.
fn get_bytes(addr: SocketAddr, accept: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(addr).expect("connects");
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("a read timeout");
    let mut request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept: ".to_vec();
    request.extend(accept);
    request.extend(b"\r\n\r\n");
    stream.write_all(&request).expect("sends");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let body = answer.split_off(end.expect("a head") + 4);
    let head = String::from_utf8(answer).expect("text");
    assert!(head.starts_with("HTTP/1.1 200"), "{accept:?}: {head}");
    let media_type = head
        .lines()
        .find_map(|line| line.strip_prefix("content-type: "));
    (media_type.expect("a type").to_owned(), body)
}

/// Returns a Python that has the client library, unless there is none.
fn python() -> Option<String> {
    // `.ci/run` installs the library there.
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/python3");
    let found = [own.to_string_lossy().into_owned(), "python3".to_owned()]
        .into_iter()
        .find(|python| {
            let import = Command::new(python)
                .args(["-c", "import prometheus_client"])
                .stderr(Stdio::null())
                .status();
            import.is_ok_and(|status| status.success())
        });
    assert!(
        found.is_some() || !in_ci(),
        "the Python package prometheus-client is not installed"
    );
    if found.is_none() {
        skipped("the Python package prometheus-client is not installed");
    }
    found
}

fn parsed(python: &str, format: &str, page: &str) -> Vec<Value> {
    let mut parser = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("formats.py"))
        .arg(format)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut stdin = parser.stdin.take().expect("a piped stdin");
    stdin.write_all(page.as_bytes()).expect("Python reads");
    drop(stdin);
    let output = parser.wait_with_output().expect("Python ends");
    assert!(output.status.success(), "{format} cannot be read:\n{page}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The samples by their name and labels, without those that differ from scrape to scrape,
/// and without a counter whose name has no `_total`: Python's parser of the text format
/// adds that suffix.
fn samples(parsed: &[Value]) -> BTreeMap<String, &str> {
    parsed
        .iter()
        .filter(|sample| {
            let name = sample["name"].as_str().expect("a name");
            !CHANGING.iter().any(|start| name.starts_with(start)) && !name.starts_with("retries")
        })
        .map(|sample| {
            let series = format!("{} {}", sample["name"], sample["labels"]);
            (series, sample["value"].as_str().expect("a value"))
        })
        .collect()
}

fn family<'a>(parsed: &'a [Value], sample: &str) -> (&'a str, &'a str, &'a str) {
    let found = parsed.iter().find(|one| one["name"] == sample);
    let found = found.unwrap_or_else(|| panic!("no sample {sample}"));
    let text = |key| found[key].as_str().expect("text");
    (text("family"), text("type"), text("unit"))
}

/// Every byte that a header may have.
fn wild(random: &mut Random) -> Vec<u8> {
    const PIECES: [&str; 15] = [
        "application/openmetrics-text",
        PROTOBUF_TYPE,
        ";proto=io.prometheus.client.MetricFamily",
        ";encoding=delimited",
        "text/plain",
        "*/*",
        ";version=1.0.0",
        ";version=0.0.4",
        ";q=0.5",
        ";q=",
        ";escaping=dots",
        ",",
        ";",
        "\"",
        "\\",
    ];
    let mut accept = Vec::new();
    for _ in 0..random.below(12) {
        if random.below(3) == 0 {
            let byte = match random.below(0xE0) as u8 {
                control @ 0..0x20 => control + 0x80,
                0x7F => b'~',
                byte => byte,
            };
            accept.push(byte);
        } else {
            accept.extend(PIECES[random.below(15) as usize].as_bytes());
        }
    }
    accept
}

/// Compares a protobuf page with the samples of the text page.
fn protobuf_has_the_same(text: &Page, page: &[u8]) {
    let families = protobuf::families(page);
    assert_eq!(
        protobuf::samples(&families).without(CHANGING),
        text.clone().without(CHANGING)
    );
    let family = |name: &str| {
        let found = families.iter().find(|family| family.name() == name);
        let family = found.unwrap_or_else(|| panic!("no family {name}"));
        (family.r#type(), family.unit(), family.help())
    };
    for (name, kind, unit) in [
        ("requests_total", MetricType::Counter, ""),
        ("request_latency_seconds", MetricType::Histogram, "seconds"),
        ("requests_in_progress", MetricType::Gauge, ""),
        ("retries", MetricType::Counter, ""),
        ("taken", MetricType::Gauge, ""),
        ("target_info", MetricType::Gauge, ""),
        ("payload_bytes", MetricType::Histogram, "bytes"),
        ("process_cpu_seconds_total", MetricType::Counter, "seconds"),
        ("tokio_workers", MetricType::Gauge, ""),
    ] {
        let (of_kind, of_unit, _) = family(name);
        assert_eq!((of_kind, of_unit), (kind, unit), "{name}");
    }
    assert_eq!(
        family("uploads_total").2,
        "Uploads \"by\" size\\ and\nkind."
    );
    // Counts of calls, and histograms, say since when. A counter of the application's own does
    // not, because the application may set it to any value.
    let since = |name: &str| {
        let metric = protobuf::metrics(&families, name).next().expect(name);
        let counter = metric.counter.as_ref();
        let histogram = metric.histogram.as_ref();
        let of_counter = counter.and_then(|counter| counter.created_timestamp);
        of_counter.or_else(|| histogram?.created_timestamp)
    };
    for name in ["requests_total", "request_latency_seconds", "payload_bytes"] {
        let started = since(name).expect("a start").seconds as u64;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let age = now.expect("after 1970").as_secs() - started;
        assert!(age < 600, "{name} is {age} s old");
    }
    assert_eq!(since("uploads_total"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_has_the_same_series() {
    let exporter = instrument_runtime::builder("formats")
        .listen(([127, 0, 0, 1], 0))
        .buckets(&[0.00001, 0.25, 1.0, 2_000_000.0])
        .version("1.2.3")
        .native_histograms()
        .exemplars(|| Some(TraceContext::new([0xAB; 16], [0xCD; 8])))
        .install()
        .expect("installs");
    let addr = exporter.local_addr().expect("an address");
    // The first call of a process goes through the facade, which has no exemplars.
    item(true).await.expect("is there");
    item(true).await.expect("is there");
    item(false).await.expect_err("is not there");
    describe_counter!("uploads_total", "Uploads \"by\" size\\ and\nkind.");
    counter!("uploads_total", "kind" => "a\"b\\c\nd").increment(3);
    counter!("retries").increment(1);
    // Without `_total` the counter's family would have the name of the gauge's.
    counter!("taken_total").increment(1);
    counter!("target_total").increment(1);
    counter!("instrument_series_total").increment(1);
    gauge!("taken").set(-0.5);
    histogram!("payload.bytes", "x" => ",le=\"1\"").record(3.0);

    // The formats of all that is asked for, and the same for a handler of axum's.
    let app = axum::Router::<()>::new().route("/own", axum::routing::get(on_axum::metrics));
    for (accept, media_type) in [
        ("", TEXT),
        ("*/*", TEXT),
        ("application/openmetrics-text", OPEN_METRICS),
        (
            "text/plain;version=1.0.0;escaping=allow-utf-8",
            "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        ),
        (PROTOBUF_TYPE, PROTOBUF),
        ("application/json", TEXT),
    ] {
        let (answered, page) = get_bytes(addr, accept.as_bytes());
        assert_eq!(answered, media_type, "{accept}");
        let is_open_metrics = media_type == OPEN_METRICS;
        assert_eq!(page.ends_with(b"# EOF\n"), is_open_metrics, "{accept}");
        let request = http::Request::get("/own").header("accept", accept);
        let request = request.body(axum::body::Body::empty()).expect("a request");
        let Ok(response) = app.clone().oneshot(request).await;
        assert_eq!(response.headers()["content-type"], media_type, "{accept}");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        let body = body.expect("a body");
        assert_eq!(body.ends_with(b"# EOF\n"), is_open_metrics, "{accept}");
        if media_type == PROTOBUF {
            protobuf_has_the_same(&Page::parse(&get(addr, b"").1), &page);
            protobuf_has_the_same(&Page::parse(&get(addr, b"").1), &body);
        }
    }

    let families = protobuf::families(&get_bytes(addr, PROTOBUF_TYPE.as_bytes()).1);
    let mut renders = protobuf::metrics(&families, "instrument_scrape_duration_seconds");
    let renders = renders.next().and_then(|metric| metric.summary.as_ref());
    assert!(renders.expect("a summary").sample_count() > 0);

    // Names in the scheme `dots`.
    let (_, page) = get(addr, b"text/plain;version=1.0.0;escaping=dots");
    let dots = Page::parse(&page);
    let labels = [("app__name", "formats"), ("method", "GET")];
    assert_eq!(dots.sum("requests__total", &labels), 3.0);

    // Nothing in the header breaks the page.
    let mut random = Random::new(0x5EED);
    for _ in 0..500 {
        let accept = wild(&mut random);
        let (media_type, page) = get_bytes(addr, &accept);
        let media_type = media_type.split("; escaping=").next().unwrap_or_default();
        let page = if media_type == PROTOBUF {
            protobuf::samples(&protobuf::families(&page))
        } else {
            Page::parse(std::str::from_utf8(&page).expect("text"))
        };
        let series = page.series("requests_total") + page.series("requests__total");
        assert!(series > 0, "{accept:?}");
    }
    let long = "text/plain;q=0.5;x=\"\\\",\",application/openmetrics-text,".repeat(150);
    assert!(long.len() > 8_000);
    assert_eq!(get(addr, long.as_bytes()).0, OPEN_METRICS);

    let Some(python) = python() else {
        return;
    };
    let text = parsed(&python, "text", &get(addr, b"text/plain").1);
    let (_, page) = get(addr, b"application/openmetrics-text");
    let open_metrics = parsed(&python, "openmetrics", &page);
    let known = samples(&text);
    assert!(known.len() > 25, "{known:?}");
    assert_eq!(known, samples(&open_metrics));
    let (_, page) = get(addr, b"text/plain;version=1.0.0");
    assert_eq!(known, samples(&parsed(&python, "text", &page)));
    for (sample, expected) in [
        ("requests_total", ("requests", "counter", "")),
        (
            "request_latency_seconds_bucket",
            ("request_latency_seconds", "histogram", "seconds"),
        ),
        (
            "requests_in_progress",
            ("requests_in_progress", "gauge", ""),
        ),
        ("uploads_total", ("uploads", "counter", "")),
        ("retries", ("retries", "unknown", "")),
        ("taken_total", ("taken_total", "unknown", "")),
        ("taken", ("taken", "gauge", "")),
        ("target_total", ("target_total", "unknown", "")),
        (
            "instrument_series_total",
            ("instrument_series_total", "unknown", ""),
        ),
        ("target_info", ("target", "info", "")),
        (
            "payload_bytes_bucket",
            ("payload_bytes", "histogram", "bytes"),
        ),
    ] {
        assert_eq!(family(&open_metrics, sample), expected, "{sample}");
    }
    let with_exemplar: Vec<&Value> = open_metrics
        .iter()
        .filter(|one| !one["exemplar"].is_null())
        .collect();
    assert_eq!(
        with_exemplar.len(),
        4,
        "two series, each with two metrics: {with_exemplar:?}"
    );
    for sample in with_exemplar {
        let name = sample["name"].as_str().expect("a name");
        assert!(["request_latency_seconds_bucket", "requests_total"].contains(&name));
        let labels = json!({ "trace_id": "ab".repeat(16), "span_id": "cd".repeat(8) });
        assert_eq!(sample["exemplar"][0], labels);
    }
    let info = open_metrics.iter().find(|one| one["family"] == "target");
    assert_eq!(
        info.expect("target")["labels"],
        json!({ "service_name": "formats", "service_version": "1.2.3" })
    );
    // HELP arrives as it was described.
    let uploads = open_metrics.iter().find(|one| one["family"] == "uploads");
    assert_eq!(
        uploads.expect("uploads")["help"],
        "Uploads \"by\" size\\ and\nkind."
    );
    // Bounds are canonical in every format.
    let bounds: Vec<&str> = text
        .iter()
        .filter(|one| one["name"] == "request_latency_seconds_bucket")
        .filter_map(|one| one["labels"]["le"].as_str())
        .take(5)
        .collect();
    assert_eq!(bounds, ["1e-05", "0.25", "1.0", "2e+06", "+Inf"]);
}
