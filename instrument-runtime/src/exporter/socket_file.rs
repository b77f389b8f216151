//! A Unix domain socket and its file. The file stays behind when the process is killed,
//! so [`bind`] replaces the file of a socket that nobody listens on.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use crate::discovery::lock;

/// How long to wait for other processes that bind a socket in the same folder. One bind
/// takes well under a millisecond.
const OTHERS: Duration = Duration::from_secs(1);

/// The file of a bound socket. Dropping it removes the file, with two exceptions: another
/// file has the path by now, or the drop happens in a forked child, whose parent still
/// listens.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    process: u32,
    identity: Option<Identity>,
}

/// Identifies a file independently of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    fn at(path: &Path) -> Option<Self> {
        Some(Self::of(&fs::symlink_metadata(path).ok()?))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        let _alone = lock_folder(&self.path);
        if self.identity.is_some() && Identity::at(&self.path) == self.identity {
            // The file may already be gone.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds a socket at `path`, replacing the file of a socket that nobody listens on.
///
/// Blocks for at most [`OTHERS`].
///
/// # Errors
///
/// Returns an error if another process listens on `path`, if the file there is not a
/// socket, or if the socket cannot be bound.
pub(crate) fn bind(path: &Path) -> io::Result<(SocketFile, UnixListener)> {
    let _alone = lock_folder(path);
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            remove_dead(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    let file = SocketFile {
        // The process may change its working directory before it ends.
        path: std::path::absolute(path)?,
        process: std::process::id(),
        identity: Identity::at(path),
    };
    listener.set_nonblocking(true)?;
    Ok((file, listener))
}

/// Removes the socket's file at `path` if no process listens on it.
fn remove_dead(path: &Path) -> io::Result<()> {
    let in_use = |problem: String| Err(io::Error::new(ErrorKind::AddrInUse, problem));
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.file_type().is_socket() {
        return in_use(
            "a file that is not a socket is there; remove it or choose another path".to_owned(),
        );
    }
    match connect(path) {
        // `ECONNREFUSED`: no process listens. (On the BSDs, also if the backlog is full.)
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            if Identity::at(path) == Some(Identity::of(&metadata)) {
                fs::remove_file(path)?;
            }
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Ok(()) => in_use("another process listens on it; choose another path".to_owned()),
        // `EAGAIN`: the backlog is full.
        Err(error) if error.kind() == ErrorKind::WouldBlock => in_use(
            "another process listens on it, and its backlog is full; choose another path"
                .to_owned(),
        ),
        Err(error) => in_use(format!(
            "a socket is there that may be in use ({error}); remove it or choose another path"
        )),
    }
}

/// Connects without blocking, even if the backlog is full.
fn connect(path: &Path) -> io::Result<()> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?)
}

/// Locks the folder of `path`, so that other instances do not bind a socket in it at the
/// same time. Between `bind` and `listen`, a socket looks as if nobody listens on it. Returns
/// `None` if the lock cannot be taken within [`OTHERS`]; the caller continues without it.
fn lock_folder(path: &Path) -> Option<File> {
    let folder = match path.parent()? {
        folder if folder.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    let folder = File::open(folder).ok()?;
    let began = Instant::now();
    loop {
        match lock::hold(&folder) {
            Ok(()) => return Some(folder),
            Err(error) if error.kind() == ErrorKind::WouldBlock && began.elapsed() < OTHERS => {
                sleep(Duration::from_millis(1));
            }
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    const AT_ONCE: usize = 4;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("socket-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir(&folder).expect("a folder");
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// All threads find a stale socket. No thread may mistake the new socket of another
    /// thread for the stale socket.
    #[test]
    fn one_of_many_has_the_path() {
        let folder = Folder::new("many");
        let path = folder.0.join("page.sock");
        for _ in 0..200 {
            drop(UnixListener::bind(&path).expect("a dead socket"));
            let at_once = Barrier::new(AT_ONCE);
            let bound: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = (0..AT_ONCE)
                    .map(|_| {
                        scope.spawn(|| {
                            at_once.wait();
                            bind(&path)
                        })
                    })
                    .collect();
                let ends = threads.into_iter();
                ends.map(|thread| thread.join().expect("no panic"))
                    .collect()
            });
            let (ours, refused): (Vec<_>, Vec<_>) = bound.into_iter().partition(Result::is_ok);
            assert_eq!(ours.len(), 1, "{refused:?}");
            for refused in refused {
                let error = refused.expect_err("it is refused").to_string();
                assert!(error.contains("another process listens"), "{error}");
            }
            connect(&path).expect("it listens");
            drop(ours);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_lock_that_stays_delays_by_so_much() {
        let folder = Folder::new("locked");
        let path = folder.0.join("page.sock");
        let file = File::open(&folder.0).expect("a folder");
        lock::hold(&file).expect("a lock");
        let began = Instant::now();
        let bound = bind(&path).expect("binds in the end");
        assert!(began.elapsed() >= OTHERS);
        connect(&path).expect("it listens");
        drop(file);
        drop(bound);
        assert!(!path.exists());
    }
}
