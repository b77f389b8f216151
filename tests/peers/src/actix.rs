//! The servers on actix-web.

use actix_web::rt::System;
use actix_web::{App, HttpServer, web};
use actix_web_prom::PrometheusMetricsBuilder;
use anyhow::{Context as _, Result};
use instrument_runtime::instrumented;

use crate::axum_servers::our_page;
use crate::{ANY_PORT, handlers, print_addresses};

fn routes(app: &mut web::ServiceConfig) {
    app.route("/hello", web::get().to(async || "hello"))
        .route("/number/{n}", web::get().to(number))
        .route("/wait", web::get().to(handlers::wait))
        .route("/panic", web::get().to(panics));
}

async fn number(n: web::Path<u32>) -> String {
    n.to_string()
}

async fn panics() -> &'static str {
    panic!("as the test asks")
}

pub(crate) fn ours() -> Result<()> {
    const OBJECTIVE: instrument_runtime::Objective =
        instrument_runtime::Objective::new("work").success(99.9);
    #[instrumented(objective = OBJECTIVE)]
    fn work() -> &'static str {
        "worked"
    }

    let page = our_page()?;
    System::new().block_on(async {
        let server = HttpServer::new(|| {
            let middleware = instrument_runtime::actix_web::middleware();
            let middleware = middleware.label("tenant", |head| {
                head.header("x-tenant").unwrap_or_default().to_owned()
            });
            App::new()
                .wrap(middleware)
                .configure(routes)
                .route("/work", web::get().to(async || work()))
        });
        let server = server
            .h1_allow_half_closed(false)
            .workers(1)
            .bind(ANY_PORT)?;
        let app = *server.addrs().first().context("an address")?;
        print_addresses(app, page);
        Ok(server.run().await?)
    })
}

pub(crate) fn actix_web_prom() -> Result<()> {
    let metrics = PrometheusMetricsBuilder::new("peer")
        .endpoint("/metrics")
        .exclude("/metrics")
        .build()
        .map_err(anyhow::Error::from_boxed)?;
    System::new().block_on(async {
        let server = HttpServer::new(move || {
            App::new()
                .wrap(metrics.clone())
                .configure(routes)
                .route("/work", web::get().to(async || "worked"))
        });
        let server = server
            .h1_allow_half_closed(false)
            .workers(1)
            .bind(ANY_PORT)?;
        let app = *server.addrs().first().context("an address")?;
        print_addresses(app, app);
        Ok(server.run().await?)
    })
}
