//! Jobs push to a real Pushgateway. Each job is a separate process, which its test
//! controls line by line.

mod exporter_promtool;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use instrument_runtime::{InitError, Objective, instrumented};
use instrument_tests::page::{Page, scrape};
use instrument_tests::program::{Program, is_installed};
use instrument_tests::{DEADLINE, wait_for};
use metrics::{counter, describe_counter, describe_histogram, histogram};
use serde_json::{Value, json};

/// An interval longer than any test: only the push at the shutdown arrives.
const NEVER: u64 = 3_600_000;
const SOON: u64 = 20;
const PUSHES: &str = "instrument_pushes_total";

const IMPORT: Objective = Objective::new("import")
    .success(95.0)
    .latency(Duration::from_millis(1_500), 90.0);

#[instrumented(endpoint = "import", labels(table = table), objective = IMPORT)]
async fn import(table: &str) -> Result<(), ()> {
    if table == "broken" { Err(()) } else { Ok(()) }
}

/// A Pushgateway that starts empty and leaves nothing behind.
struct Gateway {
    addr: SocketAddr,
    _program: Program,
}

impl Gateway {
    /// Starts a gateway. Returns `None` if the Pushgateway is not installed.
    fn start() -> Option<Self> {
        is_installed("prometheus-pushgateway").then(|| Self::at(free_port(), &[]))
    }

