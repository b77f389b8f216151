//! The guide in `instrument-runtime/src/guide/`: what it says is so. Its examples are
//! doctests.
//!
//! - `chapters`: reads the chapters.
//! - `counted_when`: sends a request for each row of the table of what is counted when.
//! - `actix`, `layers`, `names`: single statements that no other test shows.
//! - `promql`: the queries, with promtool.
//! - `objectives`: the table of alerts, against the rules.
//! - `figures`: the figures are those of `benches/README.md`.
//! - `messages`: the messages on stderr are quoted as the library writes them.
//! - `evidence`: the files and tests to which the guide refers exist.

mod actix;
mod chapters;
mod counted_when;
mod evidence;
mod figures;
mod layers;
mod messages;
mod names;
mod objectives;
mod promql;
