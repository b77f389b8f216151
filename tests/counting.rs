//! Calls are counted in the right place: in foreign recorders, at the end of a thread,
//! with global labels, and beside the application's own metrics.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use instrument_runtime::testing::Recording;
use instrument_runtime::{InitError, instrumented};
use instrument_tests::allocations::{Counting, allocations};
use instrument_tests::page::Page;
use instrument_tests::{alone, wait_for};
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit,
    counter, gauge, histogram,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use metrics_util::MetricKindMask;
use tower::{ServiceBuilder, ServiceExt, service_fn};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[instrumented(endpoint = "/plain", method = "GET")]
async fn plain() {}

#[instrumented(endpoint = "/labelled", method = "GET", labels(region = region))]
async fn labelled(region: &str) {}

#[instrumented(endpoint = "/labelled", method = "GET")]
async fn labelled_not() {}

fn ready<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it has nothing to wait for"),
    }
}

/// Sends a request through the layer to a handler that is not annotated.
fn request() {
    let answer = |_: http::Request<()>| async { Ok::<_, Infallible>(http::Response::new(())) };
    let service = ServiceBuilder::new()
        .layer(instrument_runtime::tower::layer())
        .service(service_fn(answer));
    ready(service.oneshot(http::Request::new(()))).expect("answers");
}

const ENDPOINTS: [&str; 3] = ["/plain", "/labelled", "unmatched"];

fn one_call_of_each() {
    ready(plain());
    ready(labelled("us"));
    request();
}

/// Asserts the count of each endpoint.
fn assert_counted(page: &Page, labels: &[(&str, &str)], calls: f64) {
    for endpoint in ENDPOINTS {
        let labels = [labels, &[("endpoint", endpoint)]].concat();
        for name in ["requests_total", "request_latency_seconds_count"] {
            assert_eq!(page.sum(name, &labels), calls, "{name}{labels:?}");
        }
        assert_eq!(page.sum("requests_in_progress", &labels), 0.0, "{labels:?}");
    }
}

#[test]
fn a_recorder_that_forgets_idle_series_loses_no_call() {
    alone("a_recorder_that_forgets_idle_series_loses_no_call", || {
        let recorder = PrometheusBuilder::new()
            .idle_timeout(MetricKindMask::ALL, Some(Duration::from_millis(20)))
            .build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).expect("the first recorder");
        for _ in 0..3 {
            (0..10).for_each(|_| one_call_of_each());
            // The first render never finds a new series idle.
            assert_counted(&Page::parse(&handle.render()), &[], 10.0);
            wait_for("the series to be forgotten", || {
                (Page::parse(&handle.render()) == Page::default()).then_some(())
            });
        }
    });
}

static USER: Mutex<&str> = Mutex::new("");

/// Adds a label when a handle is registered, as metrics-tracing-context does.
struct WithUser(PrometheusRecorder);

impl WithUser {
    fn key(key: &Key) -> Key {
        let mut labels: Vec<Label> = key.labels().cloned().collect();
        labels.push(Label::new("user", *USER.lock().expect("no panic")));
        Key::from_parts(key.name().to_owned(), labels)
    }
}

