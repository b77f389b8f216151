//! Measures the time and memory that rendering a page takes, for growing numbers of label
//! sets up to `--most`.
//!
//! Each label set has a counter, a gauge and a histogram. Names, labels and buckets are the
//! same for all candidates.
//!
//! Each measurement runs in a process of its own. The candidates take turns for `--rounds`
//! rounds. The counting allocator slows each allocation down by a few nanoseconds.

mod scrape_candidates;

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use instrument_benches::alloc::HighWater;
use instrument_benches::args::Args;
use instrument_benches::child::Child;
use instrument_benches::stats::Samples;
use instrument_benches::table::{Table, digits};

use crate::scrape_candidates::{CANDIDATES, Render};

#[global_allocator]
static ALLOCATOR: HighWater = HighWater;

const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];

fn main() -> Result<()> {
    let args = Args::of_process(&["--rounds", "--most", "--child"])?;
    if args.has("--child") {
        let name = args
            .word("--child", 0)
            .context("--child needs the name of a candidate")?;
        let sets = args
            .word("--child", 1)
            .context("--child needs a number of label sets")?;
        return measure(name, sets.parse()?);
    }
    let rounds: usize = args.value("--rounds", 5)?;
    let most: usize = args.value("--most", SIZES[SIZES.len() - 1])?;

    println!("Medians of {rounds} interleaved rounds.\n");
    for sets in SIZES.into_iter().filter(|&sets| sets <= most) {
        let mut figures: Vec<[Samples; 5]> =
            CANDIDATES.iter().map(|_| Default::default()).collect();
        for _ in 0..rounds {
            for (candidate, figures) in CANDIDATES.iter().zip(&mut figures) {
                let mut child = Child::start(&["--child", candidate.name, &sets.to_string()])?;
                for (word, samples) in child.hear()?.split(' ').zip(figures) {
                    samples.push(word.parse()?);
                }
            }
        }
        let stock = CANDIDATES
            .iter()
            .position(|candidate| candidate.name == "stock exporter")
            .context("there is no stock exporter")?;
        println!("{sets} label sets:\n");
        let mut table = Table::new(&[
            "candidate",
            "page, MB",
            "ms",
            "ratio to stock",
            "peak, MB",
            "held per set, bytes",
            "per new set, µs",
        ]);
        for (candidate, [page, nanos, peak, held, fill]) in CANDIDATES.iter().zip(&figures) {
            let each = |samples: &Samples| samples.median() / sets as f64;
            table.row(vec![
                candidate.name.to_owned(),
                digits(page.median() / 1e6),
                digits(nanos.median() / 1e6),
                format!("{:.2}", nanos.ratio_to(&figures[stock][1])),
                digits(peak.median() / 1e6),
                format!("{:.0}", each(held)),
                digits(each(fill) / 1e3),
            ]);
        }
        println!("{table}");
    }
    Ok(())
}

/// Runs in the child process, and prints five numbers: the size of the page, the nanoseconds
/// and the peak memory of rendering it, the memory that the metrics hold, and the nanoseconds
/// that creating them took.
fn measure(name: &str, sets: usize) -> Result<()> {
    /// The number of pages to render. The first render is not measured, because the stock
    /// exporter also moves the recorded samples into their buckets in it.
    const RENDERS: usize = 4;
    let candidate = CANDIDATES.iter().find(|candidate| candidate.name == name);
    let candidate = candidate.context("there is no candidate of that name")?;

    let live = HighWater::live();
    let start = Instant::now();
    let render: Render = (candidate.fill)(sets)?;
    let fill = start.elapsed().as_nanos();
    let (mut page, mut held, mut peak) = (0, 0, 0);
    let mut nanos = Samples::default();
    for n in 0..RENDERS {
        let before = HighWater::live();
        HighWater::reset();
        let start = Instant::now();
        page = render()?;
        let elapsed = start.elapsed();
        if n > 0 {
            nanos.push(elapsed.as_nanos() as f64);
        }
        peak = HighWater::peak() - before;
        held = HighWater::live() - live;
    }
    // Each set has 22 lines: a counter, a gauge, and the buckets, sum and count of a
    // histogram. The check catches a page that lacks some of them.
    ensure!(
        page > sets * 22 * 40,
        "the page of {name} has only {page} bytes"
    );
    println!("{page} {} {peak} {held} {fill}", nanos.median());
    Ok(())
}
