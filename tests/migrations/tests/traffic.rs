//! Sends requests. Each has a connection of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use instrument_tests::DEADLINE;
use instrument_tests::random::Random;

use crate::chapter::{End, Request, Requests};

/// How often each request of a table is sent, and in which order.
pub(crate) struct Mix<'a> {
    requests: &'a [Request],
    /// The position of a request in the table, as often as it is sent.
    order: Vec<usize>,
}

impl<'a> Mix<'a> {
    /// Creates a mix that is the same in each run.
    pub(crate) fn new(requests: &'a Requests) -> Self {
        let requests = &requests.rows[..];
        let mut random = Random::new(2_463_534_242);
        let mut order = Vec::new();
        for (position, request) in requests.iter().enumerate() {
            // So many slow requests that the 95th percentile is one of them.
            let least = if is_slow(request) { 4 } else { 1 };
            let times = least + random.below(3);
            order.extend((0..times).map(|_| position));
        }
        for last in (1..order.len()).rev() {
            let other = random.below(last as u64 + 1);
            order.swap(last, usize::try_from(other).expect("a position"));
        }
        Self { requests, order }
    }

    /// Returns those requests that end like this, in their order.
    pub(crate) fn that_end(&self, end: End) -> impl Iterator<Item = &'a Request> {
        let requests = self.order.iter().map(|position| &self.requests[*position]);
        requests.filter(move |request| request.end == end)
    }
}

/// Returns whether a request takes longer than the others, and gets a response.
pub(crate) fn is_slow(request: &Request) -> bool {
    request.end == End::Response && request.line.starts_with("GET /sleep/")
}

/// Sends all these requests and waits for their responses. Slow requests are sent at once.
pub(crate) fn send_all<'a>(app: SocketAddr, requests: impl Iterator<Item = &'a Request>) {
    std::thread::scope(|scope| {
        for request in requests {
            let send = move || {
                let answer = Connection::send(app, request.line).rest();
                assert!(answer.starts_with("HTTP/1.1 "), "{request:?}: {answer:?}");
            };
            if is_slow(request) {
                scope.spawn(send);
            } else {
                send();
            }
        }
    });
}

/// A connection on which a request has been sent. Dropping it closes the connection.
pub(crate) struct Connection(TcpStream);

impl Connection {
    /// Sends a request. `line` is its method and its path.
    pub(crate) fn send(app: SocketAddr, line: &str) -> Self {
        let mut stream = TcpStream::connect(app).expect("connects");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        write!(
            stream,
            "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        )
        .expect("sends");
        Self(stream)
    }

    /// Reads until the server closes the connection.
    pub(crate) fn rest(mut self) -> String {
        let mut answer = Vec::new();
        match self.0.read_to_end(&mut answer) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
            _ => String::from_utf8_lossy(&answer).into_owned(),
        }
    }

    /// Reads the head of the response.
    pub(crate) fn read_head(&mut self) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("a head");
            head.extend(byte);
        }
    }
}
