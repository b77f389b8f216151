//! The page on a Unix socket: who owns the socket's file, and when it may be replaced.
//! Each installation is a separate process.
#![cfg(unix)]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use instrument_tests::{DEADLINE, wait_for};

/// Returns a command that runs one of the tests below as a process.
fn child(name: &str, socket: &Path) -> Command {
    child_of(
        &std::env::current_exe().expect("this program"),
        name,
        socket,
    )
}

fn child_of(program: &Path, name: &str, socket: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env("SOCKET", socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn socket_path() -> PathBuf {
    std::env::var_os("SOCKET").expect("the socket").into()
}

/// Returns what a process prints. The process must end within the deadline.
fn printed(child: Child) -> String {
    let (sender, output) = mpsc::channel();
    let id = child.id();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let output = output.recv_timeout(DEADLINE).unwrap_or_else(|_| {
        let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        panic!("the process does not end");
    });
    let output = output.expect("it runs");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a process that installs on this socket and ends. Returns what the process prints.
fn install(socket: &Path) -> String {
    printed(
        child("child_installs", socket)
            .stdin(Stdio::null())
            .spawn()
            .expect("runs"),
    )
}

#[test]
#[ignore = "run by the other tests in a separate process"]
fn child_installs() {
    let installed = instrument_runtime::builder("child")
        .listen_unix(socket_path())
        .install();
    match installed {
        Ok(exporter) => {
            println!("installed");
            // Waits until the test has finished its checks.
            let _ = std::io::stdin().read_to_string(&mut String::new());
            futures::executor::block_on(exporter.shutdown());
        }
        Err(error) => println!("refused: {error}"),
    }
}

fn page(socket: &Path) -> String {
    let mut stream = UnixStream::connect(socket).expect("connects");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

#[test]
fn a_dead_socket_is_replaced_and_removed_at_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("page.sock");
    drop(UnixListener::bind(&socket).expect("a socket"));
    assert!(socket.exists(), "as a killed process leaves it");
    let mut child = child("child_installs", &socket).spawn().expect("runs");
    wait_for("the page", || UnixStream::connect(&socket).ok());
    assert!(page(&socket).contains("instrument_scrapes_total"));
    drop(child.stdin.take());
    let said = printed(child);
    assert!(said.contains("installed"), "{said}");
    assert!(!socket.exists(), "it is removed");
}

/// The socket is replaced only if connecting to it is refused, not after another error.
#[test]
fn a_socket_that_may_be_in_use_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let is_left = |socket: &Path, says: &str| {
        let said = install(socket);
        assert!(said.contains("refused: "), "{said}");
        assert!(said.contains(says), "{said}");
        let metadata = fs::symlink_metadata(socket).expect("it is still there");
        assert!(metadata.file_type().is_socket());
    };

    let socket = folder.path().join("served.sock");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    is_left(&socket, "another process listens on it");

    // No connection is accepted, and the backlog is full.
    let socket = folder.path().join("busy.sock");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let unbound = tokio::net::UnixSocket::new_stream().expect("a socket");
    unbound.bind(&socket).expect("binds");
    let _listener = unbound.listen(1).expect("listens");
    let waiting = runtime.block_on(async {
        let mut waiting = Vec::new();
        loop {
            match tokio::net::UnixStream::connect(&socket).await {
                Ok(stream) => waiting.push(stream),
                Err(error) => {
                    // On the BSDs, a full backlog gives `ECONNREFUSED`, as a dead socket
                    // does.
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break waiting;
                }
            }
        }
    });
    println!("{} wait in the backlog", waiting.len());
    is_left(&socket, "another process listens on it");

    let socket = folder.path().join("datagrams.sock");
    let _datagrams = UnixDatagram::bind(&socket).expect("a socket");
    is_left(&socket, "may be in use");
}

/// A socket that this user may not connect to may be in use.
#[test]
fn a_socket_without_permission_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("closed.sock");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o000)).expect("it is ours");
    let said = if UnixStream::connect(&socket).is_ok() {
        // root may connect to every socket, so the child process runs as another user.
        const NOBODY: u32 = 65534;
        let program = folder.path().join("program");
        fs::copy(std::env::current_exe().expect("this program"), &program).expect("a copy");
        // This user could remove the file.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("ours");
        let mut command = child_of(&program, "child_installs", &socket);
        command.stdin(Stdio::null()).current_dir(folder.path());
        command.uid(NOBODY).gid(NOBODY);
        // `ETXTBSY`, as long as a child that another test forked during the copy has not
        // called `exec`: until then, it has the copy open for writing, too.
        let child = wait_for("the copy to be closed", || match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => None,
            child => Some(child),
        });
        printed(child.expect("runs"))
    } else {
        install(&socket)
    };
    assert!(said.contains("refused: "), "{said}");
    assert!(said.contains("ermission denied"), "{said}");
    assert!(socket.exists());
}

#[test]
fn only_its_own_socket_is_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = printed(
        child("child_loses_its_path", &folder.path().join("page.sock"))
            .spawn()
            .expect("runs"),
    );
    assert!(said.contains("left alone"), "{said}");
}

#[test]
#[ignore = "run by only_its_own_socket_is_removed in a separate process"]
fn child_loses_its_path() {
    let socket = socket_path();
    let exporter = instrument_runtime::builder("child")
        .listen_unix(&socket)
        .install()
        .expect("installs");
    page(&socket);
    fs::remove_file(&socket).expect("anybody may");
    let _successor = UnixListener::bind(&socket).expect("another process's");
    futures::executor::block_on(exporter.shutdown());
    UnixStream::connect(&socket).expect("the successor listens");
    println!("left alone");
}

/// Processes that start at the same time all find the dead socket. Exactly one gets it.
#[test]
fn of_many_that_start_at_once_one_serves() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("page.sock");
        drop(UnixListener::bind(&socket).expect("a socket"));
        let children: Vec<Child> = (0..6)
            .map(|_| child("child_installs", &socket).spawn().expect("runs"))
            .collect();
        // The refused processes end by themselves. The process that serves ends when its
        // standard input is closed.
        let ends: Vec<_> = children
            .into_iter()
            .map(|mut child| (child.stdin.take(), child))
            .collect();
        let mut running = ends;
        wait_for("the end of the refused", || {
            running.retain_mut(|(_, child)| child.try_wait().is_ok_and(|end| end.is_none()));
            (running.len() <= 1).then_some(())
        });
        let (stdin, child) = running.pop().expect("one of them serves");
        page(&socket);
        drop(stdin);
        assert!(printed(child).contains("installed"));
        assert!(!socket.exists());
    }
}
