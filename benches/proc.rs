//! What Linux tells about processes.

use std::fs;

use anyhow::{Context, Result};

/// The time that a process's threads have spent on a processor, in
/// nanoseconds. Threads that have ended are not in it.
///
/// # Errors
///
/// When `/proc` has no such process.
pub fn cpu_nanos(pid: u32) -> Result<u64> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
        let on_cpu = schedstat.split(' ').next().context("an empty schedstat")?;
        nanos += on_cpu.parse::<u64>()?;
    }
    Ok(nanos)
}

/// The processor time of this process's children that have ended, and of
/// theirs, in seconds; Linux counts it in hundredths.
///
/// # Errors
///
/// When `/proc` cannot be read.
pub fn children_cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name in brackets, spaces and all.
    let (_, fields) = stat.rsplit_once(')').context("a stat without a name")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |n: usize| -> Result<u64> {
        let field = fields.get(n).context("a short stat")?;
        Ok(field.parse()?)
    };
    Ok((ticks(13)? + ticks(14)?) as f64 / 100.0)
}
