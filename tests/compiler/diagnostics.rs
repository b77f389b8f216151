//! The compiler reports the same errors and warnings about a body, at the same tokens,
//! with the attribute and without it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

const ATTRIBUTE: &str = "#[instrumented]";

/// The cases that are about awaiting, or about functions that return a future. All other
/// cases are also checked without `async`.
const ASYNC_ONLY: [&str; 8] = [
    "boxed",
    "boxed_types",
    // The attribute on an `impl` block does not measure methods that are not async.
    "methods",
    "no_await",
    "not_a_future",
    "not_send",
    "one_line",
    "returned_future",
];

/// The cases with an error about the value that the function returns. The expansion assigns
/// this value to a variable if the function has `#[track_caller]`, so rustc reports the error
/// at the body, or under the code for variables.
const OTHERWISE_IF_TRACKED: [&str; 4] = [
    "borrowed_tracked",
    "empty_body_tracked",
    "lifetimes_tracked",
    "missing_tail_tracked",
];

/// Returns what Cargo reports for each of `cases`. They are binaries of one package.
fn diagnostics(folder: &Path, cases: &[(String, String)]) -> anyhow::Result<Vec<BTreeSet<String>>> {
    let binaries = folder.join("src/bin");
    let _ = fs::remove_dir_all(&binaries);
    fs::create_dir_all(&binaries)?;
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../instrument-runtime");
    fs::write(
        folder.join("Cargo.toml"),
        format!(
            "[package]\nname = \"diagnostics\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
             [dependencies]\ninstrument-runtime = {{ path = {runtime:?} }}\n\n[workspace]\n"
        ),
    )?;
    // The versions of the workspace, so that Cargo needs no network.
    fs::copy(runtime.join("../Cargo.lock"), folder.join("Cargo.lock"))?;
    for (name, source) in cases {
        fs::write(binaries.join(name).with_extension("rs"), source)?;
    }
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["check", "--keep-going", "--bins", "--message-format=json"])
        .args(["--offline", "--quiet"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target().join("diagnostics"))
        .env_remove("RUSTFLAGS")
        .output()?;
    let mut found = vec![BTreeSet::new(); cases.len()];
    for line in String::from_utf8(output.stdout)?.lines() {
        let line: Value = serde_json::from_str(line)?;
        if line["reason"] != "compiler-message" {
            continue;
        }
        let Some(case) = cases
            .iter()
            .position(|(name, _)| line["target"]["name"] == **name)
        else {
            continue;
        };
        found[case].extend(described(&line["message"]));
    }
    assert!(
        found.iter().any(|found| !found.is_empty()),
        "cargo said nothing: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(found)
}

/// Returns the level, the code and the primary spans of a message in one line, or `None`
/// for a message without a span, such as a summary. The text is left out: with the
/// attribute, rustc calls an argument a captured variable and the body an async block.
fn described(message: &Value) -> Option<String> {
    let spans: Vec<String> = message["spans"]
        .as_array()?
        .iter()
        .filter(|span| span["is_primary"] == true)
        .map(|span| {
            format!(
                "{}:{}-{}:{}",
                span["line_start"], span["column_start"], span["line_end"], span["column_end"]
            )
        })
        .collect();
    if spans.is_empty() {
        return None;
    }
    Some(format!(
        "{} {} at {}",
        message["level"].as_str()?,
        message["code"]["code"].as_str().unwrap_or("-"),
        spans.join(" and "),
    ))
}

/// Returns the case and, unless it is about awaiting, the same functions without `async`:
/// as they are, and with `#[track_caller]`, which changes the expansion.
fn variants(name: String, source: String) -> Vec<(String, String)> {
    if ASYNC_ONLY.contains(&name.as_str()) {
        return vec![(name, source)];
    }
    let plain = source.replace("async fn", "fn").replace(".await", "");
    let tracked = plain.replace(
        &format!("{ATTRIBUTE}\nfn"),
        &format!("{ATTRIBUTE} #[track_caller]\nfn"),
    );
    vec![
        (format!("{name}_plain"), plain),
        (format!("{name}_tracked"), tracked),
        (name, source),
    ]
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned()
}

#[test]
fn the_compiler_says_the_same_at_the_same_tokens() -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("diagnostics");
    let mut paths = fs::read_dir(&folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for path in &paths {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let source = fs::read_to_string(path)?;
        assert!(source.contains(ATTRIBUTE), "{name} has no attribute");
        for (name, source) in variants(name, source) {
            // Every line keeps its number and its columns.
            let plain = source
                .replace(ATTRIBUTE, "")
                .replace("use instrument_runtime::instrumented;", "");
            with.push((name.clone(), source));
            without.push((name, plain));
        }
    }
    let scratch = tempfile::tempdir_in(target())?;
    let with_attribute = diagnostics(scratch.path(), &with)?;
    let plain = diagnostics(scratch.path(), &without)?;

    // The expansion allows this lint in a function that assigns to an argument: it would
    // also fire where the plain function is fine.
    let silent = BTreeSet::from(["warning unused_assignments at 5:5-5:9".to_owned()]);
    let mut differences = String::new();
    for (((name, _), with), plain) in with.iter().zip(with_attribute).zip(plain) {
        assert!(
            !plain.is_empty(),
            "{name} says nothing without the attribute"
        );
        let with = match name.as_str() {
            "assigned_argument" | "assigned_argument_plain" => &with | &silent,
            _ => with,
        };
        if OTHERWISE_IF_TRACKED.contains(&name.as_str()) {
            assert_eq!(with.len(), plain.len(), "{name}: {with:#?} {plain:#?}");
            continue;
        }
        if with != plain {
            differences += &format!(
                "\n{name}\n  only with the attribute: {:#?}\n  only without: {:#?}\n",
                with.difference(&plain).collect::<Vec<_>>(),
                plain.difference(&with).collect::<Vec<_>>()
            );
        }
    }
    assert!(differences.is_empty(), "{differences}");
    Ok(())
}
