//! The metadata that crates.io shows, and the files in each package.

use std::fs;

use serde_json::Value;

use crate::cargo::{PACKAGES, ask, metadata, root};

fn published() -> Vec<Value> {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().expect("packages");
    // `cargo metadata` shows `publish = false` as an empty list of registries.
    let published = packages
        .iter()
        .filter(|package| package["publish"].is_null());
    published.cloned().collect()
}

#[test]
fn only_the_two_libraries_are_published() {
    let mut names: Vec<String> = published()
        .iter()
        .map(|package| package["name"].as_str().expect("a name").to_owned())
        .collect();
    names.sort_unstable();
    assert_eq!(names, PACKAGES);
}

#[test]
fn a_package_says_what_crates_io_shows() {
    for package in published() {
        let name = package["name"].as_str().expect("a name");
        for field in ["description", "license", "readme", "rust_version"] {
            assert!(package[field].is_string(), "{name} has no {field}");
        }
        assert_eq!(package["documentation"], format!("https://docs.rs/{name}"));
        let keywords = package["keywords"].as_array().expect("keywords");
        assert!((1..=5).contains(&keywords.len()), "{name}: {keywords:?}");
        let categories = package["categories"].as_array().expect("categories");
        assert!(
            (1..=5).contains(&categories.len()),
            "{name}: {categories:?}"
        );
    }
}

#[test]
fn a_package_holds_its_sources_its_readme_and_the_licences() {
    for package in PACKAGES {
        let files = ask(&["package", "--list", "--allow-dirty", "-p", package]);
        let files: Vec<&str> = files.lines().collect();
        for needed in ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "src/lib.rs"] {
            assert!(files.contains(&needed), "{package} lacks {needed}");
        }
        // Cargo adds these files itself, the first one only inside a Git repository.
        let by_cargo = [
            ".cargo_vcs_info.json",
            "Cargo.lock",
            "Cargo.toml",
            "Cargo.toml.orig",
        ];
        for file in files {
            assert!(
                ["LICENSE-APACHE", "LICENSE-MIT", "README.md"].contains(&file)
                    || file.starts_with("src/")
                    || by_cargo.contains(&file),
                "{package} would be published with {file}; see `include` in its Cargo.toml"
            );
        }
    }
}

#[test]
fn a_package_has_the_licences_of_the_repository() {
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        let text = fs::read_to_string(root().join(licence)).expect(licence);
        for package in PACKAGES {
            let path = root().join(package).join(licence);
            let packaged = fs::read_to_string(&path);
            assert_eq!(packaged.expect("a licence"), text, "{}", path.display());
        }
    }
}
