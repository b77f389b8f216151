//! Measures what metrics cost an actix-web server over loopback. `loopback.rs` describes how,
//! and the options.

mod actix_servers;

fn main() -> anyhow::Result<()> {
    instrument_benches::loopback::run(actix_servers::SERVERS, |start| start())
}
