//! The code that the benchmarks share: child processes, servers over loopback, counting
//! allocators, the metrics of other libraries, measurements, statistics and tables.

pub mod alloc;
pub mod args;
pub mod buckets;
pub mod child;
pub mod loopback;
pub mod measure;
pub mod peers;
pub mod proc;
pub mod stats;
pub mod table;
