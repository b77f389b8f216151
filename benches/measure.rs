//! Measures what one unit of work costs: nanoseconds and allocations, or instructions with
//! `--instructions`. The benchmarks `call` and `layer` are two lists of candidates.
//!
//! Each candidate runs in a process of its own, because a process has only one recorder. In
//! each of `--rounds` rounds, the processes take turns with one batch each.
//!
//! `--only NAME` measures only candidates whose name contains `NAME`, besides the first one.
//! `--beside PROGRAM` also measures the candidates of another build of the same program, in
//! the same rounds, which shows what a change costs. `--list` prints the names.
//! `--child NAME --calls 1000 --page` prints the page of one candidate, which shows that the
//! candidate counts. The page includes the warm-up.

use std::fmt;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::alloc::PerThread;
use crate::args::Args;
use crate::child::{self, Child};
use crate::stats::Samples;
use crate::table::{Table, digits};

/// The shortest duration of a batch. It is long enough to make the time of reading the clock
/// negligible.
const BATCH: Duration = Duration::from_millis(15);
/// The number of calls before a timed batch. They fill caches, tables and thread-locals.
const WARM_UP: u64 = 1_000;

/// Calls the function the given number of times.
pub type Batch = Box<dyn Fn(u64) + Sync>;

/// One way to do the work.
#[derive(Debug)]
pub struct Candidate {
    /// The name in the tables.
    pub name: &'static str,
    /// Prepares the process, which is the only one of this candidate.
    pub start: fn() -> Result<Running>,
}

/// A candidate that is ready to be called.
pub struct Running {
    /// Does the work the given number of times.
    pub batch: Batch,
    /// Renders the page. A candidate without an exporter returns an empty string.
    ///
    /// Also called between batches, because the stock histogram keeps every sample until
    /// the page is rendered.
    pub page: Box<dyn Fn() -> String>,
}

impl Running {
    /// A candidate without an exporter.
    #[must_use]
    pub fn without_page(batch: Batch) -> Self {
        Self {
            batch,
            page: Box::new(String::new),
        }
    }

