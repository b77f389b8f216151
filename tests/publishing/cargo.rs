//! Runs Cargo and rustdoc on this workspace.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::SystemTime;
use std::{env, fs};

use serde_json::Value;

/// The packages that are published on crates.io, in the order of publication.
pub(crate) const PACKAGES: [&str; 2] = ["instrument-macros", "instrument-runtime"];

pub(crate) fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the workspace")
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Runs `command` and returns its standard output.
fn output(command: &mut Command) -> String {
    let output = command.output().expect("cargo starts");
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs Cargo with these arguments and returns its standard output.
pub(crate) fn ask(args: &[&str]) -> String {
    output(&mut cargo(args))
}

/// Returns the output of `cargo metadata` with these additional arguments.
pub(crate) fn metadata(args: &[&str]) -> Value {
    let all = [&["metadata", "--format-version=1"], args].concat();
    serde_json::from_str(&ask(&all)).expect("JSON")
}

/// Runs rustdoc with nightly features and passes the output folder `target/doc` to
/// `read`.
fn rustdoc<T>(args: &[&str], flags: &str, read: impl FnOnce(&Path) -> T) -> T {
    // All runs write into the same folder.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // Cargo remembers each set of flags and features as documented, even after another
    // set has overwritten the files. A new flag makes it run rustdoc every time.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("a clock past 1970").as_nanos();
    let mut command = cargo(args);
    command
        .env("RUSTDOC", root().join(".ci/rustdoc"))
        .env("RUSTDOCFLAGS", format!("{flags} --cfg documented_at_{now}"));
    output(&mut command);
    let folders: Value = metadata(&["--no-deps"]);
    let target = folders["target_directory"].as_str().expect("a path");
    read(&Path::new(target).join("doc"))
}

/// Builds the documentation as docs.rs does and passes its folder to `read`.
pub(crate) fn docs_rs<T>(read: impl FnOnce(&Path) -> T) -> T {
    let [macros, runtime] = PACKAGES;
    let args = [
        "doc",
        "--no-deps",
        "--all-features",
        "-p",
        macros,
        "-p",
        runtime,
    ];
    rustdoc(&args, "--cfg docsrs -D warnings", read)
}

/// The public interface of `instrument-runtime`, one item per line.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) without_features: String,
    pub(crate) with_all_features: String,
}

impl Interface {
    /// Returns the lines that the features add.
    pub(crate) fn added(&self) -> impl Iterator<Item = &str> {
        let always: BTreeSet<&str> = self.without_features.lines().collect();
        let all = self.with_all_features.lines();
        all.filter(move |line| !always.contains(line))
    }
}

/// Traits that only the compiler and the standard library may name.
const BY_THE_COMPILER: [&str; 3] = [
    "impl core::marker::Freeze ",
    "impl core::marker::StructuralPartialEq ",
    "impl core::marker::UnsafeUnpin ",
];

/// The modules of the guide. Only rustdoc compiles them, so users cannot name them. An item
/// in one of them would still be listed.
const GUIDE: &str = "pub mod instrument_runtime::_guide";

/// The current interface.
pub(crate) static INTERFACE: LazyLock<Interface> = LazyLock::new(|| Interface {
    without_features: listing(&[]),
    with_all_features: listing(&["--all-features"]),
});

fn listing(features: &[&str]) -> String {
    let args = ["rustdoc", "--lib", "-p", "instrument-runtime"];
    let flags = "-Z unstable-options --output-format json --cap-lints allow";
    rustdoc(&[&args, features].concat(), flags, |folder| {
        let json = folder.join("instrument_runtime.json");
        let listing = public_api::Builder::from_rustdoc_json(&json)
            .omit_blanket_impls(true)
            .build();
        let _ = fs::remove_file(&json);
        match listing {
            Ok(listing) => listing
                .items()
                .map(|item| format!("{item}\n"))
                .filter(|line| !BY_THE_COMPILER.iter().any(|name| line.contains(name)))
                .filter(|line| !line.starts_with(GUIDE))
                .collect(),
            Err(error) => panic!(
                "cannot read the JSON of this rustdoc: {error}; with another release of Rust, \
                 choose the release of `public-api` in tests/publishing/Cargo.toml to match"
            ),
        }
    })
}
