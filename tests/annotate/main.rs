//! Usage: `annotate [--features a,b] [--tests] [--runtime folder] package-folder…`

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use instrument_annotate::{Options, annotate_package};

const USAGE: &str =
    "annotate [--features a,b] [--tests] [--runtime folder-of-instrument-runtime] package-folder…";

fn main() -> anyhow::Result<()> {
    let mut options = Options {
        runtime: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../instrument-runtime"),
        features: Vec::new(),
        tests: false,
    };
    let mut packages: Vec<PathBuf> = Vec::new();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().context(USAGE);
        match argument.as_str() {
            "--features" => options
                .features
                .extend(value()?.split(',').map(str::to_owned)),
            "--runtime" => options.runtime = value()?.into(),
            "--tests" => options.tests = true,
            unknown if unknown.starts_with('-') => {
                bail!("unknown option `{unknown}`; usage: {USAGE}")
            }
            folder => packages.push(folder.into()),
        }
    }
    if packages.is_empty() {
        bail!(USAGE);
    }
    options.runtime = options
        .runtime
        .canonicalize()
        .with_context(|| format!("{} is not a folder", options.runtime.display()))?;
    let mut sum = 0;
    for package in packages {
        let functions = annotate_package(&package, &options)
            .with_context(|| format!("in {}", package.display()))?;
        println!("{}: {functions} functions", package.display());
        sum += functions;
    }
    println!("{sum} functions annotated");
    Ok(())
}
