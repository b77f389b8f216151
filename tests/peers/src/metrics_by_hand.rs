//! A server that calls the macros of `metrics` in a middleware. A guard counts the requests
//! that end without a response.

use std::time::Instant;

use anyhow::Result;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::axum_servers::{Server, routes};

pub(crate) fn server() -> Result<Server> {
    let page = PrometheusBuilder::new().install_recorder()?;
    let app = routes().route("/work", get(async || work()));
    let app = app.layer(from_fn(track));
    Ok((
        app.route("/metrics", get(async move || page.render())),
        None,
    ))
}

fn work() -> &'static str {
    counter!("work_calls_total").increment(1);
    "worked"
}

/// A request in flight. Dropping it counts the request.
struct Tracked {
    labels: [(&'static str, String); 3],
    start: Instant,
    status: String,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        gauge!("http_requests_in_flight", &self.labels).decrement(1);
        let [method, path, tenant] = self.labels.clone();
        let labels = [method, path, tenant, ("status", self.status.clone())];
        counter!("http_requests_total", &labels).increment(1);
        histogram!("http_request_duration_seconds", &labels).record(self.start.elapsed());
    }
}

async fn track(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let method = match request.method().as_str() {
        method @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE") => method,
        _ => "other",
    };
    let path = path.map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let tenant = request.headers().get("x-tenant");
    let tenant = tenant
        .and_then(|tenant| tenant.to_str().ok())
        .unwrap_or_default();
    let labels = [
        ("method", method.to_owned()),
        ("path", path),
        ("tenant", tenant.to_owned()),
    ];
    gauge!("http_requests_in_flight", &labels).increment(1);
    let mut tracked = Tracked {
        labels,
        start: Instant::now(),
        status: "none".to_owned(),
    };
    let response = next.run(request).await;
    tracked.status = response.status().as_str().to_owned();
    response
}