impl Recorder for WithUser {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.0.describe_counter(name, unit, text);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.0.describe_gauge(name, unit, text);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.0.describe_histogram(name, unit, text);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.0.register_counter(&Self::key(key), metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.0.register_gauge(&Self::key(key), metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.0.register_histogram(&Self::key(key), metadata)
    }
}

#[test]
fn labels_that_a_recorder_adds_are_those_of_the_call() {
    alone("labels_that_a_recorder_adds_are_those_of_the_call", || {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        assert!(metrics::set_global_recorder(WithUser(recorder)).is_ok());
        for (user, calls) in [("ann", 1), ("bob", 2), ("ann", 3)] {
            *USER.lock().expect("no panic") = user;
            (0..calls).for_each(|_| one_call_of_each());
        }
        let text = handle.render();
        let page = Page::parse(&text);
        assert_counted(&page, &[("user", "ann")], 4.0);
        assert_counted(&page, &[("user", "bob")], 2.0);
        assert!(text.contains("# HELP requests_total "), "{text}");
    });
}

/// Regression test: looking for the global recorder used to start a thread.
#[test]
fn recorders_in_turn_cost_a_call_no_more_than_one_recorder() {
    alone(
        "recorders_in_turn_cost_a_call_no_more_than_one_recorder",
        || {
            const CALLS: u64 = 100;
            let recordings = [Recording::new(), Recording::new()];
            let cost = |which: fn(usize) -> usize| {
                let before = allocations();
                for call in 0..CALLS as usize {
                    recordings[which(call)].run(one_call_of_each);
                }
                allocations() - before
            };
            // Warm-up, for costs that occur only once.
            cost(|call| call % 2);
            let one = cost(|_| 0);
            assert_eq!(cost(|call| call % 2), one);
            recordings[0].assert_requests(&[], 3 * 2 * CALLS);
            recordings[1].assert_requests(&[], 3 * CALLS);
        },
    );
}

/// Makes calls when it is dropped as a thread-local.
struct CallsAtTheEnd;

impl Drop for CallsAtTheEnd {
    fn drop(&mut self) {
        one_call_of_each();
    }
}

thread_local! {
    static FIRST: RefCell<Option<CallsAtTheEnd>> = const { RefCell::new(None) };
    static LAST: RefCell<Option<CallsAtTheEnd>> = const { RefCell::new(None) };
}

#[test]
fn calls_in_the_destructor_of_a_thread_local_are_counted() {
    alone(
        "calls_in_the_destructor_of_a_thread_local_are_counted",
        || {
            let exporter = instrument_runtime::builder("ends")
                .without_listener()
                .install()
                .expect("installs");
            let threads = [true, false].map(|has_called| {
                thread::spawn(move || {
                    // One of the two is dropped after the library's own thread-local,
                    // whatever the platform's drop order.
                    FIRST.set(Some(CallsAtTheEnd));
                    if has_called {
                        one_call_of_each();
                    }
                    LAST.set(Some(CallsAtTheEnd));
                })
            });
            for thread in threads {
                thread.join().expect("no panic");
            }
            assert_counted(&Page::parse(&exporter.render()), &[], 5.0);
        },
    );
}

#[test]
fn an_own_label_that_equals_a_global_one_makes_no_second_series() {
    alone(
        "an_own_label_that_equals_a_global_one_makes_no_second_series",
        || {
            let exporter = instrument_runtime::builder("globals")
                .without_listener()
                .global_label("region", "eu")
                .install()
                .expect("installs");
            ready(labelled_not());
            for region in ["eu", "us", ""] {
                ready(labelled(region));
            }
            // Parsing panics if a series occurs twice.
            let page = Page::parse(&exporter.render());
            let mut seen: Vec<_> = page
                .samples("requests_total")
                .filter(|(labels, count)| labels["endpoint"] == "/labelled" && *count > 0.0)
                .map(|(labels, value)| (labels.get("region").map(String::as_str), value))
                .collect();
            seen.sort_by_key(|(region, _)| *region);
            assert_eq!(seen, [(None, 1.0), (Some("eu"), 2.0), (Some("us"), 1.0)]);
            assert_eq!(
                page.value(
                    "requests_in_progress",
                    &[("endpoint", "/labelled"), ("region", "eu")]
                ),
                Some(0.0)
            );
        },
    );
}

#[test]
fn an_application_may_write_our_names_with_other_signs() {
    let said = alone(
        "an_application_may_write_our_names_with_other_signs",
        || {
            let exporter = instrument_runtime::builder("names")
                .without_listener()
                .install()
                .expect("installs");
            // Metrics of the same kind are in our family …
            counter!("requests.total", "of" => "the application").increment(5);
            histogram!("request-latency-seconds", "of" => "the application").record(0.3);
            gauge!("requests in progress", "of" => "the application").set(2.5);
            // … and metrics of another kind are not on the page.
            for _ in 0..3 {
                gauge!("requests.total").set(7.0);
                counter!("instrument.series").increment(1);
                histogram!("request_latency_seconds.count").record(1.0);
            }
            ready(plain());
            let page = Page::parse(&exporter.render());
            let of = [("of", "the application")];
            assert_eq!(page.value("requests_total", &of), Some(5.0));
            assert_eq!(page.value("request_latency_seconds_count", &of), Some(1.0));
            assert_eq!(page.value("requests_in_progress", &of), Some(2.5));
            assert_eq!(page.sum("requests_total", &[]), 6.0);
            assert_eq!(page.sum("request_latency_seconds_count", &[]), 2.0);
        },
    );
    let Some(said) = said else { return };
    for name in [
        "requests.total",
        "instrument.series",
        "request_latency_seconds.count",
    ] {
        assert_eq!(said.matches(&format!("{name:?}")).count(), 1, "{said}");
    }
    assert_eq!(said.matches("is not on the page").count(), 3, "{said}");
}

#[test]
fn histograms_of_the_application_have_buckets_of_their_own() {
    alone(
        "histograms_of_the_application_have_buckets_of_their_own",
        || {
            let builder = || instrument_runtime::builder("buckets").without_listener();
            for (name, bounds, said) in [
                ("payload_bytes", &[][..], "payload_bytes"),
                ("payload_bytes", &[2.0, 1.0], "1 comes after 2"),
                ("request.latency.seconds", &[1.0], ".buckets("),
            ] {
                let refused = builder().buckets_for(name, bounds).install();
                let refused = refused.expect_err("is refused");
                assert!(matches!(refused, InitError::Buckets { .. }), "{refused}");
                assert!(refused.to_string().contains(said), "{refused}");
            }
            let exporter = builder()
                .buckets(&[0.5])
                .buckets_for("payload.bytes", &[1024.0, 65536.0])
                .install()
                .expect("installs");
            histogram!("payload.bytes").record(2000.0);
            histogram!("other_seconds").record(2.0);
            ready(plain());
            let page = Page::parse(&exporter.render());
            let bounds = |name| -> BTreeSet<_> {
                let of = page.labels(name).map(|labels| labels["le"].as_str());
                of.collect()
            };
            assert_eq!(
                bounds("payload_bytes_bucket"),
                ["+Inf", "1024.0", "65536.0"].into()
            );
            assert_eq!(bounds("other_seconds_bucket"), ["+Inf", "0.5"].into());
            assert_eq!(
                bounds("request_latency_seconds_bucket"),
                ["+Inf", "0.5"].into()
            );
            let small = page.value("payload_bytes_bucket", &[("le", "1024.0")]);
            assert_eq!(small, Some(0.0));
        },
    );
}
