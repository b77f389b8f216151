//! A feature that another crate enables does not change what a function counts. One
//! program is built without features, with the feature of each framework and with all of
//! them. Each build compiles and counts the same.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use anyhow::Context;

const FEATURES: [&str; 5] = ["", "axum", "actix-web", "tonic", "axum,actix-web,tonic"];

/// Returns what the program counts with each set of features.
fn counts() -> anyhow::Result<Vec<String>> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let runtime = manifest.join("../../instrument-runtime");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let scratch = tempfile::tempdir_in(target)?;
    let folder = scratch.path();
    fs::create_dir(folder.join("src"))?;
    fs::copy(
        manifest.join("features/main.rs"),
        folder.join("src/main.rs"),
    )?;
    // The versions of the workspace, so that Cargo needs no network.
    fs::copy(runtime.join("../Cargo.lock"), folder.join("Cargo.lock"))?;
    fs::write(
        folder.join("Cargo.toml"),
        format!(
            "[package]\nname = \"features\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
             [features]\naxum = [\"instrument-runtime/axum\"]\n\
             actix-web = [\"instrument-runtime/actix-web\"]\n\
             tonic = [\"instrument-runtime/tonic\"]\n\n\
             [dependencies]\ninstrument-runtime = {{ path = {runtime:?} }}\n\
             serde_json = \"1\"\n\n\
             [profile.dev]\ndebug = false\n\n[workspace]\n"
        ),
    )?;
    FEATURES
        .iter()
        .map(|features| {
            let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
                .args(["run", "--offline", "--quiet", "--features", features])
                .current_dir(folder)
                .env("CARGO_TARGET_DIR", target.join("features"))
                .env_remove("RUSTFLAGS")
                .output()
                .context("cargo")?;
            anyhow::ensure!(
                output.status.success(),
                "with {features:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            Ok(String::from_utf8(output.stdout)?)
        })
        .collect()
}

#[test]
fn a_feature_changes_nothing() -> anyhow::Result<()> {
    let counts = counts()?;
    for line in [
        r#"requests_total{endpoint="/io",method="GET",outcome="error"} 1"#,
        r#"requests_total{endpoint="/plain_io",method="GET",outcome="error"} 1"#,
        r#"requests_total{endpoint="/plain_closure",method="GET",outcome="ok"} 1"#,
        r#"requests_total{endpoint="/text",http_status="200",method="GET",outcome="ok"} 1"#,
    ] {
        assert!(
            counts[0].lines().any(|found| found == line),
            "{}",
            counts[0]
        );
    }
    for (features, counted) in FEATURES.iter().zip(&counts).skip(1) {
        assert_eq!(counted, &counts[0], "with {features}");
    }
    Ok(())
}
