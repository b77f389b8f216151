//! Customers, and what they have seen.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The number of requests per second, over all customers.
const RATE: u32 = 200;
const CUSTOMERS: u32 = 4;

/// The requests so far, as the customers have counted them.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    requests: AtomicU64,
    failures: AtomicU64,
    is_over: AtomicBool,
}

impl Seen {
    /// Returns the number of requests and the number of those that have failed.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (load(&self.requests), load(&self.failures))
    }

    /// Sends the customers home.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Sends the customers' requests until [`Seen::end`].
pub(crate) fn run(shop: SocketAddr, seen: &Seen) {
    thread::scope(|scope| {
        for customer in 0..CUSTOMERS {
            scope.spawn(move || shop_until_the_end(shop, customer, seen));
        }
    });
}

fn shop_until_the_end(shop: SocketAddr, customer: u32, seen: &Seen) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)))
        .build()
        .into();
    let started = Instant::now();
    for number in 0.. {
        let due = started + Duration::from_secs(1) * (CUSTOMERS * number + customer) / RATE;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if seen.is_over.load(Ordering::Relaxed) {
            return;
        }
        let path = ["cart", "checkout"][(number + customer) as usize % 2];
        let answer = agent.post(format!("http://{shop}/{path}")).send_empty();
        let is_failure = match answer {
            Ok(mut answer) => {
                // Reads the whole body. Otherwise the connection could not be reused.
                let _ = answer.body_mut().read_to_string();
                answer.status().is_server_error()
            }
            Err(_) => true,
        };
        seen.requests.fetch_add(1, Ordering::Relaxed);
        seen.failures
            .fetch_add(is_failure.into(), Ordering::Relaxed);
    }
}
