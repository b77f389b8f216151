//! The pieces of a fleet: instances of the web application, a reverse proxy in
//! front of them, a Prometheus that finds them, traffic. Each stops what it
//! started when it is dropped.

mod instance;
mod process;
mod prometheus;
mod proxy;
pub mod registry;
mod stop;
mod traffic;
mod wait;

pub use instance::{Instance, build_webapp};
pub use process::missing;
pub use prometheus::{Labels, Prometheus, Target};
pub use proxy::Proxy;
pub use stop::{is_stopped, on_signals};
pub use traffic::{Sent, send};
pub use wait::wait_for;

use std::net::{SocketAddr, TcpListener};

/// For programs that do not tell which port they took for 0.
fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr())
}