    fn at(addr: SocketAddr, arguments: &[&str]) -> Self {
        let program = Program::start(
            Command::new("prometheus-pushgateway")
                .arg(format!("--web.listen-address={addr}"))
                // Keeps everything in memory. Debian's default is a file in /var/lib, to
                // which the distribution's service and any other gateway write too.
                .arg("--persistence.file=")
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        wait_for("the gateway", || {
            TcpStream::connect(addr).is_ok().then_some(())
        });
        Self {
            addr,
            _program: program,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    fn page(&self) -> Page {
        scrape(self.addr).expect("the gateway's page")
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

/// A job that pushes.
struct Job {
    child: Child,
    orders: ChildStdin,
    answers: mpsc::Receiver<Value>,
    /// What it writes to stderr.
    said: mpsc::Receiver<String>,
}

impl Job {
    fn start(url: &str, name: &str, group: &[(&str, &str)], interval: u64) -> Self {
        Self::with(&json!({"url": url, "name": name, "group": group, "interval": interval}))
    }

    /// Starts a job that can be scraped as well.
    fn serving(gateway: SocketAddr, name: &str) -> (Self, SocketAddr) {
        let url = format!("http://{gateway}");
        let settings = json!(
            {"url": url, "name": name, "group": [], "interval": SOON, "serves": true}
        );
        let mut job = Self::with(&settings);
        let addr = job.ask("address");
        (
            job,
            addr.as_str()
                .and_then(|addr| addr.parse().ok())
                .expect("an address"),
        )
    }

    fn with(settings: &Value) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child_pushes", "--ignored", "--nocapture"])
            .env("JOB", settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs");
        let orders = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The test harness prints other lines.
                if let Some((_, answer)) = line.split_once("answer: ") {
                    let _ = sender.send(serde_json::from_str(answer).expect("an answer"));
                }
            }
        });
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // Also in the output of a test that fails.
                eprintln!("{line}");
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            orders,
            answers,
            said,
        }
    }

    fn ask(&mut self, order: &str) -> Value {
        writeln!(self.orders, "{order}").expect("it listens");
        self.answers.recv_timeout(DEADLINE).expect("an answer")
    }

    fn import(&mut self, table: &str, times: u32) {
        self.ask(&format!("import {table} {times}"));
    }

    /// Returns the page that the job itself renders.
    fn page(&mut self) -> (String, Page) {
        let text = self.ask("render").as_str().expect("text").to_owned();
        let page = Page::parse(&text);
        (text, page)
    }

    fn pushes(&mut self, outcome: &str) -> f64 {
        let (_, page) = self.page();
        page.exactly(PUSHES, &[("outcome", outcome)])
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // The job may already have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The gateway must not persist its groups. Otherwise a test would see the groups of
/// another test, or of another gateway on this machine.
#[test]
fn a_gateway_keeps_nothing_on_disk() {
    let Some(gateway) = Gateway::start() else {
        return;
    };
    let status = ureq::get(&format!("{}/api/v1/status", gateway.url()))
        .call()
        .expect("the gateway's status")
        .body_mut()
        .read_to_string()
        .expect("text");
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["data"]["flags"]["persistence.file"], "");
    assert_eq!(gateway.page().series("push_time_seconds"), 0);
}

#[test]
fn a_job_leaves_its_last_counts() {
    let Some(gateway) = Gateway::start() else {
        return;
    };
    let of_host = [("instance", "host-1")];
    let mut job = Job::start(&gateway.url(), "nightly", &of_host, NEVER);
    job.import("orders", 7);
    job.import("broken", 2);
    assert_eq!(gateway.page().series("requests_total"), 0, "not yet");
    assert_eq!(job.ask("shutdown"), Value::Null);

    // The gateway has each sample of the job's own page, with the labels of the group.
    let (text, page) = job.page();
    assert_eq!(exporter_promtool::remarks(&text).unwrap_or_default(), "");
    let pushed = gateway.page();
    let grouped = |labels: &[(&str, &str)], name: &str| {
        let group = [("job", "nightly"), ("instance", "host-1")];
        pushed.exactly(name, &[labels, &group].concat())
    };
    let names: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let mut compared = 0;
    for name in names.iter().copied().collect::<BTreeSet<_>>() {
        for (labels, value) in page.samples(name) {
            // The gateway writes the bounds of buckets in the form of the old text format.
            let labels: Vec<_> = labels
                .iter()
                .map(|(name, value)| match &**name {
                    "le" => ("le", value.strip_suffix(".0").unwrap_or(value)),
                    name => (name, &**value),
                })
                .collect();
            let there = grouped(&labels, name);
            // The process metrics keep changing, and the pushed page does not count its
            // own push yet.
            if !name.starts_with("process_") && name != PUSHES {
                assert_eq!(there, value, "{name}{labels:?}");
            }
            compared += 1;
        }
    }
    println!("{compared} samples arrived");
    for (name, least) in [
        ("process_", 5),
        ("request_latency_seconds_bucket", 36),
        ("tokio_", 5),
    ] {
        let found = names.iter().filter(|found| found.starts_with(name)).count();
        assert!(found >= least, "{found} of {name}");
    }
    let value = |name, table, outcome| {
        let labels = [("table", table), ("outcome", outcome), ("job", "nightly")];
        pushed.value(name, &labels)
    };
    assert_eq!(value("requests_total", "orders", "ok"), Some(7.0));
    assert_eq!(value("requests_total", "broken", "error"), Some(2.0));
    let latency = "request_latency_seconds_count";
    assert_eq!(value(latency, "orders", "ok"), Some(7.0));
    assert_eq!(pushed.sum("rows_total", &[("app_name", "nightly")]), 90.0);
    let target = |sli| {
        pushed.value(
            "request_objective_ratio",
            &[("slo", "import"), ("sli", sli)],
        )
    };
    assert_eq!(target("success"), Some(0.95));
    assert_eq!(target("latency"), Some(0.9));
    assert_eq!(job.pushes("ok"), 1.0);
    assert_eq!(job.pushes("error"), 0.0);

    // The same job on another host is another group. The job's next run replaces its
    // group.
    let mut other = Job::start(&gateway.url(), "nightly", &[("instance", "host-2")], NEVER);
    other.import("orders", 4);
    assert_eq!(other.ask("blocking-shutdown"), Value::Null);
    let mut next = Job::start(&gateway.url(), "nightly", &of_host, NEVER);
    next.import("orders", 3);
    assert_eq!(next.ask("shutdown"), Value::Null);
    let pushed = gateway.page();
    let of = |host| pushed.sum("requests_total", &[("instance", host)]);
    assert_eq!((of("host-1"), of("host-2")), (3.0, 4.0));
    assert_eq!(pushed.sum("requests_total", &[("table", "broken")]), 0.0);
}

#[test]
fn what_is_counted_arrives_at_an_interval_and_the_rest_at_the_end() {
    let Some(gateway) = Gateway::start() else {
        return;
    };
    let arrived = || gateway.page().sum("requests_total", &[("job", "long")]);
    let mut job = Job::start(&gateway.url(), "long", &[], SOON);
    for (imports, sum) in [(5, 5.0), (3, 8.0)] {
        job.import("orders", imports);
        wait_for("a push", || (arrived() == sum).then_some(()));
    }
    let instances: Vec<_> = gateway
        .page()
        .labels("requests_total")
        .map(|labels| labels.get("instance").cloned())
        .collect();
    assert_eq!(instances, [Some(String::new())], "no label of the group");
    // The final push sends new counts long before the next interval.
    job.import("orders", 4);
    assert_eq!(job.ask("shutdown"), Value::Null);
    assert_eq!(arrived(), 12.0);
    let pushes = job.pushes("ok");
    assert!(pushes >= 3.0, "{pushes}");
    assert_eq!(job.pushes("error"), 0.0);

    // A second shutdown neither waits nor pushes.
    job.import("orders", 1);
    assert_eq!(job.ask("shutdown"), Value::Null);
    assert_eq!((arrived(), job.pushes("ok")), (12.0, pushes));
}

#[test]
fn a_dropped_exporter_pushes_on() {
    let Some(gateway) = Gateway::start() else {
        return;
    };
    // A host name works too.
    let url = format!("http://localhost:{}", gateway.addr.port());
    let mut job = Job::start(&url, "careless", &[], SOON);
    job.ask("drop");
    job.import("orders", 6);
    wait_for("a push", || {
        (gateway.page().sum("requests_total", &[]) == 6.0).then_some(())
    });
}

#[test]
fn any_text_names_a_group() {
    let Some(gateway) = Gateway::start() else {
        return;
    };
    for (index, (name, instance)) in [
        ("a/b", "/"),
        ("..", "."),
        ("nächtlich \"eins\" \\", "名前"),
        ("a b?c#d%2Fe", "+&=;,@"),
        ("new\nline", "\t"),
        ("job@base64", ""),
        ("-._~", "%"),
    ]
    .into_iter()
    .enumerate()
    {
        let group = [("instance", instance), ("Shard_1", name)];
        let mut job = Job::start(&gateway.url(), name, &group, NEVER);
        job.import("orders", index as u32 + 1);
        assert_eq!(job.ask("shutdown"), Value::Null, "{name:?} {instance:?}");
        let labels = [
            ("job", name),
            ("app_name", name),
            ("Shard_1", name),
            ("instance", instance),
        ];
        let arrived = gateway.page().value("requests_total", &labels);
        assert_eq!(arrived, Some(index as f64 + 1.0), "{name:?} {instance:?}");
    }
}

#[test]
fn a_gateway_that_is_away_harms_nobody_and_is_told() {
    if !is_installed("prometheus-pushgateway") {
        return;
    }
    let addr = free_port();
    let (mut job, served) = Job::serving(addr, "patient");
    let errors = |job: &mut Job, more: f64| {
        let before = job.pushes("error");
        wait_for("failed pushes", || {
            (job.pushes("error") >= before + more).then_some(())
        });
    };
    errors(&mut job, 3.0);
    assert_eq!(job.pushes("ok"), 0.0);
    let told = job.ask("error").to_string();
    assert!(told.contains("cannot connect"), "{told}");
    job.import("orders", 5);
    let text = ureq::get(&format!("http://{served}/metrics"))
        .call()
        .expect("a page")
        .body_mut()
        .read_to_string()
        .expect("text");
    let page = Page::parse(&text);
    assert_eq!(page.sum("requests_total", &[("table", "orders")]), 5.0);
    assert!(page.exactly(PUSHES, &[("outcome", "error")]) >= 3.0);
    assert_eq!(page.exactly("instrument_scrapes_total", &[]), 1.0);
    assert_eq!(exporter_promtool::remarks(&text).unwrap_or_default(), "");

    let gateway = Gateway::at(addr, &[]);
    wait_for("all counts", || {
        (gateway.page().sum("requests_total", &[]) == 5.0).then_some(())
    });
    wait_for("a push that went well", || {
        (job.pushes("ok") > 0.0 && job.ask("error") == Value::Null).then_some(())
    });

    drop(gateway);
    errors(&mut job, 1.0);
    let asked = Instant::now();
    let told = job.ask("shutdown").to_string();
    let took = asked.elapsed();
    println!("without a gateway: {took:?}, {told}");
    assert!(told.contains("cannot connect"), "{told}");
    // One message about the first failure, and one about the last push.
    for rest in ["The next push has all counts.", "It was the last push,"] {
        let said = job.said.recv_timeout(DEADLINE).expect("a message");
        let start = format!("instrument_runtime: the push to http://{addr}/metrics/job/patient");
        assert!(said.starts_with(&start), "{said}");
        assert!(said.contains("cannot connect"), "{said}");
        assert!(said.contains(rest), "{said}");
    }
    assert!(took < Duration::from_secs(3), "{took:?}");
}

/// Starts a gateway that accepts each push and sends only `says`: nothing, or an
/// incomplete answer.
fn silent_gateway(says: &'static [u8]) -> (SocketAddr, mpsc::Receiver<Taken>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("its address");
    let (sender, taken) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 32];
            let is_whole = stream.read_exact(&mut request).is_ok();
            let _ = stream.write_all(says);
            if is_whole && sender.send(Taken { request, stream }).is_err() {
                break;
            }
        }
    });
    (addr, taken)
}

