//! The application with the middleware for actix-web instead of actix-web-prom.

use actix_web::{App, HttpServer, web};
use app::actix_handlers::{crash, create, download, sleep, user};
use instrument_runtime::actix_web::middleware;

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let exporter = instrument_runtime::init("shop")?; // http://127.0.0.1:9464/metrics
    let server = HttpServer::new(|| {
        App::new()
            .wrap(middleware().until_body_end())
            .route("/users", web::post().to(create))
            .route("/users/{id}", web::get().to(user))
            .route("/sleep/{millis}", web::get().to(sleep))
            .route("/download", web::get().to(download))
            .route("/crash", web::get().to(crash))
    })
    .h1_allow_half_closed(false) // notice clients that leave
    .bind(std::env::var("ADDR")?)?;

    println!("http://{}", server.addrs()[0]);
    if let Some(addr) = exporter.local_addr() {
        println!("http://{addr}/metrics");
    }
    server.run().await?;
    Ok(())
}
