//! A proxy in front of a page that records what each scrape asked for.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::DEADLINE;

/// The headers of a scrape that decide about the format of the page, and those of its
/// response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrape {
    /// The request's header `Accept`.
    pub accept: String,
    /// The response's header `Content-Type`.
    pub content_type: String,
}

/// A proxy that serves the page of one exporter until the test program exits.
#[derive(Clone, Debug)]
pub struct RecordingProxy {
    /// The address on which the proxy listens.
    pub addr: SocketAddr,
    scrapes: Arc<Mutex<Vec<Scrape>>>,
}

impl RecordingProxy {
    /// Starts a proxy in front of the exporter at `exporter`.
    ///
    /// # Panics
    ///
    /// Panics if there is no free port.
    #[must_use]
    pub fn start(exporter: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let proxy = Self {
            addr: listener.local_addr().expect("bound"),
            scrapes: Arc::default(),
        };
        let serving = proxy.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let proxy = serving.clone();
                // A client that hangs up is not an error: Prometheus stops its scrapes
                // when it reloads its configuration.
                thread::spawn(move || proxy.serve(client, exporter));
            }
        });
        proxy
    }

    /// Takes the scrapes that were answered since the last call, in the order of their
    /// answers.
    #[must_use]
    pub fn take(&self) -> Vec<Scrape> {
        std::mem::take(&mut *self.scrapes())
    }

    /// Returns the last scrape that was answered since the last call of [`Self::take`].
    #[must_use]
    pub fn last(&self) -> Option<Scrape> {
        self.scrapes().last().cloned()
    }

    fn scrapes(&self) -> MutexGuard<'_, Vec<Scrape>> {
        self.scrapes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forwards one request and its response, and closes the connection. So the end of the
    /// response is the end of the stream, and no body must be parsed.
    fn serve(&self, mut client: TcpStream, exporter: SocketAddr) -> io::Result<()> {
        client.set_read_timeout(Some(DEADLINE))?;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte)?;
            request.push(byte[0]);
        }
        let request = String::from_utf8_lossy(&request);
        let mut forwarded = String::new();
        for line in request.lines().filter(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default();
            if !name.eq_ignore_ascii_case("connection") {
                forwarded += &format!("{line}\r\n");
            }
        }
        forwarded += "connection: close\r\n\r\n";

        let mut server = TcpStream::connect(exporter)?;
        server.set_read_timeout(Some(DEADLINE))?;
        server.write_all(forwarded.as_bytes())?;
        let mut response = Vec::new();
        server.read_to_end(&mut response)?;
        client.write_all(&response)?;

        // The body may be compressed, or binary.
        let end = response.windows(4).position(|four| four == b"\r\n\r\n");
        let head = String::from_utf8_lossy(&response[..end.unwrap_or_default()]);
        self.scrapes().push(Scrape {
            accept: header(&request, "accept"),
            content_type: header(&head, "content-type"),
        });
        Ok(())
    }
}

/// Returns the value of a header, or an empty string if the header is missing.
fn header(head: &str, name: &str) -> String {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}
