//! The target file of one instance. From the moment the file has its final name until
//! the instance ends, it is complete and locked.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::discovery::lock;

const PREFIX: &str = "instrumented-";
const SUFFIX: &str = ".json";
/// The additional suffix while a file is being written. Prometheus reads `*.json` and
/// skips such a file.
const UNFINISHED: &str = ".tmp";

/// The target file of this instance. Dropping it removes the file, except in a forked
/// child: the file belongs to the parent.
#[derive(Debug)]
pub(crate) struct TargetFile {
    path: PathBuf,
    process: u32,
    /// Holds the lock.
    _file: File,
}

impl TargetFile {
    /// Removes the files of killed instances from the folder, then writes this
    /// instance's file.
    pub(crate) fn write(folder: &Path, app_name: &str, contents: &str) -> io::Result<Self> {
        // The process may change its working directory before it ends.
        let folder = folder.canonicalize()?;
        sweep(&folder)?;
        loop {
            // `None` means that another instance swept the folder before this instance
            // held the lock, and mistook the unfinished file for a dead instance's file.
            if let Some(written) = Self::try_write(&folder, app_name, contents)? {
                return Ok(written);
            }
        }
    }

    fn try_write(folder: &Path, app_name: &str, contents: &str) -> io::Result<Option<Self>> {
        let name = file_name(app_name);
        let unfinished = folder.join(format!("{name}{UNFINISHED}"));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&unfinished)?;
        let path = folder.join(name);
        let written = lock::hold(&file)
            .and_then(|()| file.write_all(contents.as_bytes()))
            .and_then(|()| fs::rename(&unfinished, &path));
        match written {
            Ok(()) => Ok(Some(Self {
                path,
                process: std::process::id(),
                _file: file,
            })),
            // Another instance has locked the file to remove it, or has removed it.
            Err(error) if is_taken(&error) && folder.exists() => {
                // The file may already be gone.
                let _ = fs::remove_file(&unfinished);
                Ok(None)
            }
            Err(error) => {
                let _ = fs::remove_file(&unfinished);
                Err(error)
            }
        }
    }
}

impl Drop for TargetFile {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // The file may already be gone. The lock is released after the removal.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotFound
    )
}

/// Returns a new, random file name. Names are never reused, so that removing a dead
/// instance's file cannot remove the file of a live one.
fn file_name(app_name: &str) -> String {
    let readable: String = app_name
        .chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() => c,
            '-' | '_' | '.' => c,
            _ => '_',
        })
        .take(64)
        .collect();
    let process = std::process::id();
    let random = RandomState::new().hash_one(process);
    format!("{PREFIX}{readable}-{process}-{random:016x}{SUFFIX}")
}