struct Taken {
    /// The first bytes of the request.
    request: [u8; 32],
    stream: TcpStream,
}

fn is_bounded_with(says: &'static [u8]) {
    let started = Instant::now();
    let (addr, taken) = silent_gateway(says);
    let (mut job, served) = Job::serving(addr, "bounded");
    let first = taken.recv_timeout(DEADLINE).expect("a push");
    // Meanwhile, the page is served and calls are counted.
    job.import("orders", 5);
    let page = scrape(served).expect("a page");
    assert_eq!(page.sum("requests_total", &[("table", "orders")]), 5.0);
    let asked = Instant::now();
    let told = job.ask("blocking-shutdown").to_string();
    let took = asked.elapsed();
    let said = says.escape_ascii();
    println!("with a gateway that says \"{said}\": {took:?}, {told}");
    assert!(told.contains("no answer within 5s"), "{told}");
    assert!(
        (4.0..20.0).contains(&took.as_secs_f64()),
        "{took:?}, which should be 5 to 10 s"
    );
    // The pushes come one after the other, and each connection is closed.
    let pushes: Vec<_> = std::iter::once(first).chain(taken.try_iter()).collect();
    assert_eq!(job.pushes("error"), pushes.len() as f64);
    let in_turn = 1.0 + started.elapsed().as_secs_f64() / 5.0;
    assert!(pushes.len() as f64 <= in_turn, "{} at once", pushes.len());
    assert_eq!(job.pushes("ok"), 0.0);
    for Taken {
        request,
        mut stream,
    } in pushes
    {
        assert_eq!(&request, b"PUT /metrics/job/bounded HTTP/1.");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        std::io::copy(&mut stream, &mut std::io::sink()).expect("its end");
    }
}

