//! The shutdown of an exporter: scrapes in progress are answered, no new ones begin, and
//! the port is free.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "each test program uses only a part")]
mod exporter_process;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use exporter_process::Victim;
use instrument_tests::page::{Page, scrape};
use instrument_tests::{DEADLINE, wait_for};

const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
/// Makes a page of about 10 MB, more than the socket buffers hold.
const LARGE: &str = "series 4000";

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("connects");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    stream
}

/// Waits until connections are refused.
fn refused(addr: SocketAddr) {
    wait_for("a closed port", || {
        let error = TcpStream::connect(addr).err()?;
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        Some(())
    });
}

/// Returns the page in an answer, which must be complete.
fn page(answer: &[u8]) -> Page {
    let answer = std::str::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let length = format!("content-length: {}", body.len());
    assert!(head.contains(&length), "{head}\nand {} bytes", body.len());
    Page::parse(body)
}

#[test]
fn an_answer_under_way_is_finished_and_nothing_else_begins() {
    let mut victim = Victim::start();
    victim.ask(LARGE);
    let addr = victim.addr;
    let mut under_way = connect(addr);
    under_way.write_all(REQUEST).expect("sends");
    let mut answer = vec![0; 1];
    under_way.read_exact(&mut answer).expect("it begins");

    let asked = Instant::now();
    victim.order("shutdown");
    refused(addr);
    // The port is free while the answer is still being sent.
    let next = TcpListener::bind(addr).expect("a free port");
    under_way.read_to_end(&mut answer).expect("the rest");
    assert_eq!(victim.answer(), "done");
    println!("{} bytes and the end: {:?}", answer.len(), asked.elapsed());
    assert_eq!(page(&answer).series("requests_total"), 4_000);
    drop(next);
    assert_eq!(victim.ask("take-port"), "taken");
}

#[test]
fn a_request_that_has_been_sent_is_answered() {
    // The request may still be in transit, so one round proves little.
    for _ in 0..20 {
        let mut victim = Victim::start();
        victim.ask("series 10");
        let mut kept = connect(victim.addr);
        kept.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            .expect("sends");
        let mut health = [0; 16];
        kept.read_exact(&mut health).expect("an answer");
        assert!(health.starts_with(b"HTTP/1.1 200"));

        let mut fresh = connect(victim.addr);
        fresh.write_all(REQUEST).expect("sends");
        kept.write_all(REQUEST).expect("sends");
        victim.order("shutdown");
        for stream in [&mut fresh, &mut kept] {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("an answer");
            let text = String::from_utf8_lossy(&answer);
            // The rest of the previous answer may come first.
            page(&answer[text.rfind("HTTP/1.1").expect("a head")..]);
        }
        assert_eq!(victim.answer(), "done");
    }
}

#[test]
fn who_asks_nothing_delays_nothing() {
    let mut victim = Victim::start();
    let mut idle = connect(victim.addr);
    let mut half = connect(victim.addr);
    half.write_all(&REQUEST[..10]).expect("sends");
    // Both connections are accepted before this scrape is answered.
    scrape(victim.addr).expect("a page");
    let asked = Instant::now();
    assert_eq!(victim.ask("shutdown"), "done");
    let took = asked.elapsed();
    println!("with an idle connection and half a request: {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    for stream in [&mut idle, &mut half] {
        assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0);
    }
}

#[test]
fn who_reads_nothing_is_left_in_the_end() {
    let mut victim = Victim::start();
    victim.ask(LARGE);
    let mut deaf = connect(victim.addr);
    deaf.write_all(REQUEST).expect("sends");
    deaf.read_exact(&mut [0]).expect("it begins");
    let asked = Instant::now();
    assert_eq!(victim.ask("shutdown"), "done");
    let took = asked.elapsed();
    println!("with an answer that nobody reads: {took:?}");
    assert!(
        (3.0..15.0).contains(&took.as_secs_f64()),
        "{took:?}, which should be 5 s"
    );
}

