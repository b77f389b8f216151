//! Advisory locks (`flock`) that show which instances are alive.
//!
//! A live instance holds an exclusive lock on its file. The kernel releases the lock
//! however the process ends. A process id would not work: in containers that share a
//! folder, every instance is process 1.
//!
//! The functions of this module never wait for a lock.

use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, flock};

/// Takes an exclusive lock, held for as long as the file is open.
///
/// # Errors
///
/// Returns `WouldBlock` if another process holds a lock on the file.
pub(crate) fn hold(file: &File) -> io::Result<()> {
    Ok(flock(file, FlockOperation::NonBlockingLockExclusive)?)
}

/// Returns whether the process that wrote this file has ended.
///
/// Tries to take a shared lock, so that concurrent readers do not exclude each other. If
/// locking fails for any reason, the file does not count as abandoned.
pub(crate) fn is_abandoned(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockShared).is_ok()
}
