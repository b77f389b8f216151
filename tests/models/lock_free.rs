//! Includes the runtime's `lock_free`, with loom's types in place of its `sync`.

#[path = "../../instrument-runtime/src/lock_free/list.rs"]
pub(crate) mod list;
#[path = "sync.rs"]
pub(crate) mod sync;
#[path = "../../instrument-runtime/src/lock_free/trie.rs"]
pub(crate) mod trie;