#[test]
fn another_exporter_can_have_the_port_at_once() {
    let mut victim = Victim::start();
    let addr = victim.addr;
    // If the victim closed the connection first, the port would stay in TIME_WAIT.
    let mut kept = connect(addr);
    kept.write_all(REQUEST).expect("sends");
    kept.read_exact(&mut [0; 16]).expect("an answer");
    assert_eq!(victim.ask("shutdown"), "done");
    let successor = Victim::at(addr);
    assert_eq!(successor.addr, addr);
    let page = scrape(addr).expect("a page");
    assert_eq!(page.value("instrument_scrapes_total", &[]), Some(1.0));
    assert_eq!(victim.ask("shutdown"), "done", "a second time");
}

/// A scrape whose answer is not received does not count as the last scrape.
#[test]
fn only_a_scrape_that_arrives_ends_the_wait() {
    const ENDS_A_WAIT: Duration = Duration::from_millis(500);
    const HEAD: &str = "HEAD /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    const GET: &str = "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
    const HEALTH: &str = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    // A live view stores nothing.
    const VIEW: &str = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                        instrument-live-view: 1\r\n\r\n";
    let mut victim = Victim::waiting_for(Duration::MAX);
    victim.ask("series 10");
    let addr = victim.addr;
    let ask = |request: &str| {
        let mut stream = connect(addr);
        stream.write_all(request.as_bytes()).expect("sends");
        stream
    };
    let is_answered = |mut stream: TcpStream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    };
    victim.order("shutdown");
    // While the victim waits for a last scrape, it gets requests that must not end the wait.
    let kinds: [(&str, &dyn Fn()); 6] = [
        ("no scrape", &|| is_answered(ask(HEALTH))),
        ("HEAD", &|| is_answered(ask(HEAD))),
        ("a live view", &|| is_answered(ask(VIEW))),
        ("a scraper that hangs up before the answer", &|| {
            drop(ask(GET))
        }),
        (
            "a scraper that hangs up while the answer is in transit",
            &|| {
                let stream = ask(GET);
                stream.peek(&mut [0]).expect("an answer");
            },
        ),
        ("a scraper that closes its side", &|| {
            let stream = ask(GET);
            stream.shutdown(Shutdown::Write).expect("half closes");
            is_answered(stream);
        }),
    ];
    for (kind, scrape) in kinds {
        (0..20).for_each(|_| scrape());
        let asked = Instant::now();
        while asked.elapsed() < 2 * ENDS_A_WAIT {
            assert!(
                TcpStream::connect(addr).is_ok(),
                "the wait ended after {kind}"
            );
            is_answered(ask(HEALTH));
        }
    }
    let mut kept = ask(GET);
    kept.read_exact(&mut [0; 16]).expect("an answer");
    let scraped = Instant::now();
    assert_eq!(victim.answer(), "done");
    let took = scraped.elapsed();
    println!("{took:?} after a scrape");
    assert!(
        took > Duration::from_millis(400),
        "the scraper got too little time to read: {took:?}"
    );
}

#[test]
fn a_client_that_closes_its_side_is_answered() {
    let mut victim = Victim::start();
    for series in ["series 10", LARGE] {
        victim.ask(series);
        let mut stream = connect(victim.addr);
        stream.write_all(REQUEST).expect("sends");
        stream.shutdown(Shutdown::Write).expect("half closes");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        assert!(page(&answer).series("requests_total") >= 10);
    }
    // A client that has sent no request, or only a part of one, is not waited for.
    for part in [&REQUEST[..0], &REQUEST[..10]] {
        let mut stream = connect(victim.addr);
        stream.write_all(part).expect("sends");
        stream.shutdown(Shutdown::Write).expect("half closes");
        let asked = Instant::now();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an end");
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}

#[test]
#[ignore = "run by the other tests in a separate process"]
fn child_serves() {
    exporter_process::obey();
}
