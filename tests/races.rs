//! Races between threads where a call site creates something for the first time: its
//! handles, a label set, an outcome.

use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};

use instrument_runtime::{Outcome, instrumented};
use instrument_tests::page::Page;

const THREADS: u16 = 8;
/// The number of label sets of one call site.
const SETS: u16 = 500;
/// The number of outcomes of one label set.
const ENDS: u16 = 40;

#[instrumented(labels(set = set))]
async fn many_sets(set: u16) -> u16 {
    set
}

#[instrumented(outcome = |status| Outcome::HttpStatus(*status))]
async fn many_ends(status: u16) -> u16 {
    status
}

fn ready<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it has nothing to wait for"),
    }
}

#[test]
fn whoever_comes_first_every_call_is_counted_once() {
    let exporter = instrument_runtime::builder("races")
        .without_listener()
        .install()
        .expect("installs");
    let together = Barrier::new(THREADS.into());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for set in 0..SETS {
                    // All threads use the same new label set.
                    together.wait();
                    ready(many_sets(set));
                    ready(many_ends(200 + set % ENDS));
                    // Then each thread uses a label set that another thread may be creating.
                    ready(many_sets(set.saturating_sub(1)));
                }
            });
        }
    });

    let page = Page::parse(&exporter.render());
    let each = f64::from(THREADS);
    for set in 0..SETS {
        let expected = match set {
            0 => 3.0,
            _ if set == SETS - 1 => 1.0,
            _ => 2.0,
        };
        let set = set.to_string();
        let labels = [("endpoint", "many_sets"), ("set", &*set)];
        for name in ["requests_total", "request_latency_seconds_count"] {
            assert_eq!(
                page.value(name, &labels),
                Some(expected * each),
                "{name} {set}"
            );
        }
        assert_eq!(page.value("requests_in_progress", &labels), Some(0.0));
    }
    for end in 0..ENDS {
        let sets = (0..SETS).filter(|set| set % ENDS == end).count() as f64;
        let status = (200 + end).to_string();
        let labels = [("endpoint", "many_ends"), ("http_status", &*status)];
        let count = page.value("requests_total", &labels);
        assert_eq!(count, Some(sets * each), "{status}");
    }
    let all = [("endpoint", "many_ends"), ("outcome", "ok")];
    let latencies = page.value("request_latency_seconds_count", &all);
    assert_eq!(latencies, Some(f64::from(SETS) * each));
}
