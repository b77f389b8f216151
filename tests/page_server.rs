//! A server for pages that a test makes itself.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::DEADLINE;

/// The content type of the text format.
pub const TEXT: &str = "text/plain; version=0.0.4";
/// The content type of the protobuf format.
pub const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// Serves pages until the test program exits, and returns the address.
///
/// Calls `page` for each request, whatever its path is. `content_type` is the format of the
/// pages.
///
/// # Panics
///
/// Panics if there is no free port.
pub fn serve(
    content_type: &'static str,
    page: impl Fn() -> Vec<u8> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let page = Arc::new(page);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let page = Arc::clone(&page);
            // A client that hangs up is not an error.
            thread::spawn(move || answer(client, content_type, &page()));
        }
    });
    addr
}

fn answer(mut client: TcpStream, content_type: &str, page: &[u8]) -> io::Result<()> {
    client.set_read_timeout(Some(DEADLINE))?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        page.len()
    );
    client.write_all(head.as_bytes())?;
    client.write_all(page)
}
