//! Runs the programs.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use instrument_tests::DEADLINE;
use instrument_tests::page::{Page, scrape};
use instrument_tests::program::Program;

/// A program of this package.
#[derive(Clone, Copy)]
pub(crate) struct Built {
    pub(crate) path: &'static str,
    pub(crate) source: &'static str,
}

/// A program that runs. Dropping it stops the program.
pub(crate) struct Running {
    pub(crate) app: SocketAddr,
    metrics: SocketAddr,
    lines: Receiver<String>,
    _program: Program,
}

impl Built {
    /// Starts the program, and reads its addresses from its first lines.
    pub(crate) fn start(self) -> Running {
        let free = fleet::free_port().expect("a port");
        let mut program = Program::start(
            Command::new(self.path)
                .env("ADDR", "127.0.0.1:0")
                .env("METRICS_ADDR", free.to_string())
                .env("OTEL_EXPORTER_PROMETHEUS_PORT", "0")
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        );
        let mut lines = program.lines();
        let mut addr = |end: &str| -> SocketAddr {
            let line = lines.next();
            let line =
                line.unwrap_or_else(|| panic!("{} ended before it wrote its address", self.path));
            let addr = line.strip_prefix("http://").expect(&line);
            addr.trim_end_matches(end).parse().expect(&line)
        };
        let (app, metrics) = (addr(""), addr("/metrics"));
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || lines.try_for_each(|line| sender.send(line)));
        Running {
            app,
            metrics,
            lines: receiver,
            _program: program,
        }
    }
}

impl Running {
    /// Waits for the next line that the program writes.
    pub(crate) fn next_line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("a line")
    }

    pub(crate) fn page(&self) -> Page {
        scrape(self.metrics).expect("a page")
    }
}
