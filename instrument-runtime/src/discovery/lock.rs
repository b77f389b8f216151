//! Who is alive: a live instance holds a lock on its file, and the kernel lets
//! go of it however the process ends. A process id would not do: in containers
//! that share a folder everybody is process 1.

use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, flock};

/// Takes the lock for as long as the file is open.
pub(crate) fn hold(file: &File) -> io::Result<()> {
    Ok(flock(file, FlockOperation::NonBlockingLockExclusive)?)
}

/// Whether the writer of this file has ended. Those who ask do not disturb each
/// other; a lock that cannot be had for another reason proves nothing.
pub(crate) fn is_abandoned(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockShared).is_ok()
}
