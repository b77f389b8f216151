//! An HTTP client that controls every byte it sends, and counts the bytes of the bodies that
//! it receives.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use instrument_tests::DEADLINE;

use crate::counted::Received;

/// One connection to the server.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    /// The headers of every request, each with its line end.
    headers: String,
    /// Whether the last request was a `HEAD`.
    is_head: bool,
    /// The final responses, in the order in which their heads have arrived.
    pub(crate) responses: Vec<Received>,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::with_headers(addr, &[])
    }

    /// Connects, and gives every request these headers.
    pub(crate) fn with_headers(addr: SocketAddr, headers: &[(&str, &str)]) -> Self {
        let stream = TcpStream::connect(addr).expect("connects");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        Self {
            stream: BufReader::new(stream),
            headers: lines(headers),
            is_head: false,
            responses: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: &str) {
        let stream = self.stream.get_mut();
        stream.write_all(bytes.as_bytes()).expect("sends");
    }

    /// Closes the client's side of the connection.
    pub(crate) fn shut(&mut self) {
        let stream = self.stream.get_mut();
        stream.shutdown(Shutdown::Write).expect("shuts");
    }

    /// Returns the head of a request. `line` is the method and the path.
    pub(crate) fn request_head(&self, line: &str, headers: &[(&str, &str)]) -> String {
        let common = &self.headers;
        format!(
            "{line} HTTP/1.1\r\nhost: x\r\n{common}{}\r\n",
            lines(headers)
        )
    }

    /// Sends a request. `line` is the method and the path.
    pub(crate) fn request(&mut self, line: &str, body: Option<&str>) {
        self.is_head = line.starts_with("HEAD ");
        let length = body.map(|body| body.len().to_string());
        let request = match (&length, body) {
            (Some(length), Some(body)) => {
                let json = ("content-type", "application/json");
                self.request_head(line, &[json, ("content-length", length)]) + body
            }
            _ => self.request_head(line, &[]),
        };
        self.send(&request);
    }

    /// Reads a response head. Returns `None` if the connection ends instead.
    pub(crate) fn head(&mut self) -> Option<Response> {
        let status = self.line()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if status == 101 || status >= 200 {
            self.responses.push(Received {
                bytes: 0,
                is_complete: self.is_head || matches!(status, 101 | 204 | 304),
            });
        }
        Some(Response { status, headers })
    }

    /// Reads a line. `None` if the connection has ended.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// Reads the body of the last response to its end.
    pub(crate) fn body(&mut self, head: &Response) -> String {
        if self.last().is_complete {
            return String::new();
        }
        if head.header("transfer-encoding").is_some() {
            let chunks: String = std::iter::from_fn(|| self.chunk()).collect();
            assert!(self.last().is_complete, "only a part of the body: {chunks}");
            return chunks;
        }
        let length = head
            .header("content-length")
            .map_or(0, |length| length.parse().expect("a length"));
        let body = self.read(length);
        *self.last() = Received {
            bytes: length,
            is_complete: true,
        };
        body
    }

    /// Reads the next chunk of a chunked body. Returns `None` at the end of the body or of
    /// the connection.
    pub(crate) fn chunk(&mut self) -> Option<String> {
        let size = self.line()?;
        let size = usize::from_str_radix(&size, 16).expect("the size of a chunk");
        let chunk = self.read(size);
        self.line().expect("the end of a chunk");
        self.last().bytes += size;
        self.last().is_complete = size == 0;
        (size > 0).then_some(chunk)
    }

    fn last(&mut self) -> &mut Received {
        self.responses.last_mut().expect("a response")
    }

    fn read(&mut self, length: usize) -> String {
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body");
        String::from_utf8(body).expect("text")
    }
}

/// Writes headers, each with its line end.
fn lines(headers: &[(&str, &str)]) -> String {
    let lines = headers.iter();
    lines
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name)?;
        Some(&found.1)
    }
}
