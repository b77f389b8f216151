//! Generates the functions, runs them, and reports where the two sides differ.
//!
//! | environment variable | meaning |
//! |---|---|
//! | `DIFFERENTIAL_FUNCTIONS` | the number of functions; defaults to 900 |
//! | `DIFFERENTIAL_SEED` | the seed (a number) that the functions are generated from |
//! | `DIFFERENTIAL_ONLY` | the numbers of the functions to run, separated by commas |
//! | `DIFFERENTIAL_SHOWN` | the number of failures that are shown; defaults to 10 |

use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs};

use anyhow::Context;
use instrument_differential::case::{Case, Features};
use instrument_differential::compare::{differences, is_larger};
use instrument_differential::project::{self, Side};
use instrument_differential::sample::sample;
use instrument_differential::source;

const FUNCTIONS: u64 = 900;
const SEED: u64 = 14;

fn number(name: &str, default: u64) -> anyhow::Result<u64> {
    env::var(name).map_or(Ok(default), |value| {
        value
            .parse()
            .with_context(|| format!("{name} is not a number: {value}"))
    })
}

fn main() -> anyhow::Result<ExitCode> {
    let begin = Instant::now();
    let functions = usize::try_from(number("DIFFERENTIAL_FUNCTIONS", FUNCTIONS)?)?;
    let seed = number("DIFFERENTIAL_SEED", SEED)?;
    let shown = usize::try_from(number("DIFFERENTIAL_SHOWN", 10)?)?;
    let only: Option<Vec<usize>> = env::var("DIFFERENTIAL_ONLY")
        .ok()
        .map(|only| {
            only.split(',')
                .map(|number| Ok(number.trim().parse()?))
                .collect::<anyhow::Result<_>>()
        })
        .transpose()?;
    let sample = sample(seed, functions);
    println!(
        "{functions} functions from seed {seed}: {} pairs of values are covered, {} are \
         incompatible, {} are not covered",
        sample.pairs, sample.apart, sample.left
    );

    let mut failures: Vec<(&Case, Vec<String>, String)> = Vec::new();
    let mut largest = 0;
    let mut compared = 0;
    for &features in Features::ALL {
        let cases: Vec<(&Case, source::Source)> = sample
            .cases
            .iter()
            .filter(|case| case.features == features)
            .filter(|case| only.as_ref().is_none_or(|only| only.contains(&case.number)))
            .filter_map(|case| Some((case, source::function(case)?)))
            .collect();
        if cases.is_empty() {
            continue;
        }
        let observations = project::observe(features, &cases)
            .with_context(|| format!("with the features: {}", features.name()))?;
        let mut failed = 0;
        for (case, source) in &cases {
            let plain = &observations[&(case.number, Side::Plain)];
            let annotated = &observations[&(case.number, Side::Annotated)];
            if let (Some(of_plain), Some(of_annotated)) = (plain.size, annotated.size)
                && !is_larger(case)
            {
                let growth = of_annotated.saturating_sub(of_plain + plain.arguments);
                largest = largest.max(growth);
            }
            compared += 1;
            let found = differences(case, plain, annotated);
            if !found.is_empty() {
                failed += 1;
                failures.push((case, found, source.shown(true)));
            }
        }
        println!(
            "features {}: {} functions, {failed} differ, {} s",
            features.name(),
            cases.len(),
            begin.elapsed().as_secs()
        );
    }
    println!(
        "{compared} functions; a future grew by at most {largest} bytes plus the size of its \
         arguments"
    );

    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let report: Vec<String> = failures
        .iter()
        .map(|(case, found, text)| {
            let indented: Vec<String> = found.iter().map(|found| format!("  {found}")).collect();
            format!(
                "function {} differs (DIFFERENTIAL_SEED={seed} DIFFERENTIAL_FUNCTIONS={functions} \
                 DIFFERENTIAL_ONLY={})\n{}\n{}\n\n{text}\n",
                case.number,
                case.number,
                case.tags().join(", "),
                indented.join("\n"),
            )
        })
        .collect();
    for report in report.iter().take(shown) {
        println!("\n{report}");
    }
    let path = project::scratch().join("report.txt");
    fs::write(&path, report.join("\n"))?;
    println!(
        "{} functions differ; all are in {}",
        failures.len(),
        path.display()
    );
    Ok(ExitCode::FAILURE)
}
