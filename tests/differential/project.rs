//! Writes the generated crates, builds them with Clippy's driver, and runs them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::case::{Case, Edition, Features};
use crate::source::Source;

/// One of the two versions of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Without the attribute.
    Plain,
    /// With the attribute.
    Annotated,
}

impl Side {
    /// Both sides.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Annotated];

    /// Returns the name of the module with the functions of this side.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Annotated => "annotated",
        }
    }
}

/// A diagnostic of rustc or Clippy about one function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remark {
    /// `error` or `warning`.
    pub level: String,
    /// The lint, or the error's code.
    pub code: String,
    /// Lines and columns of the primary spans.
    pub at: String,
    /// The message. It is not compared, because the compiler calls an argument a captured
    /// variable and the body an async block if the function is annotated.
    pub message: String,
}

impl Remark {
    /// Returns the parts that must be the same on both sides.
    #[must_use]
    pub fn key(&self) -> (String, String, String) {
        (self.level.clone(), self.code.clone(), self.at.clone())
    }
}

/// The results for one side of one function.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Compile errors. A function with errors is not run.
    pub errors: BTreeSet<Remark>,
    /// Warnings.
    pub warnings: BTreeSet<Remark>,
    /// The log of each scenario.
    pub logs: BTreeMap<String, Vec<String>>,
    /// The auto traits of its future.
    pub auto_traits: Vec<String>,
    /// The size of its future.
    pub size: Option<u64>,
    /// The size of its arguments.
    pub arguments: u64,
    /// The number of calls that were polled at least once.
    pub started: u64,
    /// The number of calls that the page counts.
    pub counted: u64,
    /// The number of calls in progress on the page after all calls have ended.
    pub in_progress: f64,
}

/// The results by function number and side.
pub type Observations = BTreeMap<(usize, Side), Observed>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the build folder. It is kept, so that the dependencies are built only once.
#[must_use]
pub fn scratch() -> PathBuf {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("differential")
}

/// Writes the crates of one set of features, builds them and runs them.
///
/// # Errors
///
/// If Cargo fails for a reason other than an error in a function.
pub fn observe(features: Features, cases: &[(&Case, Source)]) -> anyhow::Result<Observations> {
    let folder = scratch().join(features.name());
    let mut observations = Observations::new();
    for (case, _) in cases {
        for side in Side::ALL {
            observations.insert((case.number, side), Observed::default());
        }
    }
    let mut left: Vec<&(&Case, Source)> = cases.iter().collect();
    // Functions with errors are removed, so that the others can be run.
    for round in 0.. {
        ensure!(round < 8, "there are new errors after each round");
        write(&folder, features, &left)?;
        let found = build(&folder)?;
        let mut has_errors = BTreeSet::new();
        for ((number, side), remarks) in found {
            let observed = observations
                .get_mut(&(number, side))
                .context("a remark on an unknown function")?;
            observed.warnings = remarks
                .iter()
                .filter(|remark| remark.level != "error")
                .cloned()
                .collect();
            let errors = remarks.into_iter().filter(|remark| remark.level == "error");
            for error in errors {
                has_errors.insert(number);
                observed.errors.insert(error);
            }
        }
        if has_errors.is_empty() {
            break;
        }
        left.retain(|(case, _)| !has_errors.contains(&case.number));
    }
    for edition in Edition::ALL {
        if left.iter().any(|(case, _)| case.edition == *edition) {
            run(*edition, &mut observations)?;
        }
    }
    Ok(observations)
}

