//! Reads the CPU time of processes from Linux's `/proc`.

use std::fs;

use anyhow::{Context, Result};

/// Returns the CPU time of a process's live threads, in nanoseconds.
///
/// Threads that have exited are not included.
///
/// # Errors
///
/// Returns an error if the process does not exist.
pub fn cpu_nanos(pid: u32) -> Result<u64> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
        let on_cpu = schedstat.split(' ').next().context("schedstat is empty")?;
        nanos += on_cpu.parse::<u64>()?;
    }
    Ok(nanos)
}

/// Returns the CPU time of all descendants that have exited and been waited for, in seconds.
///
/// The resolution is 0.01 s.
///
/// # Errors
///
/// Returns an error if `/proc` cannot be read.
pub fn children_cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name in parentheses, and may contain spaces.
    let (_, fields) = stat
        .rsplit_once(')')
        .context("/proc/self/stat has no program name")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |n: usize| -> Result<u64> {
        let field = fields
            .get(n)
            .context("/proc/self/stat has too few fields")?;
        Ok(field.parse()?)
    };
    Ok((ticks(13)? + ticks(14)?) as f64 / 100.0)
}
