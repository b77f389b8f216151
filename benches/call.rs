//! Measures what one call of an instrumented function costs: nanoseconds and allocations, or
//! instructions with `--instructions`.
//!
//! Each candidate runs in a process of its own, because a process has only one recorder. In
//! each of `--rounds` rounds, the processes take turns with one batch of calls each.
//!
//! `--only NAME` measures only candidates whose name contains `NAME`, besides the bare
//! function. `--child NAME --calls 1000 --page` prints the page of one candidate, which
//! shows that the candidate counts its calls. The page includes the calls of the warm-up.

mod call_candidates;
mod call_limit;

use std::hint::black_box;
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use instrument_benches::alloc::PerThread;
use instrument_benches::args::Args;
use instrument_benches::child::{self, Child};
use instrument_benches::stats::Samples;
use instrument_benches::table::{Table, digits};

use crate::call_candidates::{CANDIDATES, Candidate, Running};

#[global_allocator]
static ALLOCATOR: PerThread = PerThread;

/// The shortest duration of a batch. It is long enough to make the time of reading the clock
/// negligible.
const BATCH: Duration = Duration::from_millis(15);
/// The number of calls before a timed batch. They fill caches, tables and thread-locals.
const WARM_UP: u64 = 1_000;

fn main() -> Result<()> {
    let args = Args::of_process(&[
        "--rounds",
        "--only",
        "--instructions",
        "--child",
        "--calls",
        "--page",
    ])?;
    if args.has("--child") {
        let name = args
            .word("--child", 0)
            .context("--child needs the name of a candidate")?;
        let candidate = CANDIDATES.iter().find(|candidate| candidate.name == name);
        let running = (candidate
            .context("there is no candidate of that name")?
            .start)()?;
        return match args.value("--calls", 0)? {
            0 => answer(&running),
            calls => {
                // The first reading of a clock may calibrate it, so keep it out of the count.
                (running.batch)(WARM_UP);
                measured_batch(&*running.batch, calls);
                if args.has("--page") {
                    print!("{}", (running.page)());
                }
                Ok(())
            }
        };
    }
    let only = args.word("--only", 0).unwrap_or("");
    let candidates: Vec<_> = CANDIDATES
        .iter()
        .filter(|candidate| candidate.name == BARE || candidate.name.contains(only))
        .collect();
    if args.has("--instructions") {
        instructions(&candidates)
    } else {
        times(&candidates, args.value("--rounds", 31)?)
    }
}

/// The name of the baseline.
const BARE: &str = "bare async fn";

/// Runs the timed rounds in child processes, and prints the table.
fn times(candidates: &[&Candidate], rounds: usize) -> Result<()> {
    const THREADS: [usize; 2] = [1, 2];
    let mut children = Vec::new();
    for candidate in candidates {
        children.push(Child::start(&["--child", candidate.name])?);
    }
    let mut nanos = vec![[Samples::default(), Samples::default()]; candidates.len()];
    let mut allocations = vec![Samples::default(); candidates.len()];
    for _ in 0..rounds {
        for (slot, threads) in THREADS.into_iter().enumerate() {
            for (n, child) in children.iter_mut().enumerate() {
                let answer = child.ask(&threads.to_string())?;
                let (time, allocated) = answer
                    .split_once(' ')
                    .context("the child did not answer with two numbers")?;
                nanos[n][slot].push(time.parse()?);
                allocations[n].push(allocated.parse()?);
            }
        }
    }

    println!("Nanoseconds and allocations per call, medians of {rounds} interleaved rounds.\n");
    let mut table = Table::new(&[
        "candidate",
        "1 thread",
        "over bare",
        "quartiles",
        "2 threads",
        "over bare",
        "quartiles",
        "allocations",
    ]);
    for (n, candidate) in candidates.iter().enumerate() {
        let mut row = vec![candidate.name.to_owned()];
        for (slot, samples) in nanos[n].iter().enumerate() {
            let (low, high) = samples.quartiles();
            row.push(digits(samples.median()));
            row.push(digits(samples.median() - nanos[0][slot].median()));
            row.push(format!("{} to {}", digits(low), digits(high)));
        }
        row.push(digits(allocations[n].median()));
        table.row(row);
    }
    print!("{table}");
    Ok(())
}

