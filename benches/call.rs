//! Measures what one call of an instrumented function costs: nanoseconds and allocations, or
//! instructions with `--instructions`. The comment at the top of `measure.rs` describes the
//! other options.

mod call_candidates;
mod call_limit;

use anyhow::Result;
use instrument_benches::alloc::PerThread;
use instrument_benches::measure::Benchmark;

use crate::call_candidates::CANDIDATES;

#[global_allocator]
static ALLOCATOR: PerThread = PerThread;

fn main() -> Result<()> {
    let benchmark = Benchmark {
        unit: "call",
        baseline: "bare",
        candidates: CANDIDATES,
    };
    benchmark.run()
}
