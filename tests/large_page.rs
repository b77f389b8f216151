//! A page that does not fit into the send buffer of the operating system is sent to its end,
//! also while the exporter shuts down.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use instrument_tests::{DEADLINE, alone};
use metrics::counter;

/// The page is several times as large as the send buffer.
const SETS: usize = 60_000;
const LEAST: usize = 16_000_000;

fn install() -> instrument_runtime::Exporter {
    let exporter = instrument_runtime::builder("large")
        .listen(([127, 0, 0, 1], 0))
        .max_series(SETS)
        .wait_for_last_scrape(DEADLINE)
        .install()
        .expect("installs");
    let filler = "x".repeat(240);
    for number in 0..SETS {
        counter!("requests_total", "endpoint" => format!("{number}{filler}")).increment(1);
    }
    exporter
}

/// Asks for the page, and reads the head of the response. Returns the length of the body.
fn asked(addr: SocketAddr) -> (TcpStream, usize) {
    let mut stream = TcpStream::connect(addr).expect("connects");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .expect("sends");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    (stream, length.expect("a length").parse().expect("a number"))
}

#[test]
fn a_scrape_ends_before_the_exporter_does() {
    alone("a_scrape_ends_before_the_exporter_does", || {
        let exporter = install();
        let addr = exporter.local_addr().expect("an address");
        let is_down = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                exporter.blocking_shutdown();
                is_down.store(true, Ordering::Release);
            });
            let (mut stream, length) = asked(addr);
            assert!(length > LEAST, "{length}");
            let mut body = vec![0; length];
            let (first, rest) = body.split_at_mut(length / 4);
            stream.read_exact(first).expect("a quarter of the page");
            // A slow scraper. The exporter has no reason to end now, however long it takes.
            thread::sleep(Duration::from_millis(1500));
            assert!(
                !is_down.load(Ordering::Acquire),
                "the scrape is not delivered"
            );
            stream.read_exact(rest).expect("the rest of the page");
            assert!(body.ends_with(b"\n"));
        });
    });
}