    /// A candidate of ours. Installs the exporter, without a listener.
    ///
    /// # Errors
    ///
    /// Returns an error if the exporter cannot be installed.
    pub fn ours(builder: instrument_runtime::Builder, batch: Batch) -> Result<Self> {
        let exporter = builder.without_listener().install()?;
        Ok(Self {
            batch,
            page: Box::new(move || exporter.render()),
        })
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

/// A benchmark. The first candidate is the baseline.
#[derive(Debug)]
pub struct Benchmark {
    /// What is measured, such as `call`.
    pub unit: &'static str,
    /// What the columns call the baseline.
    pub baseline: &'static str,
    /// The compared candidates.
    pub candidates: &'static [Candidate],
}

/// A row of a table: a candidate of this program or of another build.
struct Row {
    name: String,
    program: PathBuf,
    candidate: &'static str,
    is_beside: bool,
}

impl Benchmark {
    /// Runs this program: measures, or is the process of one candidate.
    ///
    /// # Errors
    ///
    /// Returns an error if an argument is wrong, or if a process fails.
    pub fn run(&self) -> Result<()> {
        let args = Args::of_process(&[
            "--rounds",
            "--only",
            "--beside",
            "--instructions",
            "--list",
            "--child",
            "--calls",
            "--page",
        ])?;
        if args.has("--list") {
            for candidate in self.candidates {
                println!("{}", candidate.name);
            }
            return Ok(());
        }
        if args.has("--child") {
            return self.be_child(&args);
        }
        let only = args.word("--only", 0).unwrap_or("");
        let rows = self.rows(only, args.word("--beside", 0).map(Path::new))?;
        if args.has("--instructions") {
            self.instructions(&rows)
        } else {
            self.times(&rows, args.value("--rounds", 31)?)
        }
    }

    fn be_child(&self, args: &Args) -> Result<()> {
        let name = args
            .word("--child", 0)
            .context("--child needs the name of a candidate")?;
        let mut candidates = self.candidates.iter();
        let candidate = candidates.find(|candidate| candidate.name == name);
        let candidate = candidate.context("there is no candidate of that name")?;
        let running = (candidate.start)()?;
        match args.value("--calls", 0)? {
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
        }
    }

    /// Returns the rows of the table. The row of another build follows that of this build.
    fn rows(&self, only: &str, beside: Option<&Path>) -> Result<Vec<Row>> {
        let mut others = String::new();
        if let Some(program) = beside {
            let output = Command::new(program).arg("--list").output();
            let output = output.with_context(|| format!("cannot run {}", program.display()))?;
            others = String::from_utf8(output.stdout)?;
        }
        let mut rows = Vec::new();
        for (n, &Candidate { name, .. }) in self.candidates.iter().enumerate() {
            if n != 0 && !name.contains(only) {
                continue;
            }
            rows.push(Row {
                name: name.to_owned(),
                program: std::env::current_exe()?,
                candidate: name,
                is_beside: false,
            });
            if let Some(program) = beside
                && others.lines().any(|other| other == name)
            {
                rows.push(Row {
                    name: format!("{name}, beside"),
                    program: program.to_owned(),
                    candidate: name,
                    is_beside: true,
                });
            }
        }
        Ok(rows)
    }

    /// Runs the timed rounds in child processes, and prints the table.
    fn times(&self, rows: &[Row], rounds: usize) -> Result<()> {
        const THREADS: [usize; 2] = [1, 2];
        let mut children = Vec::new();
        for row in rows {
            children.push(Child::start_program(
                &row.program,
                &["--child", row.candidate],
            )?);
        }
        let mut nanos = vec![[Samples::default(), Samples::default()]; rows.len()];
        let mut allocations = vec![Samples::default(); rows.len()];
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

        let unit = self.unit;
        println!(
            "Nanoseconds and allocations per {unit}, medians of {rounds} interleaved rounds.\n"
        );
        let over = self.over();
        let mut head = vec!["candidate"];
        for threads in ["1 thread", "2 threads"] {
            head.extend([threads, &over, "quartiles"]);
        }
        head.push("allocations");
        let has_beside = rows.iter().any(|row| row.is_beside);
        head.extend(has_beside.then_some("ratio to beside"));
        let mut table = Table::new(&head);
        for (n, row) in rows.iter().enumerate() {
            let mut cells = vec![row.name.clone()];
            for (slot, samples) in nanos[n].iter().enumerate() {
                let (low, high) = samples.quartiles();
                cells.push(digits(samples.median()));
                cells.push(digits(samples.median() - nanos[0][slot].median()));
                cells.push(format!("{} to {}", digits(low), digits(high)));
            }
            cells.push(digits(allocations[n].median()));
            if has_beside {
                cells.push(beside(rows, n, |other| {
                    nanos[n][0].ratio_to(&nanos[other][0])
                }));
            }
            table.row(cells);
        }
        print!("{table}");
        Ok(())
    }

    /// Counts instructions with callgrind, and prints the table.
    ///
    /// Each candidate runs twice, with few and with many calls. The difference leaves out the
    /// cost of the first calls.
    fn instructions(&self, rows: &[Row]) -> Result<()> {
        const FEW: u64 = 2_000;
        const MANY: u64 = 22_000;
        let mut counts = Vec::new();
        for row in rows {
            let few = callgrind(row, FEW)?;
            let many = callgrind(row, MANY)?;
            counts.push((many as f64 - few as f64) / (MANY - FEW) as f64);
        }
        println!("Instructions per {}, counted by callgrind.\n", self.unit);
        let over = self.over();
        let mut head = vec!["candidate", "instructions", &over];
        let has_beside = rows.iter().any(|row| row.is_beside);
        head.extend(has_beside.then_some("ratio to beside"));
        let mut table = Table::new(&head);
        for (n, (row, count)) in rows.iter().zip(&counts).enumerate() {
            let mut cells = vec![row.name.clone()];
            cells.push(digits(*count));
            cells.push(digits(count - counts[0]));
            if has_beside {
                cells.push(beside(rows, n, |other| count / counts[other]));
            }
            table.row(cells);
        }
        print!("{table}");
        Ok(())
    }

    fn over(&self) -> String {
        format!("over {}", self.baseline)
    }
}

/// Returns the ratio of row `n` to the same candidate of another build, which is the next row.
fn beside(rows: &[Row], n: usize, ratio: impl Fn(usize) -> f64) -> String {
    let has_next = rows.get(n + 1).is_some_and(|next| next.is_beside);
    match has_next && !rows[n].is_beside {
        true => format!("{:.3}", ratio(n + 1)),
        false => String::new(),
    }
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
    let batch = &*running.batch;
    let barrier = Barrier::new(threads);
    let on_one = || {
        measured_batch(batch, WARM_UP);
        let allocated = PerThread::allocations();
        barrier.wait();
        let start = Instant::now();
        measured_batch(batch, calls);
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

/// Returns the instructions of a batch.
fn callgrind(row: &Row, calls: u64) -> Result<u64> {
    let candidate = row.candidate;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*measured_batch*")
        .arg(&row.program)
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
