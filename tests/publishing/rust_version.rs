//! The minimum supported Rust version: it must not be older than the versions that the
//! dependencies declare. Clippy's `incompatible_msrv` checks our own code.

use std::collections::HashMap;
use std::fs;

use crate::cargo::{ask, metadata, root};

/// Parses a release such as `1.87` or `1.87.0`.
fn release(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().expect(version));
    (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    )
}

/// Returns the oldest release that the dependencies of `instrument-runtime` build with,
/// and the dependency that needs it.
fn oldest(features: &str) -> ((u32, u32), String) {
    let all = metadata(&[]);
    let declared: HashMap<String, &str> = all["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .filter_map(|package| {
            let (name, version) = (package["name"].as_str()?, package["version"].as_str()?);
            Some((
                format!("{name} v{version}"),
                package["rust_version"].as_str()?,
            ))
        })
        .collect();
    let tree = ask(&[
        "tree",
        "--package=instrument-runtime",
        "--edges=normal,build",
        "--target=all",
        "--prefix=none",
        "--format={p}",
        &format!("--features={features}"),
    ]);
    tree.lines()
        // Skips our own packages, whose declaration is what is being checked.
        .filter(|line| !line.starts_with("instrument-"))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let package = format!("{} {}", words.next()?, words.next()?);
            Some((release(declared.get(&package)?), package))
        })
        .max()
        .expect("dependencies")
}

#[test]
fn the_dependencies_build_with_the_release_that_is_declared() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    for (features, version) in [
        (
            "axum,process,push,testing,tokio,tower",
            env!("CARGO_PKG_RUST_VERSION"),
        ),
        ("tonic", "1.88"),
        ("actix-web", "1.89"),
    ] {
        let (needed, package) = oldest(features);
        assert!(
            needed <= release(version),
            "with {features}, {package} needs Rust {needed:?}, but rust-version is {version}"
        );
        assert!(readme.contains(version), "README.md does not say {version}");
    }
}
