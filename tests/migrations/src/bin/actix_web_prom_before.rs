//! An application on actix-web with actix-web-prom.

use actix_web::{App, HttpServer, web};
use actix_web_prom::PrometheusMetricsBuilder;
use app::actix_handlers::{crash, create, download, sleep, user};

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let metrics = PrometheusMetricsBuilder::new("shop")
        .endpoint("/metrics")
        .exclude("/metrics")
        .build()
        .map_err(anyhow::Error::from_boxed)?;
    let server = HttpServer::new(move || {
        App::new()
            .wrap(metrics.clone())
            .route("/users", web::post().to(create))
            .route("/users/{id}", web::get().to(user))
            .route("/sleep/{millis}", web::get().to(sleep))
            .route("/download", web::get().to(download))
            .route("/crash", web::get().to(crash))
    })
    .h1_allow_half_closed(false) // notice clients that leave
    .bind(std::env::var("ADDR")?)?;

    let addr = server.addrs()[0];
    println!("http://{addr}\nhttp://{addr}/metrics");
    server.run().await?;
    Ok(())
}
