//! An example web application on actix-web, with three instrumented handlers.
//!
//! `WEBAPP_ADDR` sets the address of the application (default: `127.0.0.1:8080`).
//!
//! The metrics are served twice: on the application's own `/metrics` route, with a live view on
//! `/live`, and on `127.0.0.1:9464`. The standard variables `OTEL_EXPORTER_PROMETHEUS_HOST` and
//! `OTEL_EXPORTER_PROMETHEUS_PORT` change the second address.

mod error;
mod handlers;

use actix_web::middleware::{ErrorHandlers, from_fn};
use actix_web::{App, HttpServer, web};
use anyhow::Context;

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let exporter = instrument_runtime::init("webapp_1")?;

    let addr = std::env::var("WEBAPP_ADDR").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let server = HttpServer::new(|| {
        App::new()
            .wrap(ErrorHandlers::new().default_handler_server(error::page))
            .wrap(from_fn(error::log))
            // The last `wrap` is the outermost middleware, so it sees the final response.
            .wrap(instrument_runtime::actix_web::middleware())
            .service(handlers::test)
            .service(handlers::test1)
            .service(handlers::slow)
            .route(
                "/metrics",
                web::get().to(instrument_runtime::actix_web::metrics),
            )
            .route(
                "/live",
                web::get().to(instrument_runtime::actix_web::live_view),
            )
    })
    // Detect clients that disconnect. Otherwise their requests would be counted as `ok`
    // instead of `cancelled`.
    .h1_allow_half_closed(false)
    .bind(&addr)
    .with_context(|| format!("cannot listen on {addr}; set WEBAPP_ADDR to another host:port"))?;

    for addr in server.addrs() {
        println!("webapp_1 listens on http://{addr}; try:");
        println!("  curl http://{addr}/test            # returns \"test\"");
        println!("  curl http://{addr}/test1           # fails with 500");
        println!(
            "  curl http://{addr}/nowhere         # 404, counted under endpoint=\"unmatched\""
        );
        println!("  curl http://{addr}/slow            # takes 2 s");
        println!("  curl http://{addr}/metrics         # the metrics that Prometheus scrapes");
        println!("  http://{addr}/live                 # in a browser: a live view of the metrics");
    }
    // actix-web shuts the server down on Ctrl+C and SIGTERM.
    server.run().await?;
    exporter.shutdown().await;
    println!("webapp_1 has stopped");
    Ok(())
}
