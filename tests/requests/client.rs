//! An HTTP client that controls every byte it sends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use instrument_tests::DEADLINE;

/// One connection to the server.
#[derive(Debug)]
pub(crate) struct Client(BufReader<TcpStream>);

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("connects");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        Self(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, bytes: &str) {
        self.0.get_mut().write_all(bytes.as_bytes()).expect("sends");
    }

    /// Closes the client's side of the connection.
    pub(crate) fn shut(&mut self) {
        let stream = self.0.get_mut();
        stream.shutdown(Shutdown::Write).expect("shuts");
    }

    /// Sends a request. `line` is the method and the path.
    pub(crate) fn request(&mut self, line: &str, body: Option<&str>) {
        self.send(&match body {
            None => format!("{line} HTTP/1.1\r\nhost: x\r\n\r\n"),
            Some(body) => format!(
                "{line} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            ),
        });
    }

    /// Reads a response head. Returns `None` if the connection ends instead.
    pub(crate) fn head(&mut self) -> Option<Response> {
        let status = self.line()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                return Some(Response { status, headers });
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// Reads the body of a response that has a `content-length`.
    pub(crate) fn body(&mut self, head: &Response) -> String {
        let length = head
            .header("content-length")
            .map_or(0, |length| length.parse().expect("a length"));
        self.read(length)
    }

    pub(crate) fn read(&mut self, length: usize) -> String {
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a body");
        String::from_utf8(body).expect("text")
    }

    /// Reads until `text` has arrived.
    pub(crate) fn read_to(&mut self, text: &str) {
        let mut seen = String::new();
        while !seen.ends_with(text) {
            seen += &self.read(1);
        }
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name)?;
        Some(&found.1)
    }
}
