//! Each cell of the table "Compared with others" in the README is true.
//!
//! A row is a property that a running server is asked for (`properties.rs`), or a measurement
//! whose figures are in `benches/README.md` (`figures.rs`). `features.rs` has the sources of the
//! cells that no server can show, and `better.rs` shows what the others do better.

mod better;
mod features;
mod figures;
mod peer;
mod properties;
mod table;
