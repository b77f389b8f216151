//! What a page costs: time, and memory beyond what the metrics hold anyway,
//! at growing numbers of label sets. Each label set is a counter, a gauge and
//! a histogram, with the same names, labels and buckets everywhere.
//!
//! Each page is rendered in a process of its own; the processes take turns,
//! for `--rounds` rounds. The allocator's counts slow each allocation down by
//! some nanoseconds.

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
        let name = args.word("--child", 0).context("--child which?")?;
        let sets = args.word("--child", 1).context("--child of what size?")?;
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
            .context("there is a stock exporter")?;
        println!("{sets} label sets:\n");
        let mut table = Table::new(&[
            "candidate",
            "page, MB",
            "ms",
            "to stock",
            "peak, MB",
            "held a set, bytes",
            "a new set, µs",
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

/// The child: says the page's size, the nanoseconds and the peak of rendering
/// it, what the metrics hold, and the nanoseconds that filling them took.
fn measure(name: &str, sets: usize) -> Result<()> {
    /// The first is not counted: it sorts in what was recorded since.
    const RENDERS: usize = 4;
    let candidate = CANDIDATES.iter().find(|candidate| candidate.name == name);
    let candidate = candidate.context("no such candidate")?;

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
    // A counter, a gauge, and a histogram's buckets, sum and count.
    ensure!(page > sets * 22 * 40, "{name}: a page of {page} bytes");
    println!("{page} {} {peak} {held} {fill}", nanos.median());
    Ok(())
}
