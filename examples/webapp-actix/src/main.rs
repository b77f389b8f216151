//! The web application of the monitoring article, on actix-web: three handlers,
//! and the page of metrics beside them and on a port of its own.
//!
//! `WEBAPP_ADDR` sets where it listens (`127.0.0.1:8080`). The page is also on
//! `127.0.0.1:9464`, or where the standard variables
//! `OTEL_EXPORTER_PROMETHEUS_HOST` and `OTEL_EXPORTER_PROMETHEUS_PORT` say.

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
            // Outside of all others, so that it sees what goes out.
            .wrap(instrument_runtime::actix_web::middleware())
            .service(handlers::test)
            .service(handlers::test1)
            .service(handlers::slow)
            .route(
                "/metrics",
                web::get().to(instrument_runtime::actix_web::metrics),
            )
    })
    // Notice clients that hang up: their requests are `cancelled`, not answered `200`.
    .h1_allow_half_closed(false)
    .bind(&addr)
    .with_context(|| format!("cannot listen on {addr}; set WEBAPP_ADDR to another host:port"))?;

    for addr in server.addrs() {
        println!("webapp_1 listens on http://{addr}; try");
        println!("  curl http://{addr}/test            # answers \"test\"");
        println!("  curl http://{addr}/test1           # fails: 500");
        println!("  curl http://{addr}/nowhere         # 404, under endpoint=\"unmatched\"");
        println!("  curl http://{addr}/slow            # takes 2 s");
        println!("  curl http://{addr}/metrics         # what Prometheus sees");
    }
    // Stops by itself on Ctrl+C and SIGTERM.
    server.run().await?;
    exporter.shutdown().await;
    println!("webapp_1 has stopped");
    Ok(())
}
