//! Serves the targets in a folder over HTTP, for Prometheus's `http_sd_configs`.
//!
//! Run `cargo run -p fleet --bin registry -- targets/ 127.0.0.1:9465`, and configure
//! Prometheus like this:
//!
//! ```yaml
//! scrape_configs:
//!   - job_name: webapp
//!     honor_labels: true
//!     http_sd_configs: [{ url: "http://127.0.0.1:9465/targets", refresh_interval: 5s }]
//! ```

use anyhow::{Context, bail};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, addr] = &arguments[..] else {
        bail!("usage: registry <folder of targets> <host:port>");
    };
    let listener = TcpListener::bind(addr)
        .await
        .with_context(|| format!("cannot listen on {addr}"))?;
    println!("http://{}/targets", listener.local_addr()?);
    Ok(axum::serve(listener, fleet::registry::routes(folder)).await?)
}
