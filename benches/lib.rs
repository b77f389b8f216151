//! What the programs of this package share: child processes that take turns,
//! allocators that count, and tables.

pub mod alloc;
pub mod args;
pub mod buckets;
pub mod child;
pub mod proc;
pub mod stats;
pub mod table;
