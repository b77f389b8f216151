//! Measures what an annotated handler adds to compile time and binary size.
//!
//! Generates two crates for each candidate: one with `--handlers` handlers, and one without
//! any. The difference is the cost of the handlers, without the fixed cost of the library.
//! The crates take turns for `--rounds` rounds. Their dependencies are built beforehand, and
//! incremental compilation is off.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use instrument_benches::args::Args;
use instrument_benches::proc::children_cpu_seconds;
use instrument_benches::stats::Samples;
use instrument_benches::table::{Table, digits};

struct Candidate {
    name: &'static str,
    /// The line under `[dependencies]`. The lock file sets the version.
    dependency: &'static str,
    /// The attribute above the handler number `{n}`.
    attribute: &'static str,
    /// The statement that `main` starts with.
    init: &'static str,
}

/// The candidates. The first one is the baseline.
const CANDIDATES: [Candidate; 5] = [
    Candidate {
        name: "plain",
        dependency: "",
        attribute: "",
        init: "",
    },
    Candidate {
        name: "ours",
        dependency: "instrument-runtime = { path = \"{root}/instrument-runtime\" }",
        attribute: "#[instrument_runtime::instrumented]",
        init: "instrument_runtime::init(\"bench\").expect(\"an exporter\");",
    },
    // Handlers with a known endpoint and method are registered, which puts their series on
    // the page from the start.
    Candidate {
        name: "ours-routed",
        dependency: "instrument-runtime = { path = \"{root}/instrument-runtime\" }",
        attribute: "#[instrument_runtime::instrumented(endpoint = \"/{n}\", method = \"GET\")]",
        init: "instrument_runtime::init(\"bench\").expect(\"an exporter\");",
    },
    Candidate {
        name: "tracing",
        dependency: "tracing = \"*\"",
        attribute: "#[tracing::instrument]",
        init: "",
    },
    Candidate {
        name: "autometrics",
        dependency: "autometrics = { version = \"*\", features = [\"prometheus-exporter\"] }",
        attribute: "#[autometrics::autometrics]",
        init: "autometrics::prometheus_exporter::init();",
    },
];

fn main() -> Result<()> {
    let args = Args::of_process(&["--rounds", "--handlers"])?;
    let rounds: usize = args.value("--rounds", 3)?;
    let handlers: usize = args.value("--handlers", 500)?;
    ensure!(
        rounds > 0 && handlers > 0,
        "--rounds and --handlers must be at least 1"
    );

    let folder = tempfile::tempdir()?;
    let workspace = Workspace::generate(folder.path(), handlers)?;
    for candidate in &CANDIDATES {
        for package in packages(candidate) {
            for command in COMMANDS {
                workspace.time(&package, command)?;
            }
        }
    }

    let mut costs: Vec<Costs> = CANDIDATES.iter().map(|_| Costs::default()).collect();
    for _ in 0..rounds {
        for (command, args) in COMMANDS.into_iter().enumerate() {
            for (candidate, costs) in CANDIDATES.iter().zip(&mut costs) {
                let [none, all] = packages(candidate);
                let none = workspace.time(&none, args)?;
                let all = workspace.time(&all, args)?;
                costs.all[command].push(all.wall);
                for (samples, difference) in costs.handlers[command]
                    .iter_mut()
                    .zip([all.wall - none.wall, all.cpu - none.cpu])
                {
                    samples.push(difference * 1e3 / handlers as f64);
                }
            }
        }
    }
    println!(
        "{handlers} handlers per crate, medians of {rounds} interleaved rounds. \
         `over plain` and `CPU` are the cost of one handler.\n"
    );
    times(&costs);
    println!();
    sizes(&workspace, handlers)
}

const COMMANDS: [&[&str]; 2] = [&["check"], &["build", "--release"]];

/// The costs of one candidate, for each of the commands.
#[derive(Default)]
struct Costs {
    /// Wall time for the whole crate, in seconds.
    all: [Samples; 2],
    /// Wall time and CPU time per handler, in milliseconds.
    handlers: [[Samples; 2]; 2],
}

/// Prints the table of compile times.
fn times(costs: &[Costs]) {
    let mut table = Table::new(&[
        "candidate",
        "check, s",
        "over plain, ms",
        "CPU, ms",
        "release build, s",
        "over plain, ms",
        "CPU, ms",
    ]);
    for (candidate, own) in CANDIDATES.iter().zip(costs) {
        let mut row = vec![candidate.name.to_owned()];
        for command in 0..COMMANDS.len() {
            row.push(digits(own.all[command].median()));
            for clock in 0..2 {
                let over = own.handlers[command][clock].over(&costs[0].handlers[command][clock]);
                row.push(digits(over.median()));
            }
        }
        table.row(row);
    }
    print!("{table}");
}

