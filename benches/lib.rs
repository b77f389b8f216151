//! The code that the benchmarks share: child processes, counting allocators, the metrics of
//! other libraries, measurements, statistics and tables.

pub mod alloc;
pub mod args;
pub mod buckets;
pub mod child;
pub mod measure;
pub mod peers;
pub mod proc;
pub mod stats;
pub mod table;
