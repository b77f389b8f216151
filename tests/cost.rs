//! The cost of a call and of a request under a layer: no more allocations once the series
//! are known, and in an optimized build no more instructions than before.

use std::convert::Infallible;
use std::pin::pin;
use std::process::Command;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use instrument_runtime::tower::layer;
use instrument_runtime::{Builder, Objective, instrumented};
use instrument_tests::allocations::{Counting, allocations};
use instrument_tests::in_ci;
use tower::{Layer, Service, service_fn};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[instrumented(endpoint = "/bare", method = "GET")]
async fn bare(number: u64) -> Result<u64, ()> {
    if number == u64::MAX {
        Err(())
    } else {
        Ok(number)
    }
}

#[instrumented(labels(region = "eu"))]
async fn literal(number: u64) -> u64 {
    number
}

#[instrumented(labels(shard = number % 4, kind = kind))]
async fn dynamic(number: u64, kind: &str) -> u64 {
    number + kind.len() as u64
}

#[instrumented(endpoint = "/plain", method = "GET")]
fn plain(number: u64) -> Result<u64, ()> {
    if number == u64::MAX {
        Err(())
    } else {
        Ok(number)
    }
}

#[instrumented(labels(shard = number % 4, kind = kind))]
fn plain_dynamic(number: u64, kind: &str) -> u64 {
    number + kind.len() as u64
}

fn ready<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it has nothing to wait for"),
    }
}

fn builder() -> Builder {
    instrument_runtime::builder("cost").without_listener()
}

fn install() {
    // All tests run in one process, which can install only once.
    static INSTALL: std::sync::Once = std::sync::Once::new();
    INSTALL.call_once(|| {
        let builder = builder().objective("/users/{id}", USERS);
        builder.install().expect("installs");
    });
}

#[test]
fn a_call_allocates_nothing_once_its_series_are_known() {
    install();
    let calls = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            ready(bare(number)).expect("in range");
            assert!(ready(bare(u64::MAX)).is_err());
            ready(literal(number));
            ready(dynamic(number, "some kind"));
            plain(number).expect("in range");
            assert!(plain(u64::MAX).is_err());
            plain_dynamic(number, "some kind");
        }
    };
    calls(0..8);
    let before = allocations();
    calls(0..1000);
    assert_eq!(allocations() - before, 0);
}

const USERS: Objective = Objective::new("users").success(99.9);

#[instrumented(endpoint = "/users/{id}", method = "GET", objective = USERS)]
async fn handler() -> http::Response<()> {
    http::Response::default()
}

fn request() -> http::Request<()> {
    let mut request = http::Request::new(());
    *request.uri_mut() = http::Uri::from_static("/users/7");
    // axum and other frameworks add extensions to every request anyway.
    request.extensions_mut().insert(1_u64);
    request.extensions_mut().insert(1_u32);
    request
}

async fn answer(_: http::Request<()>) -> Result<http::Response<Full<Bytes>>, Infallible> {
    handler().await;
    Ok(http::Response::new(Full::from("user 7")))
}

/// Sends a request to a service, and reads the response to its end. Returns the number of
/// allocations.
fn send<S, B>(service: &mut S) -> u64
where
    S: Service<http::Request<()>, Response = http::Response<B>, Error = Infallible>,
    B: hyper::body::Body,
{
    let request = request();
    let before = allocations();
    ready(async {
        let Ok(response) = service.call(request).await;
        let mut body = pin!(response.into_body());
        while body.frame().await.is_some() {}
    });
    allocations() - before
}

/// Returns the number of allocations per request, once its series are known.
fn allocations_of<S, B>(mut service: S) -> f64
where
    S: Service<http::Request<()>, Response = http::Response<B>, Error = Infallible>,
    B: hyper::body::Body,
{
    for _ in 0..8 {
        send(&mut service);
    }
    let sum: u64 = (0..100).map(|_| send(&mut service)).sum();
    sum as f64 / 100.0
}

