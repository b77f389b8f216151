//! Refused installations leave nothing behind; a good one follows in the same
//! process, and a second one is refused.

use std::net::{SocketAddr, TcpListener, TcpStream};

use instrument_runtime::{InitError, MetricNames, builder, instrumented};
use instrument_tests::page::scrape;

#[instrumented(endpoint = "/test", method = "GET")]
async fn test() -> &'static str {
    "test"
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

#[test]
fn every_error_says_what_is_wrong_and_leaves_nothing_behind() {
    let occupied = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let occupied_addr = occupied.local_addr().expect("its address");
    let before = threads();

    let refuse = |what: &str, builder: instrument_runtime::Builder, named: &str| -> InitError {
        let error = builder.install().expect_err(what);
        let message = error.to_string();
        assert!(message.contains(named), "{what}: {message}");
        error
    };
    let any = || builder("webapp_1").listen(([127, 0, 0, 1], 0));

    refuse(
        "a taken port",
        any().listen(occupied_addr),
        &occupied_addr.to_string(),
    );
    refuse("a bad range", any().allow("10.0.0.0/40"), "10.0.0.0/40");
    refuse(
        "a bad bucket",
        any().buckets(&[2.0, 1.0]),
        "1 comes after 2",
    );
    refuse("a bad label", any().global_label("le", "x"), "\"le\"");
    refuse(
        "a bad name",
        any().names(MetricNames::default().requests_total("a b")),
        "\"a b\"",
    );
    refuse("no series", any().max_series(0), "max_series(0)");
    #[cfg(unix)]
    {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "precious").expect("a file");
        refuse("a file in the way", any().listen_unix(&file), "no socket");
        assert_eq!(std::fs::read(&file).expect("still there"), b"precious");
    }
    assert_eq!(threads(), before, "no thread is left");

    let exporter = any().install().expect("a good one after the bad ones");
    let addr = exporter.local_addr().expect("a TCP listener");
    refuse("a second one", any(), "already");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async { test().await });
    let page = scrape(addr).expect("a page");
    assert_eq!(
        page.value(
            "requests_total",
            &[("app_name", "webapp_1"), ("http_status", "200")]
        ),
        Some(1.0)
    );

    runtime.block_on(exporter.shutdown());
    assert!(TcpStream::connect(addr).is_err(), "the port is closed");
    TcpListener::bind(addr).expect("and free again");
    runtime.block_on(async { test().await });
    assert!(
        exporter.render().contains("requests_total"),
        "counting goes on"
    );
}

/// Runs this test binary again with an environment of its own.
#[test]
fn environment_is_read_and_checked() {
    let run = |host: &str, port: &str| {
        let output = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args([
                "--exact",
                "child_installs_from_the_environment",
                "--ignored",
                "--nocapture",
            ])
            .env("OTEL_EXPORTER_PROMETHEUS_HOST", host)
            .env("OTEL_EXPORTER_PROMETHEUS_PORT", port)
            .output()
            .expect("runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (host, port, expected) in [
        ("127.0.0.1", "0", "installed on 127.0.0.1:"),
        ("localhost", "0", "installed on "),
        ("[::1]", "0", "installed on [::1]:"),
        (
            "127.0.0.1",
            "65536",
            "OTEL_EXPORTER_PROMETHEUS_PORT=\"65536\" is no port",
        ),
        (
            "127.0.0.1",
            "http",
            "OTEL_EXPORTER_PROMETHEUS_PORT=\"http\" is no port",
        ),
        (
            "no such host",
            "0",
            "OTEL_EXPORTER_PROMETHEUS_HOST=\"no such host\" is no address",
        ),
    ] {
        let printed = run(host, port);
        assert!(
            printed.contains(expected),
            "{host}:{port} printed {printed}"
        );
    }
}

#[test]
#[ignore = "run by environment_is_read_and_checked in a process of its own"]
fn child_installs_from_the_environment() {
    match instrument_runtime::init("child") {
        Ok(exporter) => {
            let addr: SocketAddr = exporter.local_addr().expect("a TCP listener");
            println!("installed on {addr}");
        }
        Err(error) => println!("{error}"),
    }
}
