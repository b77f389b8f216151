//! One instance's file: there, whole, and locked from the moment it has its
//! name until the instance goes.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::discovery::lock;

const PREFIX: &str = "instrumented-";
const SUFFIX: &str = ".json";
/// Under this one a file is being written; Prometheus's `*.json` skips it.
const UNFINISHED: &str = ".tmp";

/// Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct TargetFile {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl TargetFile {
    /// Clears the folder of instances that were killed, and adds this one.
    pub(crate) fn write(folder: &Path, app_name: &str, contents: &str) -> io::Result<Self> {
        // The process may change its working directory before it ends.
        let folder = folder.canonicalize()?;
        sweep(&folder)?;
        loop {
            match Self::try_write(&folder, app_name, contents) {
                // Another instance came by before the lock was held, and took
                // the unfinished file for a dead one's.
                Err(error) if error.kind() == io::ErrorKind::NotFound && folder.exists() => {}
                written => return written,
            }
        }
    }

    fn try_write(folder: &Path, app_name: &str, contents: &str) -> io::Result<Self> {
        let name = file_name(app_name);
        let unfinished = folder.join(format!("{name}{UNFINISHED}"));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&unfinished)?;
        let path = folder.join(name);
        let written = lock_or_gone(&file)
            .and_then(|()| file.write_all(contents.as_bytes()))
            .and_then(|()| fs::rename(&unfinished, &path));
        match written {
            Ok(()) => Ok(Self { path, _file: file }),
            Err(error) => {
                // Gone already is as good.
                let _ = fs::remove_file(&unfinished);
                Err(error)
            }
        }
    }
}

impl Drop for TargetFile {
    fn drop(&mut self) {
        // Gone already is as good; the lock goes after the file.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whoever holds the lock on a file this new is about to remove it.
fn lock_or_gone(file: &File) -> io::Result<()> {
    lock::hold(file).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::NotFound.into(),
        _ => error,
    })
}

/// Never the same twice, so that whoever removes a dead instance's file cannot
/// hit that of a live one.
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

/// The finished files of instances in this folder, live or dead, by name.
pub(crate) fn all(folder: &Path) -> io::Result<Vec<PathBuf>> {
    ours(folder, |name| {
        name.starts_with(PREFIX) && name.ends_with(SUFFIX)
    })
}

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

/// Removes what killed instances have left.
fn sweep(folder: &Path) -> io::Result<()> {
    let left = ours(folder, |name| {
        let name = name.strip_suffix(UNFINISHED).unwrap_or(name);
        name.starts_with(PREFIX) && name.ends_with(SUFFIX)
    })?;
    for path in left {
        // One that is gone, or that belongs to somebody else, is no matter of ours.
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
        // As a killed process leaves it: there, and locked by nobody.
        for dead in ["instrumented-x-1-0.json", "instrumented-x-1-1.json.tmp"] {
            fs::write(folder.join(dead), "[]\n").expect("written");
        }
        for others in ["static.json", "instrumented-notes.txt", "x.json.tmp"] {
            fs::write(folder.join(others), "[]\n").expect("written");
        }
        let next = TargetFile::write(&folder, "next", "[]\n").expect("written");
        let name = |file: &TargetFile| file.path.file_name().map(|name| name.to_owned());
        let mut expected: Vec<_> = [name(&live), name(&next)]
            .into_iter()
            .flatten()
            .map(|name| name.into_string().expect("UTF-8"))
            .chain(["static.json", "instrumented-notes.txt", "x.json.tmp"].map(str::to_owned))
            .collect();
        expected.sort();
        assert_eq!(names(&folder), expected);
        fs::remove_dir_all(folder).expect("removed");
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
}
