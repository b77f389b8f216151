//! Single statements about layers.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use instrument_runtime::axum::layer;
use instrument_runtime::instrumented;
use instrument_tests::alone;
use instrument_tests::page::Page;
use instrument_tests::recorded::Recorded;
use tower::{Layer, ServiceExt};

#[instrumented]
async fn handler() -> &'static str {
    "text"
}

fn request() -> http::Request<Body> {
    let request = http::Request::get("/users");
    request.body(Body::empty()).expect("a request")
}

/// axum matches the route inside the router.
#[test]
fn a_layer_around_the_router_does_not_know_the_route() {
    let router = || Router::new().route("/users", get(async || "text"));
    for (is_around, endpoint) in [(true, "unmatched"), (false, "/users")] {
        let lines = Recorded::during_async(async |recorded| {
            let Ok(_) = if is_around {
                layer().layer(router()).oneshot(request()).await
            } else {
                router().layer(layer()).oneshot(request()).await
            };
            recorded.lines()
        });
        let expected =
            format!("requests_total method=GET endpoint={endpoint} outcome=ok http_status=200 1");
        assert!(lines.contains(&expected), "{lines:?}");
    }
}

#[test]
fn the_label_of_a_layer_wins_over_a_global_one() {
    let name = "layers::the_label_of_a_layer_wins_over_a_global_one";
    alone(name, || {
        let exporter = instrument_runtime::builder("labels")
            .without_listener()
            .global_label("region", "of the builder")
            .global_label("stage", "of the builder")
            .install()
            .expect("installs");
        let app = Router::new()
            .route("/users", get(handler))
            .layer(layer().label("region", |_| "of the layer"));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let Ok(_) = runtime.block_on(app.oneshot(request()));
        let page = Page::parse(&exporter.render());
        let labels = [("region", "of the layer"), ("stage", "of the builder")];
        assert_eq!(page.sum("requests_total", &labels), 1.0);
        assert_eq!(page.sum("requests_total", &[]), 1.0);
    });
}
