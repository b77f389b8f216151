//! Whether the two packages are ready for crates.io and docs.rs: their metadata and
//! files, the oldest Rust they build with, their documentation as docs.rs builds it,
//! and their public interface, which `instrument-runtime/public-api.txt` lists.

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
