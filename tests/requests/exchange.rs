//! Sends the rows of the table to a server in this process, and waits until each is counted.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use instrument_runtime::Exporter;
use instrument_tests::{wait_for, wait_until};

use crate::client::Client;
use crate::counted::Counted;
use crate::settings::{Settings, TENANT};
use crate::table::{KINDS, Kind};
use crate::{actix_app, axum_app, handlers, install, tower_app};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framework {
    Axum,
    ActixWeb,
    Tower,
}

/// Sends each kind of request. With the setting `skip`, sends it once to be skipped, too.
pub(crate) fn every_kind_is_counted_once(framework: Framework, settings: Settings) {
    let mut server = Server::start(framework, settings);
    for kind in KINDS {
        server.send(kind, false);
        if settings.skip {
            server.send(kind, true);
        }
    }
}

/// An application that runs in this process, and the counts it should have.
#[derive(Debug)]
struct Server {
    framework: Framework,
    settings: Settings,
    addr: SocketAddr,
    exporter: Exporter,
    expected: Counted,
}

impl Server {
    fn start(framework: Framework, settings: Settings) -> Self {
        let exporter = install();
        let (tell, told) = mpsc::channel();
        let tell = move |addr| tell.send(addr).expect("somebody asks");
        std::thread::spawn(move || match framework {
            Framework::Axum => axum_app::serve(settings, tell),
            Framework::ActixWeb => actix_app::serve(settings, tell),
            Framework::Tower => tower_app::serve(settings, tell),
        });
        Self {
            framework,
            settings,
            addr: told.recv().expect("serves"),
            exporter,
            expected: Counted::default(),
        }
    }

    /// Sends a request, closes the connection, and waits until the request is counted.
    fn send(&mut self, kind: &Kind, is_skipped: bool) {
        let skipped = if is_skipped { ", skipped" } else { "" };
        eprintln!("{:?}: {}{skipped}", self.framework, kind.name);
        let mut headers = vec![("x-tenant", TENANT)];
        if is_skipped {
            headers.push(("x-skip", "yes"));
        }
        let mut exchange = Exchange {
            client: Client::with_headers(self.addr, &headers),
            lines: self.lines(kind, is_skipped),
            has_sizes: self.settings.response_sizes && !is_skipped && {
                // actix-web converts errors of middleware to responses outside the layer.
                !(kind.is_answered_by_middleware && self.framework == Framework::ActixWeb)
            },
            server: self,
        };
        (kind.send)(&mut exchange);
        let expected = exchange.expected(Stage::Over);
        drop(exchange);
        self.wait_until_counted(&expected);
        self.expected = expected;
    }

    /// Returns what a request adds to `requests_total` with these settings.
    fn lines(&self, kind: &Kind, is_skipped: bool) -> Vec<String> {
        let Self {
            framework,
            settings,
            ..
        } = *self;
        let lines = match kind.until_body_end {
            _ if is_skipped => kind.skipped,
            Some(lines) if settings.until_body_end => lines,
            _ => kind.counted,
        };
        let module = match framework {
            Framework::Axum => "axum_app",
            Framework::ActixWeb => "actix_app",
            Framework::Tower => "tower_app",
        };
        let lines = lines.iter().map(|line| {
            let mut line = line.replace("{app}", module);
            // A function that is counted by itself does not have the labels of the layer, and
            // the handler's own label of the same name takes the place of the layer's.
            let is_labelled = settings.label && !is_skipped && is_request(&line);
            if is_labelled && !line.contains(" tenant=") {
                line += &format!(" tenant={TENANT}");
            }
            line
        });
        lines.collect()
    }

    fn wait_until_counted(&self, expected: &Counted) {
        let difference = || Counted::of(&self.exporter.render()).difference(expected);
        wait_until("the requests to be counted", difference, Vec::is_empty);
    }
}

/// Returns whether a line of [`Kind::counted`] is that of a request, and not that of a
/// function by itself.
fn is_request(line: &str) -> bool {
    !line.starts_with("- ")
}

/// One kind of request that is being sent, on a connection of its own.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) client: Client,
    server: &'a Server,
    /// What it adds to `requests_total`.
    lines: Vec<String>,
    /// Whether the sizes of its responses are measured.
    has_sizes: bool,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its handler or middleware waits for ever.
    Handled,
    /// The head of its response has gone out.
    InBody,
    /// The connection is closed.
    Over,
}

impl Exchange<'_> {
    /// Sends a request, and reads the response to its end.
    pub(crate) fn answers(&mut self, line: &str, body: Option<&str>, status: u16) {
        self.client.request(line, body);
        self.answered(status, line);
    }

    /// Reads a response to its end. Returns the body.
    pub(crate) fn answered(&mut self, status: u16, line: &str) -> String {
        let head = self.client.head().expect("a response");
        assert_eq!(head.status, status, "{line}");
        self.client.body(&head)
    }

    pub(crate) fn gives_no_answer(&mut self, line: &str) {
        self.client.request(line, None);
        assert!(self.client.head().is_none(), "{line} is answered");
    }

    /// Sends a request, and returns once it has reached the point where the client hangs up.
    pub(crate) fn hangs_up(&mut self, line: &str) {
        let reached = || handlers::REACHED.load(Ordering::Relaxed);
        let before = reached();
        self.client.request(line, None);
        wait_for(
            "the request to reach the point where the client hangs up",
            || (reached() == before + 1).then_some(()),
        );
        self.wait_until_counted(Stage::Handled);
    }

    /// Sends a request, and reads the first chunk of its response.
    pub(crate) fn begins(&mut self, line: &str) {
        self.client.request(line, None);
        let head = self.client.head().expect("a head");
        assert_eq!(head.status, 200);
        assert_eq!(self.client.chunk().as_deref(), Some("first"));
        self.check_while_open();
    }

    /// Lets the body go on, and reads it to its end. Returns the second chunk.
    pub(crate) fn goes_on(&mut self) -> Option<String> {
        handlers::RELEASED.add_permits(1);
        let second = self.client.chunk();
        assert_eq!(self.client.chunk(), None);
        second
    }

    /// Waits until the page is right while the connection is open after the head.
    pub(crate) fn check_while_open(&self) {
        self.wait_until_counted(Stage::InBody);
    }

    fn wait_until_counted(&self, stage: Stage) {
        self.server.wait_until_counted(&self.expected(stage));
    }

    /// Returns what the page should show.
    fn expected(&self, stage: Stage) -> Counted {
        let Server {
            expected, settings, ..
        } = self.server;
        let mut expected = expected.clone();
        let responses = &self.client.responses;
        let is_open = !responses.iter().all(|response| response.is_complete);
        for line in &self.lines {
            let is_in_progress = match stage {
                // What has not been cancelled had ended before.
                Stage::Handled => line.contains(" cancelled"),
                Stage::InBody => settings.until_body_end && is_request(line) && is_open,
                Stage::Over => false,
            };
            match is_in_progress {
                true => expected.add_in_progress(line),
                false => expected.add(&[line.as_str()]),
            }
        }
        let requests = self.lines.iter().filter(|line| is_request(line));
        let requests: Vec<_> = requests.collect();
        if self.has_sizes && !requests.is_empty() && !responses.is_empty() {
            assert_eq!(requests.len(), responses.len(), "one response for each");
            for (line, response) in requests.into_iter().zip(responses) {
                if response.is_complete || stage == Stage::Over {
                    expected.add_size(line, *response);
                }
            }
        }
        expected
    }
}
