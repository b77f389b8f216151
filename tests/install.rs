//! Refused installations leave nothing behind: after a refusal for each possible reason,
//! a correct installation succeeds in the same process, and a second one is refused.

use std::convert::Infallible;
#[cfg(target_os = "linux")]
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
#[cfg(target_os = "linux")]
use std::sync::Mutex;
use std::sync::OnceLock;
use std::time::Duration;

use instrument_runtime::{Builder, InitError, MetricNames, builder, instrumented};
use instrument_tests::page::{Page, scrape};
use instrument_tests::wait_for;

#[instrumented(endpoint = "/test", method = "GET")]
async fn test() -> &'static str {
    "test"
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

#[test]
fn every_error_says_what_is_wrong_and_leaves_nothing_behind() {
    let occupied = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let occupied_addr = occupied.local_addr().expect("its address");
    let before = threads();

    let refuse = |what: &str, builder: instrument_runtime::Builder, named: &str| -> InitError {
        let error = builder.install().expect_err(what);
        let message = error.to_string();
        assert!(message.contains(named), "{what}: {message}");
        error
    };
    let any = || builder("webapp_1").listen(([127, 0, 0, 1], 0));

    refuse(
        "a taken port",
        any().listen(occupied_addr),
        &occupied_addr.to_string(),
    );
    refuse("a bad range", any().allow("10.0.0.0/40"), "10.0.0.0/40");
    refuse(
        "a bad bucket",
        any().buckets(&[2.0, 1.0]),
        "1 comes after 2",
    );
    refuse("a bad label", any().global_label("le", "x"), "\"le\"");
    refuse(
        "a bad name",
        any().names(MetricNames::default().requests_total("a b")),
        "\"a b\"",
    );
    refuse("no series", any().max_series(0), "max_series(0)");
    refuse(
        "a bad URL",
        any().prometheus_url("prometheus:9090"),
        "prometheus_url(\"prometheus:9090\")",
    );
    #[cfg(unix)]
    {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "precious").expect("a file");
        refuse(
            "a file in the way",
            any().listen_unix(&file),
            "not a socket",
        );
        assert_eq!(std::fs::read(&file).expect("still there"), b"precious");
    }
    assert_eq!(threads(), before, "no thread is left");

    let exporter = any().install().expect("a good one after the bad ones");
    let addr = exporter.local_addr().expect("a TCP listener");
    refuse("a second one", any(), "already");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async { test().await });
    let page = scrape(addr).expect("a page");
    assert_eq!(
        page.value(
            "requests_total",
            &[("app_name", "webapp_1"), ("http_status", "200")]
        ),
        Some(1.0)
    );

    runtime.block_on(exporter.shutdown());
    assert!(TcpStream::connect(addr).is_err(), "the port is closed");
    TcpListener::bind(addr).expect("and free again");
    runtime.block_on(async { test().await });
    assert!(
        exporter.render().contains("requests_total"),
        "counting goes on"
    );
}