/// Prints the table of binary sizes.
fn sizes(workspace: &Workspace, handlers: usize) -> Result<()> {
    let mut table = Table::new(&[
        "candidate",
        "stripped binary without a handler, KB",
        "over plain, KB",
        "per handler, bytes",
        "over plain, bytes",
    ]);
    let mut plain = None;
    for candidate in &CANDIDATES {
        let [none, all] = packages(candidate);
        let fixed = workspace.size(&none)? as f64;
        let each = (workspace.size(&all)? as f64 - fixed) / handlers as f64;
        let (plain_fixed, plain_each) = *plain.get_or_insert((fixed, each));
        table.row(vec![
            candidate.name.to_owned(),
            format!("{:.0}", fixed / 1e3),
            format!("{:.0}", (fixed - plain_fixed) / 1e3),
            format!("{each:.0}"),
            format!("{:.0}", each - plain_each),
        ]);
    }
    print!("{table}");
    Ok(())
}

/// Returns the names of a candidate's two crates: without handlers, and with all of them.
fn packages(candidate: &Candidate) -> [String; 2] {
    ["none", "all"].map(|which| format!("{}-{which}", candidate.name))
}

/// The time of one build, in seconds.
struct Cost {
    wall: f64,
    cpu: f64,
}

/// The generated crates.
struct Workspace {
    folder: PathBuf,
    target: PathBuf,
}

impl Workspace {
    fn generate(folder: &Path, handlers: usize) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the package's folder has no parent")?;
        let mut members = Vec::new();
        for candidate in &CANDIDATES {
            for (package, handlers) in packages(candidate).into_iter().zip([0, handlers]) {
                let source = folder.join(&package).join("src");
                fs::create_dir_all(&source)?;
                fs::write(
                    folder.join(&package).join("Cargo.toml"),
                    manifest(candidate, &package, root),
                )?;
                fs::write(source.join("main.rs"), main_rs(candidate))?;
                fs::write(source.join("handlers.rs"), handlers_rs(candidate, handlers))?;
                members.push(package);
            }
        }
        fs::write(
            folder.join("Cargo.toml"),
            format!(
                "[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\
                 [profile.release]\nstrip = true\n"
            ),
        )?;
        fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
        // In the target folder of this program, so that the next run can reuse the
        // dependencies that this run has built.
        let program = std::env::current_exe()?;
        let target = program.parent().and_then(Path::parent);
        Ok(Self {
            folder: folder.to_owned(),
            target: target
                .context("the program is not in a target folder")?
                .join("compile"),
        })
    }

    /// Builds a crate as if its source had changed, and returns the time.
    fn time(&self, package: &str, command: &[&str]) -> Result<Cost> {
        for file in ["main.rs", "handlers.rs"] {
            let path = self.folder.join(package).join("src").join(file);
            fs::write(&path, fs::read(&path)?)?;
        }
        let cpu = children_cpu_seconds()?;
        let start = Instant::now();
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(command)
            .args(["--quiet", "--package", package])
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_INCREMENTAL", "0")
            .output()?;
        let wall = start.elapsed().as_secs_f64();
        ensure!(
            output.status.success(),
            "{package}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(Cost {
            wall,
            cpu: children_cpu_seconds()? - cpu,
        })
    }

    /// Returns the size of a crate's release binary, in bytes.
    fn size(&self, package: &str) -> Result<u64> {
        Ok(fs::metadata(self.target.join("release").join(package))?.len())
    }
}

fn manifest(candidate: &Candidate, package: &str, root: &Path) -> String {
    let dependency = candidate
        .dependency
        .replace("{root}", &root.display().to_string());
    format!(
        "[package]\nname = \"{package}\"\nedition = \"2024\"\n\
         [dependencies]\ntokio = {{ version = \"*\", features = [\"macros\", \"rt\"] }}\n\
         {dependency}\n"
    )
}

/// Returns the source of `main.rs`.
///
/// It calls every handler under a condition that is false but that the compiler cannot
/// evaluate, so no handler is optimized away.
fn main_rs(candidate: &Candidate) -> String {
    format!(
        "mod handlers;

         #[tokio::main(flavor = \"current_thread\")]
         async fn main() {{
             {}
             let arguments = std::env::args().count() as u64;
             if arguments > 1_000 {{
                 for answer in handlers::all(arguments) {{
                     println!(\"{{:?}}\", answer.await);
                 }}
             }}
         }}
        ",
        candidate.init
    )
}

fn handlers_rs(candidate: &Candidate, handlers: usize) -> String {
    let mut source = String::from(
        "use std::{future::Future, num::ParseIntError, pin::Pin};

         type Answer = Pin<Box<dyn Future<Output = Result<String, ParseIntError>>>>;
        ",
    );
    for n in 0..handlers {
        let attribute = candidate.attribute.replace("{n}", &n.to_string());
        source += &format!(
            "
             {attribute}
             pub async fn handler_{n}(id: u64) -> Result<String, ParseIntError> {{
                 let text = id.to_string();
                 let half: u64 = text[..text.len().div_ceil(2)].parse()?;
                 tokio::task::yield_now().await;
                 let sum = half + id * {n};
                 Ok(format!(\"{{sum}} of {{text}}\"))
             }}
            "
        );
    }
    source += "\npub fn all(id: u64) -> Vec<Answer> {\n    let _ = id;\n    vec![\n";
    for n in 0..handlers {
        source += &format!("        Box::pin(handler_{n}(id)),\n");
    }
    source + "    ]\n}\n"
}
