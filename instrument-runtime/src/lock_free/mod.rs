//! Collections that only grow and are read without a lock. `tests/models` checks them
//! with loom, in every interleaving.

pub(crate) mod list;
pub(crate) mod sync;
pub(crate) mod trie;