#[test]
fn a_gateway_that_never_answers_delays_the_end_by_so_much() {
    std::thread::scope(|scope| {
        for says in [
            &b""[..],
            b"HTTP/1.1 200",
            b"HTTP/1.1 500 Oh\r\ncontent-length: 9\r\n\r\nno",
        ] {
            scope.spawn(|| is_bounded_with(says));
        }
    });
}

#[test]
fn what_the_gateway_refuses_is_told() {
    let Some(gateway) = Gateway::start() else {
        return;
    };
    // The gateway replaces the label of the series with that of the group, and then
    // finds the same series twice.
    let group = [("table", "all")];
    let mut job = Job::start(&gateway.url(), "clash", &group, NEVER);
    job.import("orders", 1);
    job.import("people", 1);
    let told = job.ask("shutdown").to_string();
    println!("{told}");
    assert!(told.contains("400 Bad Request: "), "{told}");
    assert!(told.contains("inconsistent"), "{told}");
    assert_eq!((job.pushes("ok"), job.pushes("error")), (0.0, 1.0));

    let elsewhere = format!("{}/elsewhere", gateway.url());
    let mut job = Job::start(&elsewhere, "lost", &[], NEVER);
    let told = job.ask("shutdown").to_string();
    assert!(told.contains("404 Not Found"), "{told}");
}

