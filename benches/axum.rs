//! Measures what metrics cost an axum server over loopback. `loopback.rs` describes how, and
//! the options.

mod axum_servers;

fn main() -> anyhow::Result<()> {
    instrument_benches::loopback::run(axum_servers::SERVERS, axum_servers::serve)
}
