//! Service discovery through the public API: which settings are refused, and what
//! `http_sd` returns for a folder.

use std::fs;
use std::net::TcpListener;

use instrument_runtime::{InitError, http_sd};
use serde_json::{Value, json};

#[test]
fn a_refused_install_leaves_no_target_and_no_port() {
    let folder = tempfile::tempdir().expect("a folder");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = free.local_addr().expect("an address");
    drop(free);
    let builder = || instrument_runtime::builder("refused").listen(addr);
    let check = |error: InitError, says: &str| {
        let message = error.to_string();
        assert!(message.contains(says), "{message}");
        let left = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 0, "{message}");
        TcpListener::bind(addr).expect("the port is free again");
    };

    let missing = folder.path().join("missing");
    let refused = builder().file_sd(&missing).install();
    check(refused.expect_err("refused"), &missing.to_string_lossy());
    // A folder that exists, in which no file can be created.
    #[cfg(target_os = "linux")]
    {
        let refused = builder().file_sd("/proc").install();
        check(refused.expect_err("refused"), "\"/proc\"");
        let refused = builder().file_sd("/proc/version").install();
        check(refused.expect_err("refused"), "\"/proc/version\"");
    }
    let refused = builder()
        .file_sd(folder.path())
        .advertise("nowhere")
        .install();
    check(refused.expect_err("refused"), "\"nowhere\"");
    let refused = builder()
        .listen(([0, 0, 0, 0], addr.port()))
        .file_sd(folder.path())
        .install();
    let name = folder.path().to_string_lossy();
    check(refused.expect_err("refused"), &name);
    let refused = instrument_runtime::builder("refused")
        .without_listener()
        .file_sd(folder.path())
        .install();
    check(refused.expect_err("refused"), &name);

    metrics::set_global_recorder(metrics::NoopRecorder).expect("the first recorder");
    let refused = builder().file_sd(folder.path()).install();
    check(refused.expect_err("refused"), "installed in this process");
}

/// The answer must be a JSON list, whatever files are in the folder.
#[test]
fn a_folder_without_instances_is_an_empty_list() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = || -> Value {
        let text = http_sd(folder.path()).expect("a list");
        serde_json::from_str(&text).expect("JSON")
    };
    assert_eq!(list(), json!([]));
    for (name, contents) in [
        ("static.json", r#"[{"targets": ["static:1"]}]"#),
        ("instrumented-static.json", r#"[{"targets": ["static:2"]}]"#),
        // The folder also has a dead instance's file, an unfinished file, and a file that is
        // not JSON.
        (
            "instrumented-x-1-0123456789abcdef.json",
            r#"[{"targets": ["dead:1"]}]"#,
        ),
        ("instrumented-x-2-0123456789abcdef.json.tmp", "[{"),
        ("instrumented-x-3-0123456789abcdef.json", "\u{0}"),
    ] {
        fs::write(folder.path().join(name), contents).expect("written");
    }
    assert_eq!(list(), json!([]));
    assert_eq!(
        fs::read_dir(folder.path()).expect("a folder").count(),
        5,
        "`http_sd` removes no file"
    );
    http_sd(folder.path().join("missing"))
        .expect_err("a missing folder is an error, not an empty list");
}
