//! Sends requests through the proxy, and counts the responses on the client side.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};

use crate::is_stopped;

/// The number of concurrent clients.
const CLIENTS: u32 = 8;
/// The composition of every hundred requests: the number of requests, their path, their
/// label `endpoint` in the metrics, and the expected status.
const MIX: [(u32, &str, &str, u16); 4] = [
    (80, "/test", "/test", 200),
    (14, "/test1", "/test1", 500),
    (5, "/nowhere", "unmatched", 404),
    (1, "/slow", "/slow", 200),
];

/// The number of requests that got the expected status, by endpoint.
pub type Sent = BTreeMap<&'static str, u32>;

/// Sends `requests` requests at a rate of `per_second`.
///
/// The actual rate is lower if the responses are so slow that the eight clients cannot
/// reach `per_second`.
///
/// # Errors
///
/// Returns an error if a request fails, a response has an unexpected status, or a signal
/// stops the program.
pub fn send(proxy: SocketAddr, requests: u32, per_second: u32) -> anyhow::Result<Sent> {
    let next = AtomicU32::new(0);
    let sent = Mutex::new(Sent::new());
    let started = Instant::now();
    let client = || -> anyhow::Result<()> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .into();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= requests {
                return Ok(());
            }
            ensure!(!is_stopped(), "stopped by a signal");
            let due = started + Duration::from_secs(1) * number / per_second.max(1);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let (path, endpoint, expected) = pick(number);
            let call = || agent.get(format!("http://{proxy}{path}")).call();
            let mut answer = match call() {
                // nginx closes idle connections when it reloads its configuration. This
                // may coincide with the start of a request. A client may then retry an
                // idempotent request (RFC 9110, section 9.2.2).
                Err(ureq::Error::Io(error)) if error.kind() == ErrorKind::ConnectionReset => call(),
                answered => answered,
            }
            .with_context(|| format!("request {number} to {path} failed"))?;
            let status = answer.status().as_u16();
            // Reads the whole body. Otherwise the connection could not be reused.
            answer.body_mut().read_to_string()?;
            ensure!(
                status == expected,
                "{path}: expected status {expected}, got {status}"
            );
            let mut sent = sent.lock().map_err(|_| anyhow!("a client panicked"))?;
            *sent.entry(endpoint).or_default() += 1;
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
    })?;
    sent.into_inner().map_err(|_| anyhow!("a client panicked"))
}

/// Returns the path, the endpoint and the expected status of a request.
fn pick(number: u32) -> (&'static str, &'static str, u16) {
    let mut of_hundred = number % 100;
    for (share, path, endpoint, status) in MIX {
        if of_hundred < share {
            return (path, endpoint, status);
        }
        of_hundred -= share;
    }
    unreachable!("the shares add up to a hundred")
}