#[test]
fn a_refused_installation_pushes_nothing() {
    let gateway = TcpListener::bind("127.0.0.1:0").expect("a free port");
    gateway.set_nonblocking(true).expect("a mode of sockets");
    let addr = gateway.local_addr().expect("its address");
    metrics_util::debugging::DebuggingRecorder::new()
        .install()
        .expect("the first recorder");
    let refused = instrument_runtime::builder("second")
        .without_listener()
        .push(format!("http://{addr}"))
        .install();
    assert!(matches!(refused, Err(InitError::AlreadyInstalled)));
    // The refused installation's thread has ended, so it pushes nothing.
    let error = gateway.accept().expect_err("nobody came");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

/// The bcrypt hash of `secret:/@`.
const HASH: &str = "$2b$04$375WKxk4Es1JqSI0YDorsOxb9q6McSIL4Do0MoMdr4c59fK8SHW9u";

#[test]
fn a_gateway_may_ask_who_pushes_and_stand_under_a_prefix() {
    if !is_installed("prometheus-pushgateway") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("web.yml");
    let users = format!("basic_auth_users:\n  me: {HASH}\n");
    std::fs::write(&config, users).expect("a file");
    let addr = free_port();
    let config = format!("--web.config.file={}", config.display());
    let _gateway = Gateway::at(addr, &[&config, "--web.route-prefix=/push"]);

    let mut job = Job::start(&format!("http://{addr}/push/"), "nobody", &[], NEVER);
    let told = job.ask("shutdown").to_string();
    assert!(told.contains("401 Unauthorized"), "{told}");
    let url = format!("http://me:secret%3A%2F%40@{addr}/push/");
    let mut job = Job::start(&url, "me", &[], NEVER);
    job.import("orders", 3);
    assert_eq!(job.ask("shutdown"), Value::Null);
    let text = ureq::get(&format!("{url}metrics"))
        .header("authorization", "Basic bWU6c2VjcmV0Oi9A")
        .call()
        .expect("the gateway's page")
        .body_mut()
        .read_to_string()
        .expect("text");
    let arrived = Page::parse(&text).sum("requests_total", &[("job", "me")]);
    assert_eq!(arrived, 3.0);
}

#[test]
#[ignore = "run by the other tests in a separate process"]
fn child_pushes() {
    let settings = std::env::var("JOB").expect("the settings");
    let settings: Value = serde_json::from_str(&settings).expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut builder = instrument_runtime::builder(text(&settings["name"]))
        .push(text(&settings["url"]))
        .push_interval(Duration::from_millis(
            settings["interval"].as_u64().expect("a number"),
        ));
    builder = if settings["serves"] == true {
        builder.listen(([127, 0, 0, 1], 0))
    } else {
        builder.without_listener()
    };
    for pair in settings["group"].as_array().expect("a list") {
        builder = builder.push_group(text(&pair[0]), text(&pair[1]));
    }
    let mut exporter = Some(builder.install().expect("installs"));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    instrument_runtime::tokio::watch("job", runtime.handle());
    describe_counter!("rows_total", "Rows that were read.");
    describe_histogram!("file_bytes", "What they took.");
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match (words[0], &exporter) {
            ("import", _) => {
                for _ in 0..words[2].parse().expect("a number") {
                    let _ = futures::executor::block_on(import(words[1]));
                    counter!("rows_total").increment(10);
                    histogram!("file_bytes").record(4.0);
                }
                Value::Null
            }
            ("address", Some(exporter)) => json!(exporter.local_addr()),
            ("render", Some(exporter)) => json!(exporter.render()),
            ("error", Some(exporter)) => {
                json!(exporter.last_push_error().map(|error| error.to_string()))
            }
            ("shutdown", Some(exporter)) => {
                futures::executor::block_on(exporter.shutdown());
                json!(exporter.last_push_error().map(|error| error.to_string()))
            }
            ("blocking-shutdown", Some(exporter)) => {
                exporter.blocking_shutdown();
                json!(exporter.last_push_error().map(|error| error.to_string()))
            }
            ("drop", _) => {
                exporter = None;
                Value::Null
            }
            _ => panic!("no such order: {line}"),
        };
        println!("answer: {answer}");
    }
}
