//! The example web application under traffic: its metrics match the requests that were
//! sent, and it stops on SIGTERM.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use instrument_tests::page::scrape;
use instrument_tests::program::{Program, build, is_installed};
use instrument_tests::{protobuf, wait_for};

fn start(package: &str) -> Program {
    start_with(package, &[])
}

/// Starts a program with these environment variables set to 1.
fn start_with(package: &str, switches: &[&str]) -> Program {
    Program::start(
        Command::new(build(package))
            .envs(switches.iter().map(|switch| (switch, "1")))
            .env("WEBAPP_ADDR", "127.0.0.1:0")
            .env("OTEL_EXPORTER_PROMETHEUS_PORT", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    )
}

/// Returns the address in the next line that shows a command for this path.
fn address_before(path: &str, lines: &mut impl Iterator<Item = String>) -> SocketAddr {
    lines
        .find_map(|line| {
            let (_, url) = line.split_once("curl http://")?;
            url.split_once(path)?.0.parse().ok()
        })
        .expect("the address is printed")
}

/// Sends a request to `/slow` and hangs up. This is hang-up number `number`.
fn hang_up(app: SocketAddr, metrics: SocketAddr, number: u32) {
    let mut client = TcpStream::connect(app).expect("connects");
    write!(client, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").expect("sends");
    let slow = [("endpoint", "/slow")];
    wait_for("the handler to start", || {
        let page = scrape(metrics).ok()?;
        (page.value("requests_in_progress", &slow)? == 1.0).then_some(())
    });
    drop(client);
    wait_for("the hang-up to be seen", || {
        let page = scrape(metrics).ok()?;
        let labels = [slow[0], ("outcome", "cancelled"), ("http_status", "499")];
        (page.value("requests_total", &labels)? == f64::from(number)).then_some(())
    });
}

#[test]
fn a_hang_up_is_seen_on_actix_web_too() {
    let mut webapp = start("webapp-actix");
    let mut lines = webapp.lines();
    let app = address_before("/test ", &mut lines);
    hang_up(app, address_before("/metrics", &mut lines), 1);
    assert!(webapp.terminate().success(), "SIGTERM is a clean end");
}

#[test]
fn the_page_fits_the_traffic() {
    let mut webapp = start("webapp");
    let mut lines = webapp.lines();
    let app = address_before("/test ", &mut lines);
    let metrics = address_before("/metrics", &mut lines);

    for _ in 0..100 {
        let answer = ureq::get(&format!("http://{app}/test")).call();
        assert_eq!(
            answer
                .expect("200")
                .body_mut()
                .read_to_string()
                .expect("text"),
            "test"
        );
    }
    for _ in 0..10 {
        let answer = ureq::get(&format!("http://{app}/test1")).call();
        assert!(matches!(answer, Err(ureq::Error::StatusCode(500))));
    }
    for number in 1..=3 {
        hang_up(app, metrics, number);
    }

    let page = scrape(metrics).expect("a page");
    for (labels, expected) in [
        (
            &[
                ("endpoint", "/test"),
                ("outcome", "ok"),
                ("http_status", "200"),
            ][..],
            100.0,
        ),
        (
            &[
                ("endpoint", "/test1"),
                ("outcome", "error"),
                ("http_status", "500"),
            ],
            10.0,
        ),
        (
            &[
                ("endpoint", "/slow"),
                ("outcome", "cancelled"),
                ("http_status", "499"),
            ],
            3.0,
        ),
    ] {
        assert_eq!(
            page.value("requests_total", labels),
            Some(expected),
            "{labels:?}"
        );
        let latency = page.value("request_latency_seconds_count", &labels[..2]);
        assert_eq!(latency, Some(expected), "{labels:?}");
        let in_progress = page.value("requests_in_progress", &labels[..1]);
        assert_eq!(in_progress, Some(0.0), "{labels:?}");
    }
    assert_eq!(
        page.sum("requests_total", &[("app_name", "webapp_1")]),
        113.0
    );

    promtool_approves(metrics);
    assert!(webapp.terminate().success(), "SIGTERM is a clean end");
}

#[test]
fn the_switches_add_native_buckets_and_traces_of_the_printed_spans() {
    let mut webapp = start_with("webapp", &["WEBAPP_NATIVE_HISTOGRAMS", "WEBAPP_EXEMPLARS"]);
    let mut lines = webapp.lines();
    let app = address_before("/test ", &mut lines);
    let metrics = address_before("/metrics", &mut lines);

    ureq::get(&format!("http://{app}/test"))
        .call()
        .expect("200");
    let span = lines.find(|line| line.starts_with("span of test"));
    let span = span.expect("the span is printed");
    let page = ureq::get(&format!("http://{metrics}/metrics"))
        .header("accept", "application/vnd.google.protobuf")
        .call()
        .and_then(|mut answer| answer.body_mut().read_to_vec());
    let families = protobuf::families(&page.expect("a page"));
    let histogram = protobuf::metrics(&families, "request_latency_seconds")
        .find(|metric| protobuf::labels(&metric.label)["endpoint"] == "/test")
        .and_then(|metric| metric.histogram.as_ref())
        .expect("a histogram");
    assert_eq!(histogram.positive_delta, [1]);
    let [exemplar] = &histogram.exemplars[..] else {
        panic!("not one exemplar: {:?}", histogram.exemplars);
    };
    let trace = &protobuf::labels(&exemplar.label)["trace_id"];
    assert!(
        span.contains(&format!("trace_id={trace},")),
        "{trace} {span}"
    );
    assert!(webapp.terminate().success(), "SIGTERM is a clean end");
}

fn promtool_approves(metrics: SocketAddr) {
    if !is_installed("promtool") {
        return;
    }
    let text = ureq::get(&format!("http://{metrics}/metrics"))
        .call()
        .and_then(|mut answer| answer.body_mut().read_to_string())
        .expect("a page");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    promtool
        .stdin
        .take()
        .expect("a pipe")
        .write_all(text.as_bytes())
        .expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    assert!(output.status.success(), "{output:?}");
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "a remark: {output:?}"
    );
}
