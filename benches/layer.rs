//! Measures what a layer with each of its settings costs per request: nanoseconds and
//! allocations, or instructions with `--instructions`. The comment at the top of `measure.rs`
//! describes the other options.
//!
//! Each request goes through a `tower::Service` that answers with `hello`, without a socket.
//! The benchmark `axum` measures the same with a server.

mod layer_candidates;

use anyhow::Result;
use instrument_benches::alloc::PerThread;
use instrument_benches::measure::Benchmark;

use crate::layer_candidates::CANDIDATES;

#[global_allocator]
static ALLOCATOR: PerThread = PerThread;

fn main() -> Result<()> {
    let benchmark = Benchmark {
        unit: "request",
        baseline: "no layer",
        candidates: CANDIDATES,
    };
    benchmark.run()
}
