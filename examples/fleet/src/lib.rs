//! The parts of a fleet on one machine:
//!
//! - [`Instance`]: an instance of the web application,
//! - [`Proxy`]: nginx as a reverse proxy in front of the instances,
//! - [`Prometheus`]: a Prometheus server that scrapes the instances,
//! - [`send`]: traffic through the proxy.
//!
//! Dropping a part stops the process that it started.

mod instance;
mod process;
mod prometheus;
mod proxy;
pub mod registry;
mod stop;
mod traffic;
mod wait;

pub use instance::{Instance, build_webapp};
pub use process::{Process, missing, program};
pub use prometheus::{Labels, Prometheus, Target, labels_of};
pub use proxy::Proxy;
pub use stop::{is_stopped, on_signals};
pub use traffic::{Sent, send};
pub use wait::wait_for;

use std::net::{SocketAddr, TcpListener};

/// Returns an address with a free port. Used for programs that do not report which port
/// they listen on if they are started with port 0.
///
/// # Errors
///
/// Returns an error if no port can be bound.
pub fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr())
}