fn write(folder: &Path, features: Features, cases: &[&(&Case, Source)]) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let editions: Vec<Edition> = Edition::ALL
        .iter()
        .copied()
        .filter(|edition| cases.iter().any(|(case, _)| case.edition == *edition))
        .collect();
    let members: Vec<String> = editions
        .iter()
        .map(|edition| format!("edition{}", edition.year()))
        .collect();
    update(
        &folder.join("Cargo.toml"),
        &format!(
            "[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n\
             [profile.dev]\ndebug = false\nincremental = false\n"
        ),
    )?;
    // Uses the versions of the workspace, so no registry is queried.
    let lock = fs::read_to_string(root().join("Cargo.lock"))?;
    if !folder.join("Cargo.lock").exists() {
        update(&folder.join("Cargo.lock"), &lock)?;
    }
    for edition in editions {
        let year = edition.year();
        let package = folder.join(format!("edition{year}"));
        let runtime = root().join("instrument-runtime");
        let support = root().join("tests/differential/support");
        update(
            &package.join("Cargo.toml"),
            &format!(
                "[package]\nname = \"edition{year}\"\nversion = \"0.0.0\"\nedition = \"{year}\"\n\n\
                 [dependencies]\nasync-trait = \"0.1\"\nhttp = \"1\"\n\
                 tracing = {{ version = \"0.1\", default-features = false, features = [\"attributes\"] }}\n\
                 differential-support = {{ path = {support:?} }}\n\
                 instrument-runtime = {{ path = {runtime:?}, features = {:?} }}\n",
                features.list()
            ),
        )?;
        update(&package.join("src/main.rs"), MAIN)?;
        for side in Side::ALL {
            let name = side.name();
            let modules = package.join("src").join(name);
            let mut expected = BTreeSet::new();
            let mut root = String::new();
            let mut calls = String::new();
            for (case, source) in cases.iter().filter(|(case, _)| case.edition == edition) {
                let module = format!("case_{:04}", case.number);
                update(
                    &modules.join(format!("{module}.rs")),
                    &source.module(side == Side::Annotated),
                )?;
                let _ = writeln!(root, "pub mod {module};");
                let _ = writeln!(
                    calls,
                    "    differential_support::run({}, \"{name}\", {module}::drive);",
                    case.number
                );
                expected.insert(format!("{module}.rs"));
            }
            expected.insert("mod.rs".to_owned());
            update(
                &modules.join("mod.rs"),
                &format!("{root}\npub fn run() {{\n{calls}}}\n"),
            )?;
            for entry in fs::read_dir(&modules)? {
                let entry = entry?;
                if !expected.contains(&*entry.file_name().to_string_lossy()) {
                    fs::remove_file(entry.path())?;
                }
            }
        }
    }
    Ok(())
}

const MAIN: &str = "\
#![warn(
    clippy::pedantic,
    let_underscore_drop,
    rust_2018_idioms,
    single_use_lifetimes,
    unreachable_pub,
    unused_lifetimes,
    unused_qualifications
)]

mod annotated;
mod plain;