/// A request under a layer allocates three times once its series are known: for the
/// request's state, for the token in its extensions that inner layers look up, and for
/// its path, which is needed until the route is known. Objectives add nothing. Of the
/// settings, only labels allocate: once for all of them, and for each value that is a
/// `String`.
#[test]
fn a_layer_allocates_three_times_for_a_request_and_once_for_labels() {
    install();
    let app = || service_fn(answer);
    assert_eq!(allocations_of(app()), 0.0, "no layer");
    assert_eq!(allocations_of(layer().layer(app())), 3.0, "the layer");

    let until_end = layer().until_body_end();
    assert_eq!(allocations_of(until_end.layer(app())), 3.0);
    let sizes = layer().response_sizes();
    assert_eq!(allocations_of(sizes.layer(app())), 3.0);
    let both = layer().until_body_end().response_sizes();
    assert_eq!(allocations_of(both.layer(app())), 3.0);

    let skip = |path: &'static str| layer().skip(move |head| head.path() == path);
    assert_eq!(allocations_of(skip("/health").layer(app())), 3.0);
    assert_eq!(allocations_of(skip("/users/7").layer(app())), 0.0);

    let literal = layer().label("a", |_| "a").label("b", |_| "b");
    assert_eq!(allocations_of(literal.layer(app())), 4.0);
    let copied = layer().label("c", |head| head.method().to_owned());
    assert_eq!(allocations_of(copied.layer(app())), 5.0);
}

/// The name, a call, and the number of instructions that it took.
type Candidate = (&'static str, fn(u64) -> u64, u64);

/// Instructions per call, counted by callgrind on x86-64 with Rust 1.95. More than 10 %
/// above these numbers fails. Update them when a compiler or an improvement changes them.
const INSTRUCTIONS: [Candidate; 6] = [
    ("bare", |number| ready(bare(number)).unwrap_or(0), 378),
    ("plain", |number| plain(number).unwrap_or(0), 340),
    (OLDEST, |number| ready(bare(number)).unwrap_or(0), 511),
    ("literal", |number| ready(literal(number)), 367),
    (
        "dynamic",
        |number| ready(dynamic(number, "some kind")),
        1455,
    ),
    (
        // With the making of the request.
        "request",
        |_| send(&mut layer().layer(service_fn(answer))),
        7453,
    ),
];

/// The name of the call with the age of the oldest call turned on.
const OLDEST: &str = "oldest";

/// The environment variable that tells a child under callgrind which call to run.
const CHILD: &str = "INSTRUMENT_COST_OF";

/// The number of calls. It is large enough to make the cost of the first calls negligible.
const CALLS: u64 = 100_000;

/// The only function in which callgrind counts. The setup before it varies from run to run,
/// because it calibrates the clock.
#[inline(never)]
fn counted_calls(call: fn(u64) -> u64, calls: u64) -> u64 {
    (0..calls).map(call).fold(0, u64::wrapping_add)
}

#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "counts an optimized build: cargo test --release -p instrument-tests --test cost"
)]
fn a_call_takes_no_more_instructions_than_it_did() {
    if let Ok(of) = std::env::var(CHILD) {
        let (name, calls) = of.split_once(' ').expect("a name and a number");
        let (_, call, _) = INSTRUCTIONS
            .iter()
            .find(|(found, ..)| *found == name)
            .expect("known");
        let builder = match name {
            OLDEST => builder().oldest_in_progress(),
            _ => builder(),
        };
        builder.install().expect("installs");
        let calls: u64 = calls.parse().expect("a number");
        println!("{}", counted_calls(*call, calls));
        return;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        assert!(!in_ci(), "valgrind is missing: apt-get install valgrind");
        println!("skipped: valgrind is missing");
        return;
    }
    let mut grown = Vec::new();
    for (name, _, known) in INSTRUCTIONS {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .args(["--toggle-collect=*counted_calls*"])
            .arg(std::env::current_exe().expect("this program"))
            .args(["--exact", "a_call_takes_no_more_instructions_than_it_did"])
            .env(CHILD, format!("{name} {CALLS}"))
            .output()
            .expect("valgrind runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let collected = said.split("Collected : ").nth(1);
        let counted = collected
            .and_then(|count| count.split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or_else(|| panic!("no count: {said}"));
        let per_call = counted / CALLS;
        assert!(per_call > 0, "nothing was counted: {said}");
        println!("{name}: {per_call} instructions per call, {known} before");
        if per_call > known + known / 10 {
            grown.push(name);
        }
    }
    assert!(grown.is_empty(), "{grown:?} take more than before");
}
