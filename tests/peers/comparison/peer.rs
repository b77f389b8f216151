//! Runs a server and sends it requests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use instrument_tests::DEADLINE;
use instrument_tests::page::Page;
use instrument_tests::program::Program;
use ureq::http::Request;

/// A server of `src/main.rs`.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// The samples that count requests, or calls.
    pub(crate) counter: &'static str,
    /// The gauge of requests in flight. `None` if the library has no such metric.
    pub(crate) gauge: Option<&'static str>,
}

/// A running server.
pub(crate) struct Peer {
    pub(crate) kind: &'static Kind,
    app: SocketAddr,
    page: SocketAddr,
    agent: ureq::Agent,
    lines: Receiver<String>,
    _program: Program,
}

impl Peer {
    pub(crate) fn start(kind: &'static Kind) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
        command.arg(kind.name).stdout(Stdio::piped());
        // The handler of `/panic` panics, which needs no backtrace.
        command.env("RUST_BACKTRACE", "0");
        let mut program = Program::start(&mut command);
        let all = program.lines();
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || all.for_each(|line| drop(sender.send(line))));
        let address = || {
            let line: String = lines.recv_timeout(DEADLINE).expect("an address");
            line.parse().expect("an address")
        };
        Self {
            kind,
            app: address(),
            page: address(),
            agent: ureq::Agent::config_builder()
                .http_status_as_error(false)
                .allow_non_standard_methods(true)
                .timeout_global(Some(DEADLINE))
                .build()
                .into(),
            lines,
            _program: program,
        }
    }

    /// Sends a request and waits for the response. Returns its status, or `None` if the server
    /// closes the connection instead.
    pub(crate) fn send(&self, method: &str, path: &str, tenant: &str) -> Option<u16> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.app))
            .header("x-tenant", tenant)
            .body(())
            .expect("a request");
        let mut response = self.agent.run(request).ok()?;
        // The connection can be used again once the body has been read.
        response.body_mut().read_to_string().ok()?;
        Some(response.status().as_u16())
    }

    pub(crate) fn get(&self, path: &str) -> Option<u16> {
        self.send("GET", path, "")
    }

    /// Sends a request whose handler never answers, and calls `meanwhile`. Then closes the
    /// connection, and waits until the handler has been dropped.
    pub(crate) fn leave<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        let mut stream = TcpStream::connect(self.app).expect("connects");
        write!(stream, "GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").expect("sends");
        self.hear("waits");
        let result = meanwhile();
        drop(stream);
        self.hear("left");
        self.settle();
        result
    }

    /// Sends a request whose handler panics. Returns once the connection is closed.
    pub(crate) fn panic(&self) {
        let mut stream = TcpStream::connect(self.app).expect("connects");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        write!(
            stream,
            "GET /panic HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .expect("sends");
        // A server that does not catch the panic may reset the connection.
        drop(stream.read_to_end(&mut Vec::new()));
        self.settle();
    }

    /// Waits until the server, which has a single thread, has finished what it does.
    fn settle(&self) {
        assert!(self.get("/metrics").is_some(), "the server does not answer");
    }

    fn hear(&self, line: &str) {
        let heard = self.lines.recv_timeout(DEADLINE);
        assert_eq!(heard.as_deref(), Ok(line), "{}", self.kind.name);
    }

    /// Requests a path of the server that has the page. Returns the `Content-Type` and the
    /// body, or `None` if the status is not 200.
    pub(crate) fn page_server(&self, path: &str, accept: &str) -> Option<(String, Vec<u8>)> {
        let request = self.agent.get(&format!("http://{}{path}", self.page));
        let mut response = request.header("accept", accept).call().expect("a response");
        if response.status() != 200 {
            return None;
        }
        let content_type = response.headers().get("content-type");
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let body = response.body_mut().with_config().limit(u64::MAX);
        Some((content_type, body.read_to_vec().expect("a body")))
    }

    /// Scrapes the page, as text.
    pub(crate) fn text(&self) -> String {
        let (_, page) = self.page_server("/metrics", "text/plain").expect("a page");
        String::from_utf8(page).expect("UTF-8")
    }

    pub(crate) fn scrape(&self) -> Page {
        Page::parse(&self.text())
    }

    /// Returns how many requests have been counted.
    pub(crate) fn counted(&self) -> f64 {
        self.scrape().sum(self.kind.counter, &[])
    }
}
