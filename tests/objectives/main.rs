//! Objectives: each target is on the page with the labels of the calls that must meet it, and
//! each threshold is a bucket bound.

mod functions;
mod install;
mod layers;
mod thresholds;

#[path = "../exporter_promtool.rs"]
mod exporter_promtool;

use std::collections::BTreeSet;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use instrument_runtime::{Builder, builder};

const RATIO: &str = "request_objective_ratio";

/// Returns a builder without a listener.
fn shop() -> Builder {
    builder("shop").without_listener()
}

/// Returns the objectives on a page whose lines contain each of `parts`.
fn objectives(page: &str, parts: &[&str]) -> BTreeSet<String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix(RATIO));
    lines
        .filter(|line| parts.iter().all(|part| line.contains(part)))
        .map(str::to_owned)
        .collect()
}

fn set<const N: usize>(lines: [&str; N]) -> BTreeSet<String> {
    lines.map(str::to_owned).into()
}

fn ready<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it has nothing to wait for"),
    }
}
