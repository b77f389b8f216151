//! Runs the server of one column of the README's comparison. The argument is its name.
//!
//! Each server has one thread, so that what it does for one request comes before what it does
//! for the next one. It prints the address of the application and the address of its page.
//!
//! | route | what the handler does |
//! |---|---|
//! | `/hello` | answers |
//! | `/number/{n}` | answers if `n` is a number |
//! | `/work` | calls a function that is not async |
//! | `/wait` | prints `waits`, never answers, and prints `left` when its future is dropped |
//! | `/panic` | panics |
//!
//! Where the library allows it, the header `x-tenant` is a label.

mod actix;
mod axum_servers;
mod handlers;
mod metrics_by_hand;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, bail};
use tokio::net::TcpListener;

const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let _inside = runtime.enter();
    let (app, page) = match name.as_str() {
        "ours on actix-web" => return actix::ours(),
        "actix-web-prom" => return actix::actix_web_prom(),
        "ours on axum" => axum_servers::ours()?,
        "axum-prometheus" => axum_servers::axum_prometheus(),
        "autometrics" => axum_servers::autometrics(),
        "opentelemetry-instrumentation-tower" => axum_servers::opentelemetry()?,
        "metrics" => metrics_by_hand::server()?,
        _ => bail!("there is no server {name:?}"),
    };
    runtime.block_on(async {
        let listener = TcpListener::bind(ANY_PORT).await?;
        let addr = listener.local_addr()?;
        print_addresses(addr, page.unwrap_or(addr));
        Ok(axum::serve(listener, app).await?)
    })
}

fn print_addresses(app: SocketAddr, page: SocketAddr) {
    println!("{app}\n{page}");
}