/// Returns whether [`file_name`] could have made this name. The folder may contain files
/// of other programs, and a file that only has the same prefix must not be removed.
fn is_file_name(name: &str) -> bool {
    let parts = || {
        let name = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        let (name, random) = name.rsplit_once('-')?;
        let (_, process) = name.rsplit_once('-')?;
        Some((process, random))
    };
    parts().is_some_and(|(process, random)| {
        process.parse::<u32>().is_ok()
            && random.len() == 16
            && random
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Returns the finished target files in this folder, of live and dead instances, sorted
/// by name.
pub(crate) fn all(folder: &Path) -> io::Result<Vec<PathBuf>> {
    ours(folder, is_file_name)
}

/// Returns the regular files in this folder whose names match, sorted by name.
fn ours(folder: &Path, is_ours: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let named = entry.file_name().to_str().is_some_and(&is_ours);
        if named && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Removes the files that killed instances have left behind.
fn sweep(folder: &Path) -> io::Result<()> {
    let left = ours(folder, |name| {
        is_file_name(name.strip_suffix(UNFINISHED).unwrap_or(name))
    })?;
    for path in left {
        // The file has been removed, or this process may not read it.
        let Ok(file) = File::open(&path) else {
            continue;
        };
        if lock::is_abandoned(&file) {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("{name}-{}", file_name("test")));
        fs::create_dir(&folder).expect("a folder");
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| {
                let name = entry.expect("an entry").file_name();
                name.into_string().expect("UTF-8")
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn it_is_there_until_it_is_dropped() {
        let folder = folder("there");
        let file = TargetFile::write(&folder, "a/b c", "[]\n").expect("written");
        let [name] = &names(&folder)[..] else {
            panic!("{:?}", names(&folder));
        };
        assert!(name.starts_with("instrumented-a_b_c-"), "{name}");
        assert_eq!(fs::read_to_string(&file.path).expect("read"), "[]\n");
        drop(file);
        assert!(names(&folder).is_empty());
        fs::remove_dir(folder).expect("empty");
    }

    #[test]
    fn only_the_dead_are_swept() {
        let folder = folder("swept");
        let live = TargetFile::write(&folder, "live", "[]\n").expect("written");
        // A killed process leaves a file behind that may be incomplete and is not locked.
        // The process id may have been reused.
        let own = std::process::id();
        for (dead, contents) in [
            ("instrumented-x-4000000000-0123456789abcdef.json", "[]\n"),
            ("instrumented-x-1-0123456789abcdef.json.tmp", ""),
            ("instrumented--1-0123456789abcdef.json", "[{\"targ"),
            (&format!("instrumented-x-y-{own}-fedcba9876543210.json"), ""),
        ] {
            fs::write(folder.join(dead), contents).expect("written");
        }
        let others = [
            "static.json",
            "instrumented.json",
            "instrumented-static.json",
            "instrumented-notes.txt",
            "instrumented-x-1-0123456789abcde.json",
            "instrumented-x-1-0123456789ABCDEF.json",
            "instrumented-x-y-0123456789abcdef.json",
            "instrumented-x-1-0123456789abcdef.json.bak",
            "instrumented-x-1-0123456789abcdef.tmp",
            "my-instrumented-x-1-0123456789abcdef.json",
            "x.json.tmp",
        ];
        for name in others {
            fs::write(folder.join(name), "[]\n").expect("written");
        }
        // A folder or a link with a matching name is not removed either.
        let named_alike = [
            "instrumented-x-2-0123456789abcdef.json",
            "instrumented-x-3-0123456789abcdef.json",
        ];
        fs::create_dir(folder.join(named_alike[0])).expect("a folder");
        let link = folder.join(named_alike[1]);
        std::os::unix::fs::symlink(folder.join("static.json"), link).expect("a link");

        let next = TargetFile::write(&folder, "next", "[]\n").expect("written");
        let name = |file: &TargetFile| file.path.file_name().map(|name| name.to_owned());
        let mut expected: Vec<_> = [name(&live), name(&next)]
            .into_iter()
            .flatten()
            .map(|name| name.into_string().expect("UTF-8"))
            .chain(others.map(str::to_owned))
            .chain(named_alike.map(str::to_owned))
            .collect();
        expected.sort();
        assert_eq!(names(&folder), expected);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn what_it_is_called_is_known_again() {
        for app_name in ["web", "a/b c", "", "web-1-2", "é.json", &"x".repeat(100)] {
            let name = file_name(app_name);
            assert!(is_file_name(&name), "{name}");
        }
    }

    /// Prometheus reads `*.json`, so a file with such a name must be complete.
    #[test]
    fn it_never_shows_half() {
        use std::sync::atomic::{AtomicUsize, Ordering};

        let folder = folder("whole");
        let contents = format!("[{}]\n", "x".repeat(1_000_000));
        let seen = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while seen.load(Ordering::Relaxed) < 20 {
                    for path in all(&folder).expect("read") {
                        // The file may have been removed since.
                        if let Ok(found) = fs::read(path) {
                            assert_eq!(found.len(), contents.len());
                            seen.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
            while !reader.is_finished() {
                drop(TargetFile::write(&folder, "web", &contents).expect("written"));
            }
            reader.join().expect("whole files only");
        });
        fs::remove_dir(folder).expect("empty");
    }

    #[test]
    fn many_that_start_at_once_keep_theirs() {
        let folder = folder("many");
        let files: Vec<TargetFile> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        (0..25)
                            .map(|_| TargetFile::write(&folder, "web", "[]\n").expect("written"))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("no panic"))
                .collect()
        });
        assert_eq!(all(&folder).expect("read").len(), 200);
        drop(files);
        assert!(names(&folder).is_empty());
        fs::remove_dir(folder).expect("empty");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = folder("gone");
        fs::remove_dir(&folder).expect("empty");
        let error = TargetFile::write(&folder, "web", "[]\n").expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    /// A folder that exists, and in which not even root can create a file.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_takes_no_file_is_an_error() {
        TargetFile::write(Path::new("/proc"), "web", "[]\n").expect_err("refused");
        TargetFile::write(Path::new("/proc/version"), "web", "[]\n").expect_err("no folder");
    }
}
