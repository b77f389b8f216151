//! A scraper that measures how long a response takes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// The minimum pause before a scrape.
const LEAST_PAUSE: Duration = Duration::from_millis(5);

/// Scrapes one server.
pub(crate) struct Client {
    port: u16,
    /// The last response. The buffer is reused, so that its page faults are not measured.
    buffer: Vec<u8>,
    /// Where the body begins and ends in `buffer`.
    body: std::ops::Range<usize>,
    last: Duration,
}

/// A response.
pub(crate) struct Scrape {
    /// The time from the request to the last byte of the response.
    pub(crate) elapsed: Duration,
    pub(crate) content_type: String,
    pub(crate) is_gzip: bool,
    pub(crate) bytes: usize,
}

impl Client {
    pub(crate) fn new(port: u16) -> Self {
        Self {
            port,
            buffer: Vec::new(),
            body: 0..0,
            last: Duration::ZERO,
        }
    }

    /// Returns the body of the last response.
    pub(crate) fn body(&self) -> &[u8] {
        &self.buffer[self.body.clone()]
    }

    /// Sends one request and reads the response.
    ///
    /// Connects first and then pauses. After each render our exporter pauses for as long as
    /// the render took, and a request in this pause would have to wait. The pause also gives
    /// the server the time to accept the connection.
    pub(crate) fn scrape(&mut self, accept: &str, gzip: bool) -> Result<Scrape> {
        let encoding = if gzip { "gzip" } else { "identity" };
        let request = format!(
            "GET /metrics HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n\
             accept-encoding: {encoding}\r\n\r\n"
        );
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_nodelay(true)?;
        thread::sleep(self.last.max(LEAST_PAUSE));

        let start = Instant::now();
        stream.write_all(request.as_bytes())?;
        let head = self.read(&mut stream)?;
        let elapsed = start.elapsed();
        self.last = elapsed;

        ensure!(
            head.starts_with("HTTP/1.1 200 "),
            "the status of the response is not 200: {head}"
        );
        Ok(Scrape {
            elapsed,
            content_type: header(&head, "content-type")
                .context("the response has no content-type")?
                .to_owned(),
            is_gzip: header(&head, "content-encoding") == Some("gzip"),
            bytes: self.body.len(),
        })
    }

    /// Reads a response into the buffer, and returns its head.
    fn read(&mut self, stream: &mut TcpStream) -> Result<String> {
        const LEAST_ROOM: usize = 64 * 1024;
        let mut read = 0;
        let (head, end) = loop {
            if self.buffer.len() < read + LEAST_ROOM {
                self.buffer.resize(read + LEAST_ROOM, 0);
            }
            let more = stream.read(&mut self.buffer[read..])?;
            ensure!(more > 0, "the server closed the connection");
            read += more;
            if let Some(at) = find(&self.buffer[..read], b"\r\n\r\n") {
                let head = str::from_utf8(&self.buffer[..at])?.to_owned();
                let Some(length) = header(&head, "content-length") else {
                    bail!("the response has no content-length");
                };
                let start = at + 4;
                self.body = start..start + length.parse::<usize>()?;
                break (head, self.body.end);
            }
        };
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        if read < end {
            stream.read_exact(&mut self.buffer[read..end])?;
        }
        Ok(head)
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
