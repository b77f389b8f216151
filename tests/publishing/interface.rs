//! Compares the public interface with its listing in the repository, so a change of the
//! interface shows up in a diff.

use std::collections::BTreeSet;
use std::{env, fs};

use crate::cargo::{INTERFACE, root};

const LISTING: &str = "instrument-runtime/public-api.txt";
const UPDATE: &str = "UPDATE_PUBLIC_API";

fn written() -> String {
    let added: Vec<&str> = INTERFACE.added().collect();
    format!(
        "The public interface of instrument-runtime. Do not edit: `{UPDATE}=1 cargo test -p\n\
         instrument-publishing` writes it.\n\
         \n\
         == without features ==\n\
         {}\n\
         == added by features ==\n\
         {}\n",
        INTERFACE.without_features,
        added.join("\n")
    )
}

/// Returns the lines of `of` that are missing in `other`, each prefixed with `sign`.
fn missing(sign: char, of: &str, other: &str) -> String {
    let others: BTreeSet<&str> = other.lines().collect();
    of.lines()
        .filter(|line| !others.contains(line))
        .map(|line| format!("{sign} {line}\n"))
        .collect()
}

#[test]
fn the_listing_shows_the_interface_as_it_is() {
    let path = root().join(LISTING);
    let today = written();
    if env::var_os(UPDATE).is_some() {
        fs::write(&path, today).expect(LISTING);
        return;
    }
    let listed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        listed == today,
        "the public interface differs from {LISTING}:\n{}{}\n\
         If you meant to change it, run `{UPDATE}=1 cargo test -p instrument-publishing` and \
         commit the file. Each removed or changed line is a breaking change: it needs a new \
         major version (0.x: minor) and an entry in CHANGELOG.md.",
        missing('-', &listed, &today),
        missing('+', &today, &listed),
    );
}

/// Features are additive: a feature that another crate enables must not break a user's
/// code.
#[test]
fn features_only_add_to_the_interface() {
    let all = &INTERFACE.with_all_features;
    let lost = missing('-', &INTERFACE.without_features, all);
    assert!(lost.is_empty(), "features take away or change:\n{lost}");
}
