//! A process that forks after `init`: the child has copies of the descriptors, but not
//! the exporter's thread.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use instrument_runtime::{Builder, Exporter, builder};
use instrument_tests::page::scrape;
use instrument_tests::{DEADLINE, wait_for};

/// Runs one of the tests below in a separate process, and kills it if it does not end.
fn run(name: &str, folder: &std::path::Path) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env("FOLDER", folder)
        .stdin(Stdio::null())
        .spawn()
        .expect("runs");
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("its end", || child.try_wait().expect("a child"))
    }));
    let _ = child.kill();
    assert!(ended.expect("it ends").success());
}

/// The parent's handle to its child. They take turns over a socket, and neither waits
/// forever.
struct Forked {
    child: UnixStream,
    id: i32,
}

impl Drop for Forked {
    fn drop(&mut self) {
        // The child ends by itself unless the test fails.
        let _ = Command::new("kill")
            .args(["-9", &self.id.to_string()])
            .stderr(Stdio::null())
            .status();
    }
}

impl Forked {
    fn child_of(exporter: &Exporter) -> Self {
        let (child, mut parent) = UnixStream::pair().expect("a pair of sockets");
        for end in [&child, &parent] {
            end.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        }
        #[allow(unsafe_code, reason = "the standard library has no `fork`")]
        unsafe extern "C" {
            // SAFETY: `fork` has no arguments. The child uses only its own thread and
            // memory, and ends without unwinding.
            safe fn fork() -> i32;
        }
        let id = fork();
        if id != 0 {
            assert!(id > 0, "it forks");
            return Self { child, id };
        }
        // In the child. Whatever fails here, the parent must not see a success.
        drop(child);
        exporter.blocking_shutdown();
        let is_rendered = exporter.render().contains("# TYPE instrument_series gauge");
        let _ = parent.write_all(if is_rendered { b"y" } else { b"n" });
        // Waits until the parent has finished its checks.
        let _ = parent.read(&mut [0]);
        std::process::exit(0);
    }

    /// Waits until the child's `shutdown` has returned.
    fn has_shut_down(&mut self) {
        let mut answer = [0];
        self.child.read_exact(&mut answer).expect("it returns");
        assert_eq!(&answer, b"y", "the child renders");
    }
}

fn install(builder: Builder) -> (Exporter, SocketAddr) {
    let exporter = builder.listen(([127, 0, 0, 1], 0)).install();
    let exporter = exporter.expect("installs");
    let addr = exporter.local_addr().expect("a TCP listener");
    // After a scrape, the listener has its reserved descriptors.
    scrape(addr).expect("a page");
    (exporter, addr)
}

#[test]
fn a_child_gives_up_the_port_and_the_parent_keeps_it() {
    let folder = tempfile::tempdir().expect("a folder");
    run("child_forks", folder.path());
}

#[test]
#[ignore = "run by a_child_gives_up_the_port_and_the_parent_keeps_it in a separate process"]
fn child_forks() {
    let folder = PathBuf::from(std::env::var_os("FOLDER").expect("a folder"));
    let (exporter, addr) = install(builder("forks").file_sd(&folder));
    let files = || std::fs::read_dir(&folder).expect("a folder").count();
    assert_eq!(files(), 1);
    let mut child = Forked::child_of(&exporter);
    child.has_shut_down();
    scrape(addr).expect("the parent serves on");
    assert_eq!(files(), 1, "the target is the parent's");
    // Only the parent holds the lock on the target file.
    assert!(
        instrument_runtime::http_sd(&folder)
            .expect("a list")
            .contains(&addr.to_string())
    );
    exporter.blocking_shutdown();
    TcpListener::bind(addr).expect("free, while the child lives");
    assert_eq!(files(), 0);
    drop(child);
}

#[test]
fn a_child_leaves_the_parents_socket_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    run("child_forks_with_a_socket", folder.path());
}

#[test]
#[ignore = "run by a_child_leaves_the_parents_socket_alone in a separate process"]
fn child_forks_with_a_socket() {
    let folder = PathBuf::from(std::env::var_os("FOLDER").expect("a folder"));
    let socket = folder.join("page.sock");
    let exporter = builder("forks").listen_unix(&socket).install();
    let exporter = exporter.expect("installs");
    let mut child = Forked::child_of(&exporter);
    child.has_shut_down();
    UnixStream::connect(&socket).expect("the parent listens");
    exporter.blocking_shutdown();
    assert!(!socket.exists());
    drop(child);
}
