//! What a program asks for that is behind a feature it has not enabled.

use instrument_runtime::testing::Recording;

fn pushes() {
    let builder = instrument_runtime::builder("job")
        .push("http://pushgateway:9091")
        .push_interval(std::time::Duration::from_secs(1))
        .push_job("job")
        .push_group("instance", "one");
    let exporter = builder.install().unwrap();
    let _ = exporter.last_push_error();
}

fn layers() {
    let _ = instrument_runtime::axum::layer();
    let _ = instrument_runtime::actix_web::middleware();
    let _ = instrument_runtime::tonic::layer();
    let _ = instrument_runtime::tower::layer();
}

fn main() {}
