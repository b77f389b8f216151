//! Append-only collections that are read without a lock.
//!
//! ```text
//! list   a linked list, for a handful of keys
//! trie   a hash trie, for thousands of keys
//! sync   the atomics and locks that both are built from, and the recorder too
//! ```
//!
//! `tests/models` compiles `list`, `trie` and parts of the recorder with the types of
//! [loom](https://docs.rs/loom) in place of those in `sync`, and explores their
//! interleavings.

pub(crate) mod list;
pub(crate) mod sync;
pub(crate) mod trie;