fn main() {
    differential_support::begin();
    let exporter = instrument_runtime::builder(\"differential\")
        .without_listener()
        .max_series(1_000_000)
        .install()
        .expect(\"the recorder is installed\");
    plain::run();
    annotated::run();
    differential_support::end(&exporter.render());
    std::process::exit(0);
}
";

/// Writes a file only if its text changes, so that Cargo does not rebuild.
fn update(path: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

type Found = BTreeMap<(usize, Side), BTreeSet<Remark>>;

fn build(folder: &Path) -> anyhow::Result<Found> {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--workspace",
            "--keep-going",
            "--message-format=json",
        ])
        .args(["--offline", "--quiet"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", scratch().join("target"))
        // Runs the lints and generates code in one build.
        .env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver")
        .env_remove("RUSTFLAGS")
        .output()?;
    let stdout = String::from_utf8(output.stdout)?;
    let mut found = Found::new();
    let mut elsewhere = String::new();
    for line in stdout.lines() {
        let line: Value = serde_json::from_str(line)?;
        if line["reason"] != "compiler-message" {
            continue;
        }
        let message = &line["message"];
        let Some((number, side, remark)) = remark(message) else {
            if message["level"] == "error" && !message["spans"].as_array().is_none_or(Vec::is_empty)
            {
                elsewhere += message["rendered"].as_str().unwrap_or_default();
            }
            continue;
        };
        found.entry((number, side)).or_default().insert(remark);
    }
    ensure!(
        elsewhere.is_empty(),
        "the compiler reports errors outside the generated functions:\n{elsewhere}"
    );
    let has_errors = found
        .values()
        .flatten()
        .any(|remark| remark.level == "error");
    if !output.status.success() && !has_errors {
        bail!("cargo build: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(found)
}

fn remark(message: &Value) -> Option<(usize, Side, Remark)> {
    let spans: Vec<&Value> = message["spans"]
        .as_array()?
        .iter()
        .filter(|span| span["is_primary"] == true)
        .collect();
    let mut place = None;
    let mut at = BTreeSet::new();
    for span in spans {
        let Some((number, side, span)) = in_function(span) else {
            continue;
        };
        place = Some((number, side));
        at.insert(format!(
            "{}:{}-{}:{}",
            span["line_start"], span["column_start"], span["line_end"], span["column_end"]
        ));
    }
    let (number, side) = place?;
    let message_text = message["message"].as_str().unwrap_or_default();
    let code = message["code"]["code"].as_str().unwrap_or(message_text);
    let remark = Remark {
        level: message["level"].as_str()?.to_owned(),
        code: code.to_owned(),
        at: at.into_iter().collect::<Vec<_>>().join(" and "),
        message: message_text.to_owned(),
    };
    Some((number, side, remark))
}

/// Returns the part of a span that lies in a function's file, following macro expansions.
fn in_function(mut span: &Value) -> Option<(usize, Side, &Value)> {
    loop {
        let file = span["file_name"].as_str()?.replace('\\', "/");
        for side in Side::ALL {
            let marker = format!("/{}/case_", side.name());
            if let Some((_, rest)) = file.split_once(&marker) {
                let number = rest.strip_suffix(".rs")?.parse().ok()?;
                return Some((number, side, span));
            }
        }
        span = &span["expansion"]["span"];
    }
}

fn run(edition: Edition, observations: &mut Observations) -> anyhow::Result<()> {
    let program = scratch().join("target/debug").join(format!(
        "edition{}{}",
        edition.year(),
        env::consts::EXE_SUFFIX
    ));
    let output = Command::new(&program)
        .output()
        .with_context(|| format!("{} cannot be run", program.display()))?;
    let stdout = String::from_utf8(output.stdout)?;
    let mut last = String::new();
    let mut page = None;
    let mut numbers = BTreeSet::new();
    for line in stdout.lines() {
        let line: Value = serde_json::from_str(line)?;
        if let Some(text) = line["page"].as_str() {
            page = Some(text.to_owned());
            continue;
        }
        let number = usize::try_from(line["case"].as_u64().context("no number")?)?;
        let side = if line["side"] == "plain" {
            Side::Plain
        } else {
            Side::Annotated
        };
        last = format!("case {number}, {}", side.name());
        numbers.insert(number);
        let observed = observations
            .get_mut(&(number, side))
            .context("an unknown case")?;
        if let Some(scenario) = line["scenario"].as_str() {
            observed
                .logs
                .insert(scenario.to_owned(), strings(&line["log"]));
        }
        if !line["auto_traits"].is_null() {
            observed.auto_traits = strings(&line["auto_traits"]);
            observed.size = line["size"].as_u64();
            observed.arguments = line["arguments"].as_u64().unwrap_or_default();
        }
        if let Some(started) = line["started"].as_u64() {
            observed.started = started;
        }
    }
    let Some(page) = page else {
        bail!(
            "the program of edition {} ended ({}) in {last}:\n{}",
            edition.year(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    };
    for number in numbers {
        let (counted, in_progress) = counted(&page, number);
        if let Some(observed) = observations.get_mut(&(number, Side::Annotated)) {
            observed.counted = counted;
            observed.in_progress = in_progress;
        }
    }
    Ok(())
}

fn strings(values: &Value) -> Vec<String> {
    values
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect()
}

/// Returns the calls of one function on the page: ended, and in progress.
fn counted(page: &str, number: usize) -> (u64, f64) {
    let marker = format!("case_{number:04}");
    let mut counted = 0.0;
    let mut in_progress = 0.0;
    for line in page.lines().filter(|line| line.contains(&marker)) {
        let value: f64 = line
            .rsplit_once(' ')
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(f64::NAN);
        if line.starts_with("requests_total{") {
            counted += value;
        } else if line.starts_with("requests_in_progress{") {
            in_progress += value;
        }
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the value is a small, non-negative count"
    )]
    (counted as u64, in_progress)
}