/// Runs this test binary again with other environment variables.
#[test]
fn environment_is_read_and_checked() {
    let run = |host: &str, port: &str| {
        let output = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args([
                "--exact",
                "child_installs_from_the_environment",
                "--ignored",
                "--nocapture",
            ])
            .env("OTEL_EXPORTER_PROMETHEUS_HOST", host)
            .env("OTEL_EXPORTER_PROMETHEUS_PORT", port)
            .output()
            .expect("runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (host, port, expected) in [
        ("127.0.0.1", "0", "installed on 127.0.0.1:"),
        ("localhost", "0", "installed on "),
        ("[::1]", "0", "installed on [::1]:"),
        (
            "127.0.0.1",
            "65536",
            "OTEL_EXPORTER_PROMETHEUS_PORT=\"65536\" is not a port",
        ),
        (
            "127.0.0.1",
            "http",
            "OTEL_EXPORTER_PROMETHEUS_PORT=\"http\" is not a port",
        ),
        (
            "no such host",
            "0",
            "OTEL_EXPORTER_PROMETHEUS_HOST=\"no such host\" is not an address",
        ),
    ] {
        let printed = run(host, port);
        assert!(
            printed.contains(expected),
            "{host}:{port} printed {printed}"
        );
    }
}

#[test]
#[ignore = "run by environment_is_read_and_checked in a separate process"]
fn child_installs_from_the_environment() {
    match instrument_runtime::init("child") {
        Ok(exporter) => {
            let addr: SocketAddr = exporter.local_addr().expect("a TCP listener");
            println!("installed on {addr}");
        }
        Err(error) => println!("{error}"),
    }
}

/// Runs the child below with these variables, and returns what it prints.
fn described(name: &str, attributes: &str) -> String {
    let output = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "child_describes_itself",
            "--ignored",
            "--nocapture",
        ])
        .env("OTEL_SERVICE_NAME", name)
        .env("OTEL_RESOURCE_ATTRIBUTES", attributes)
        .output()
        .expect("runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn target_info_describes_the_application() {
    let page = described("", "deployment.environment.name=pro%20d,service.version=1");
    assert!(
        page.contains(
            "# TYPE target_info gauge\n\
             target_info{deployment_environment_name=\"pro d\",service_name=\"child\",\
             service_version=\"2.0\"} 1\n"
        ),
        "{page}"
    );
    assert!(page.contains("requests_total{endpoint=\"/test\""), "{page}");
    assert!(!page.contains("app_name"), "{page}");
    let page = described("other", "");
    assert!(
        page.contains("target_info{service_name=\"other\",service_version=\"2.0\"} 1\n"),
        "{page}"
    );
    let refused = described("", "a=%zz");
    assert!(
        refused.contains("OTEL_RESOURCE_ATTRIBUTES=\"a=%zz\" contains \"a=%zz\""),
        "{refused}"
    );
}

#[test]
#[ignore = "run by target_info_describes_the_application in a process of its own"]
fn child_describes_itself() {
    let installed = builder("child")
        .without_listener()
        .version("2.0")
        .app_name_label(false)
        .install();
    metrics::counter!("uploads").increment(1);
    match installed {
        Ok(exporter) => println!("{}", exporter.render()),
        Err(error) => println!("{error}"),
    }
}

/// Runs the child below with this list of known methods, and returns what it prints.
fn methods_counted(known: &str) -> String {
    let output = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "child_counts_methods",
            "--ignored",
            "--nocapture",
        ])
        .env("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", known)
        .output()
        .expect("runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn known_methods_come_from_the_environment() {
    for (known, counted) in [
        ("", "GET:1 QUERY:1 _OTHER:2"),
        ("PROPFIND, GET,", "GET:1 PROPFIND:1 _OTHER:2"),
        ("get", "_OTHER:4"),
    ] {
        let printed = methods_counted(known);
        assert!(printed.contains(counted), "{known:?}: {printed}");
    }
    let refused = methods_counted("GET,PROP FIND");
    let problem = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS=\"GET,PROP FIND\" contains \
                   \"PROP FIND\", which is not an HTTP method";
    assert!(refused.contains(problem), "{refused}");
}

#[tokio::test]
#[ignore = "run by known_methods_come_from_the_environment in a process of its own"]
async fn child_counts_methods() {
    let exporter = match builder("child").without_listener().install() {
        Ok(exporter) => exporter,
        Err(error) => return println!("{error}"),
    };
    let mut service = tower::ServiceBuilder::new()
        .layer(instrument_runtime::tower::layer())
        .service_fn(async |_: http::Request<()>| Ok::<_, Infallible>(http::Response::new(())));
    for method in ["GET", "QUERY", "PROPFIND", "odd"] {
        let request = http::Request::builder().method(method).body(());
        let request = request.expect("a request");
        let Ok(_) = tower::Service::call(&mut service, request).await;
    }
    let page = Page::parse(&exporter.render());
    let counted: Vec<String> = page
        .samples("requests_total")
        .map(|(labels, count)| format!("{}:{count}", labels["method"]))
        .collect();
    println!("{}", counted.join(" "));
}

