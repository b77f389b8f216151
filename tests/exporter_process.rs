//! An exporter in a separate process, controlled by the test line by line, so that the
//! cost of an attack can be measured for that process alone.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use instrument_runtime::{Exporter, instrumented};
use instrument_tests::DEADLINE;

/// The prefix of each line for the test. The test harness prints other lines.
const ANSWER: &str = "answer: ";
/// The number of clock ticks per second in the times of `/proc/<pid>/stat`. It is 100 on
/// every Linux since 2.6.
const TICKS_PER_SECOND: u64 = 100;

#[derive(Debug)]
pub(crate) struct Victim {
    child: Child,
    orders: ChildStdin,
    answers: mpsc::Receiver<String>,
    pub(crate) addr: SocketAddr,
}

/// A process by its id, which any thread can inspect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(u32);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) threads: u64,
    pub(crate) rss_kb: u64,
    pub(crate) descriptors: usize,
    pub(crate) cpu: Duration,
}

impl Victim {
    /// Starts a victim. The test binary must have a test `child_serves` that calls
    /// [`obey`].
    pub(crate) fn start() -> Self {
        Self::run("exec \"$0\" \"$@\"")
    }

    pub(crate) fn with_descriptors(most: u32) -> Self {
        Self::run(&format!("ulimit -n {most}; exec \"$0\" \"$@\""))
    }

    /// Starts a victim that serves on this address instead of a free port.
    pub(crate) fn at(addr: SocketAddr) -> Self {
        Self::run(&format!("EXPORTER_AT={addr} exec \"$0\" \"$@\""))
    }

    /// Starts a victim that waits this long for a last scrape when it shuts down.
    pub(crate) fn waiting_for(last_scrape: Duration) -> Self {
        let seconds = last_scrape.as_secs();
        Self::run(&format!("LAST_SCRAPE={seconds} exec \"$0\" \"$@\""))
    }

    fn run(script: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(program)
            .args(["--exact", "child_serves", "--ignored", "--nocapture"])
            // Makes `free` return memory to the system. With its dynamic threshold, glibc
            // sometimes keeps blocks of the size of a page.
            .env("MALLOC_MMAP_THRESHOLD_", "131072")
            .env("MALLOC_TRIM_THRESHOLD_", "131072")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("runs");
        let orders = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some((_, answer)) = line.split_once(ANSWER) {
                    let _ = sender.send(answer.to_owned());
                }
            }
        });
        let addr = answers
            .recv_timeout(DEADLINE)
            .expect("it starts")
            .parse()
            .expect("an address");
        Self {
            child,
            orders,
            answers,
            addr,
        }
    }

    pub(crate) fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("it listens");
    }

    pub(crate) fn answer(&self) -> String {
        self.answers.recv_timeout(DEADLINE).expect("an answer")
    }

    pub(crate) fn ask(&mut self, order: &str) -> String {
        self.order(order);
        self.answer()
    }

    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }

    pub(crate) fn usage(&self) -> Usage {
        self.process().usage()
    }

    /// Waits until the process has released what an attack made it allocate or open.
    pub(crate) fn recovers(&self, before: Usage, more_kb: u64) -> Usage {
        let started = Instant::now();
        loop {
            let last = self.usage();
            let is_back = last.threads <= before.threads
                && last.descriptors <= before.descriptors
                && last.rss_kb <= before.rss_kb + more_kb;
            if is_back {
                return last;
            }
            assert!(
                started.elapsed() < DEADLINE,
                "{last:?} did not return to {before:?} plus {more_kb} kB"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // The process may already have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    pub(crate) fn usage(self) -> Usage {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.0)).expect("it runs");
        let status = read("status");
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|line| line.split_whitespace().next());
            word.and_then(|word| word.parse().ok()).expect(name)
        };
        // The second field is the process name in parentheses. It may contain anything.
        let stat = read("stat");
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        let times: Vec<u64> = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|time| time.parse().expect("a time"))
            .collect();
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.0));
        Usage {
            threads: field("Threads:"),
            rss_kb: field("VmRSS:"),
            descriptors: descriptors.map_or(0, Iterator::count),
            cpu: Duration::from_millis(times.iter().sum::<u64>() * 1000 / TICKS_PER_SECOND),
        }
    }
}

#[instrumented(endpoint = "/busy", method = "GET", labels(tenant = tenant))]
async fn busy(tenant: u32) {
    std::hint::black_box(tenant);
}

/// Runs the child process until its standard input is closed.
pub(crate) fn obey() {
    let at = std::env::var("EXPORTER_AT").unwrap_or_else(|_| "127.0.0.1:0".to_owned());
    let at: SocketAddr = at.parse().expect("an address");
    let last_scrape = std::env::var("LAST_SCRAPE").unwrap_or_else(|_| "0".to_owned());
    let exporter = instrument_runtime::builder("victim")
        .listen(at)
        .wait_for_last_scrape(Duration::from_secs(last_scrape.parse().expect("seconds")))
        .max_series(10_000)
        .install()
        .expect("installs");
    let addr = exporter.local_addr().expect("a TCP listener");
    println!("{ANSWER}{addr}");
    let mut child = Obedient {
        exporter,
        files: Vec::new(),
        starving: Arc::default(),
    };
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let (order, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let answer = child.follow(order, number.parse().expect("a number"));
        println!("{ANSWER}{answer}");
    }
}

struct Obedient {
    exporter: Exporter,
    files: Vec<File>,
    starving: Arc<AtomicBool>,
}

impl Obedient {
    fn follow(&mut self, order: &str, number: u32) -> String {
        match order {
            "series" => (0..number).for_each(|tenant| {
                futures::executor::block_on(busy(tenant));
            }),
            "take-descriptors" => {
                while let Ok(file) = File::open("/dev/null") {
                    self.files.push(file);
                }
                return self.files.len().to_string();
            }
            "free-descriptors" => self.files.clear(),
            "starve" => self.starve(number),
            "feed" => self.starving.store(false, Ordering::Relaxed),
            "shutdown" => futures::executor::block_on(self.exporter.shutdown()),
            "take-port" => {
                let addr = self.exporter.local_addr().expect("a TCP listener");
                return match std::net::TcpListener::bind(addr) {
                    Ok(_) => "taken".to_owned(),
                    Err(error) => error.to_string(),
                };
            }
            _ => panic!("no such order: {order}"),
        }
        "done".to_owned()
    }

    /// Starts an async runtime whose workers all compute without yielding.
    fn starve(&self, workers: u32) {
        self.starving.store(true, Ordering::Relaxed);
        for worker in 0..workers {
            let starving = Arc::clone(&self.starving);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                runtime.expect("a runtime").block_on(async {
                    while starving.load(Ordering::Relaxed) {
                        busy(worker).await;
                    }
                });
            });
        }
    }
}