/// Runs in a child process, and measures a batch for each line of standard input.
///
/// A line is the number of threads. The answer is two numbers per call: nanoseconds and
/// allocations.
fn answer(running: &Running) -> Result<()> {
    let mut calls = WARM_UP;
    loop {
        let start = Instant::now();
        measured_batch(&*running.batch, calls);
        if start.elapsed() > BATCH {
            break;
        }
        calls *= 2;
    }
    black_box((running.page)());
    child::answer(|threads| {
        let (nanos, allocations) = batch_on(threads.parse()?, running, calls)?;
        black_box((running.page)());
        Ok(format!("{nanos} {allocations}"))
    })
}

/// Runs a batch on each of `threads` threads at once.
///
/// Returns the nanoseconds and the allocations per call, averaged over the threads.
fn batch_on(threads: usize, running: &Running, calls: u64) -> Result<(f64, f64)> {
    ensure!(threads > 0, "the number of threads must not be 0");
    let barrier = Barrier::new(threads);
    let on_one = || {
        measured_batch(&*running.batch, WARM_UP);
        let allocated = PerThread::allocations();
        barrier.wait();
        let start = Instant::now();
        measured_batch(&*running.batch, calls);
        let nanos = start.elapsed().as_nanos() as f64;
        let allocated = PerThread::allocations() - allocated;
        (nanos / calls as f64, allocated as f64 / calls as f64)
    };
    let mut sum = (0.0, 0.0);
    std::thread::scope(|scope| {
        let batches: Vec<_> = (0..threads).map(|_| scope.spawn(on_one)).collect();
        for batch in batches {
            let Ok((nanos, allocations)) = batch.join() else {
                bail!("a batch panicked");
            };
            sum.0 += nanos;
            sum.1 += allocations;
        }
        Ok(())
    })?;
    Ok((sum.0 / threads as f64, sum.1 / threads as f64))
}

/// Runs a batch. Callgrind finds this function by its name and counts only in here, because
/// the number of instructions for the setup varies.
#[inline(never)]
fn measured_batch(batch: &(dyn Fn(u64) + Sync), calls: u64) {
    batch(black_box(calls));
    // Prevents a tail call, with which callgrind would not see this function return.
    black_box(());
}

/// Counts instructions per call with callgrind, and prints the table.
///
/// Each candidate runs twice, with few and with many calls. The difference leaves out the
/// cost of the first calls.
fn instructions(candidates: &[&Candidate]) -> Result<()> {
    const FEW: u64 = 2_000;
    const MANY: u64 = 22_000;
    let mut counts = Vec::new();
    for candidate in candidates {
        let few = callgrind(candidate.name, FEW)?;
        let many = callgrind(candidate.name, MANY)?;
        counts.push((many as f64 - few as f64) / (MANY - FEW) as f64);
    }
    println!("Instructions per call, counted by callgrind.\n");
    let mut table = Table::new(&["candidate", "instructions", "over bare"]);
    for (candidate, count) in candidates.iter().zip(&counts) {
        table.row(vec![
            candidate.name.to_owned(),
            digits(*count),
            digits(count - counts[0]),
        ]);
    }
    print!("{table}");
    Ok(())
}

/// Returns the instructions of a batch.
fn callgrind(candidate: &str, calls: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*measured_batch*")
        .arg(std::env::current_exe()?)
        .args(["--child", candidate, "--calls", &calls.to_string()])
        .output()
        .context("cannot run valgrind; is it installed?")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "callgrind failed for {candidate}: {said}"
    );
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    collected.with_context(|| format!("callgrind printed no count: {said}"))
}