/// The name of a case, the refused settings, and a check of the error.
type Case = (&'static str, fn() -> Builder, fn(&InitError) -> bool);

fn any() -> Builder {
    builder("webapp_1").listen(([127, 0, 0, 1], 0))
}

/// Returns an address on which this process listens until it ends.
fn occupied() -> SocketAddr {
    static OCCUPIED: OnceLock<TcpListener> = OnceLock::new();
    let listener = OCCUPIED.get_or_init(|| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listener.local_addr().expect("its address")
}

const PORT: &str = "OTEL_EXPORTER_PROMETHEUS_PORT";
const HOST: &str = "OTEL_EXPORTER_PROMETHEUS_HOST";

const CASES: &[Case] = &[
    (
        "taken-port",
        || any().listen(occupied()),
        |error| matches!(error, InitError::Listen { addr, .. } if *addr == occupied()),
    ),
    (
        "no-address-of-ours",
        || any().listen(([192, 0, 2, 1], 0)),
        |error| matches!(error, InitError::Listen { .. }),
    ),
    #[cfg(unix)]
    (
        "no-folder",
        || any().listen_unix("/no/such/folder/socket"),
        |error| matches!(error, InitError::ListenUnix { .. }),
    ),
    #[cfg(unix)]
    (
        "taken-socket",
        || {
            let path = std::env::temp_dir().join(format!("taken-{}", std::process::id()));
            let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
            // Keeps the socket open until the process ends.
            std::mem::forget(listener);
            any().listen_unix(path)
        },
        |error| match error {
            InitError::ListenUnix { path, .. } => {
                std::fs::remove_file(path).expect("a socket's file");
                error.to_string().contains("another process")
            }
            _ => false,
        },
    ),
    (
        "port-is-no-number",
        || builder("from the environment"),
        |error| matches!(error, InitError::Environment { variable, .. } if *variable == PORT),
    ),
    #[cfg(unix)]
    (
        "host-is-no-text",
        || builder("from the environment"),
        |error| matches!(error, InitError::Environment { variable, .. } if *variable == HOST),
    ),
    (
        "allow",
        || any().allow("10.0.0.0/8").allow("10.0.0"),
        |error| matches!(error, InitError::Allow { value, .. } if value == "10.0.0"),
    ),
    (
        "known-method",
        || any().known_methods(["GET", "PROP FIND"]),
        |error| matches!(error, InitError::KnownMethod { method, .. } if method == "PROP FIND"),
    ),
    (
        "global-label",
        || {
            any()
                .global_label("region", "eu")
                .global_label("app_name", "x")
        },
        |error| matches!(error, InitError::GlobalLabel { name, .. } if name == "app_name"),
    ),
    (
        "buckets",
        || any().buckets(&[0.5, f64::NAN]),
        |error| matches!(error, InitError::Buckets { problem, .. } if problem.contains("NaN")),
    ),
    (
        "metric-name",
        || any().names(MetricNames::default().requests_in_progress("in progress")),
        |error| matches!(error, InitError::MetricName { name, .. } if name == "in progress"),
    ),
    (
        "metric-name-of-the-exporter",
        || any().names(MetricNames::default().requests_total("instrument_scrapes_total")),
        |error| matches!(error, InitError::MetricName { .. }),
    ),
    (
        "max-series",
        || any().max_series(0),
        |error| matches!(error, InitError::MaxSeries),
    ),
    (
        "push-url",
        || any().push("push:9091"),
        |error| is_push(error, ".push(\"push:9091\")", "no scheme"),
    ),
    (
        "push-over-tls",
        || any().push("https://me:secret@push:9091"),
        |error| is_push(error, ".push(\"https://…@push:9091\")", "TLS"),
    ),
    (
        "push-interval",
        || any().push(GATEWAY).push_interval(Duration::ZERO),
        |error| is_push(error, ".push_interval(0ns)", "a second or more"),
    ),
    (
        "push-job",
        || any().push(GATEWAY).push_job(""),
        |error| is_push(error, ".push_job(\"\")", "is empty"),
    ),
    (
        "push-without-a-job",
        || builder("").without_listener().push(GATEWAY),
        |error| is_push(error, GATEWAY, ".push_job("),
    ),
    (
        "push-group-without-a-name",
        || any().push(GATEWAY).push_group("", "a"),
        |error| is_push(error, ".push_group(\"\", \"a\")", "is not a label name"),
    ),
    (
        "push-group-of-no-name",
        || any().push(GATEWAY).push_group("a-b", "c"),
        |error| is_push(error, "\"a-b\"", "is not a label name"),
    ),
    (
        "push-group-of-prometheus",
        || any().push(GATEWAY).push_group("__a", "b"),
        |error| is_push(error, "\"__a\"", "Prometheus reserves"),
    ),
    (
        "push-group-of-a-series",
        || any().push(GATEWAY).push_group("endpoint", "a"),
        |error| is_push(error, "\"endpoint\"", "by the exporter"),
    ),
    (
        "push-group-of-all-series",
        || {
            let region = any().push(GATEWAY).global_label("region", "eu");
            region.push_group("region", "us")
        },
        |error| is_push(error, "\"region\"", "global label"),
    ),
    (
        "push-group-of-the-job",
        || any().push(GATEWAY).push_group("job", "a"),
        |error| is_push(error, "\"job\"", ".push_job("),
    ),
    (
        "push-group-twice",
        || {
            let once = any().push(GATEWAY).push_group("instance", "a");
            once.push_group("instance", "b")
        },
        |error| is_push(error, "\"instance\", \"b\"", "twice"),
    ),
    #[cfg(target_os = "linux")]
    (
        "no-thread",
        || {
            // The port takes the last descriptor, so the event loop of the exporter's
            // thread gets none.
            leave_one_descriptor();
            any()
        },
        |error| {
            drop(TAKEN.lock().map(|mut files| files.clear()));
            matches!(error, InitError::Thread { .. })
        },
    ),
];

/// Nothing is pushed to this gateway: the installation is refused first, or the process
/// ends before the first interval.
const GATEWAY: &str = "http://192.0.2.1:9091";

fn is_push(error: &InitError, named: &str, why: &str) -> bool {
    matches!(error, InitError::Push { setting, problem, .. }
        if setting.contains(named) && problem.contains(why) && !setting.contains("secret"))
}

/// The files that were opened to use up all descriptors.
#[cfg(target_os = "linux")]
static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

#[cfg(target_os = "linux")]
fn leave_one_descriptor() {
    let mut files = TAKEN.lock().expect("nobody panicked");
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    drop(files.pop().expect("many"));
}

#[test]
fn a_good_installation_follows_each_refusal() {
    let program = std::env::current_exe().expect("this program");
    for (case, ..) in CASES {
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", "ulimit -n 100; exec \"$0\" \"$@\""])
            .arg(&program)
            .args(["--exact", "child_is_refused_and_installs"])
            .args(["--ignored", "--nocapture"])
            .env("CASE", case)
            .env_remove(HOST)
            .env_remove(PORT);
        match *case {
            "port-is-no-number" => command.env(PORT, "-1"),
            #[cfg(unix)]
            "host-is-no-text" => {
                use std::os::unix::ffi::OsStrExt;
                command.env(HOST, std::ffi::OsStr::from_bytes(b"\xff"))
            }
            _ => &mut command,
        };
        let output = command.output().expect("runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        println!("{}", printed.trim());
        assert!(
            output.status.success() && printed.contains(&format!("{case}: ")),
            "{case}: {printed} {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
#[ignore = "run by a_good_installation_follows_each_refusal in a separate process"]
fn child_is_refused_and_installs() {
    let name = std::env::var("CASE").expect("the case");
    let (_, refused, is_right) = CASES
        .iter()
        .find(|(case, ..)| *case == name)
        .expect("a case of this name");
    let before = threads();
    let error = refused().install().expect_err("it is refused");
    assert!(is_right(&error), "{error:?}");
    println!("{name}: {error}");
    assert!(!error.to_string().is_empty());
    wait_for("the end of its thread", || {
        (threads() == before).then_some(())
    });

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async { test().await });
    let exporter = any().install().expect("a good one");
    runtime.block_on(async { test().await });
    let addr = exporter.local_addr().expect("a TCP listener");
    let page = scrape(addr).expect("a page");
    assert_eq!(
        page.value("requests_total", &[("app_name", "webapp_1")]),
        Some(1.0)
    );
    let again = any().install().expect_err("a second one");
    assert!(matches!(again, InitError::AlreadyInstalled), "{again:?}");
    // The first installation still works.
    scrape(addr).expect("a page");
}
