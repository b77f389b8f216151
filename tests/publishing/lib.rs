//! Checks that the two packages are ready for crates.io and docs.rs.
//!
//! - `packages`: the metadata, and the files in each package.
//! - `rust_version`: the minimum supported Rust version.
//! - `docs_rs`: the documentation as docs.rs builds it.
//! - `interface`: the public interface against `instrument-runtime/public-api.txt`.
//! - `cargo`: runs Cargo and rustdoc for the others.

#[cfg(test)]
mod cargo;
#[cfg(test)]
mod docs_rs;
#[cfg(test)]
mod interface;
#[cfg(test)]
mod packages;
#[cfg(test)]
mod rust_version;
