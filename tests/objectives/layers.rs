//! Objectives of requests that a layer counts. They follow the labels of the requests.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use futures::executor::block_on;
use http::{Method, Request, Response};
use instrument_runtime::tower::set_matched_route;
use instrument_runtime::{Exporter, MetricNames, Objective, instrumented};
use instrument_tests::alone;
use instrument_tests::page::Page;
use tonic::Status;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::{RATIO, objectives, set, shop};

const USERS: Objective = Objective::new("layer_users").success(99.0);
const QUIET: Objective = Objective::new("layer_quiet").success(98.0);
const ALSO: Objective = Objective::new("layer_also").latency(Duration::from_secs(1), 97.0);

/// Neither its method nor its route is known at compile time.
#[instrumented(objective = USERS)]
async fn user(Path(id): Path<u32>) -> String {
    id.to_string()
}

#[instrumented(endpoint = "/users/{id}", method = "GET", objective = USERS)]
async fn named(Path(id): Path<u32>) -> String {
    id.to_string()
}

/// The attribute gives the endpoint, which is not the route.
#[instrumented(handler, endpoint = "/own", objective = USERS)]
async fn own() {}

#[instrumented(objective = USERS, labels(id = id))]
async fn labelled(Path(id): Path<u32>) -> String {
    id.to_string()
}

async fn quiet(Path(id): Path<u32>) -> String {
    id.to_string()
}

fn app() -> Router {
    Router::new()
        .route("/items/{id}", get(user).post(user))
        .route("/users/{id}", get(named))
        .route("/labelled/{id}", get(labelled))
        .route("/quiet/{id}", get(quiet).put(quiet))
        .nest("/nested", Router::new().route("/own", get(own)))
        .layer(instrument_runtime::axum::layer())
}

fn send(app: &Router, method: Method, path: &str) {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(axum::body::Body::empty()).expect("a request");
    let Ok(_) = block_on(app.clone().oneshot(request));
}

/// Asserts that the labels of the objective are those of `count` requests.
fn assert_joins(
    exporter: &Exporter,
    counted: &str,
    labels: &[(&str, &str)],
    slo: &str,
    count: f64,
) {
    let page = Page::parse(&exporter.render());
    let objective = [labels, &[("slo", slo)]].concat();
    assert!(page.value(RATIO, &objective).is_some(), "{objective:?}");
    assert_eq!(page.sum(counted, labels), count, "{labels:?}");
}

#[test]
fn the_objectives_follow_the_requests_of_axum() {
    alone("layers::the_objectives_follow_the_requests_of_axum", || {
        let exporter = shop()
            .objective("/quiet/{id}", QUIET)
            .objective("/quiet/{id}", ALSO)
            // The route, and the endpoint of the handler's attribute.
            .objective("/nested/own", QUIET)
            .objective("/own", ALSO)
            .objective("/items/{id}", USERS)
            .install()
            .expect("installs");
        let of = |parts: &[&str]| objectives(&exporter.render(), parts);
        let users = |labels: &str| {
            format!("{{app_name=\"shop\",{labels},sli=\"success\",slo=\"layer_users\"}} 0.99")
        };
        // From the first page on, with what is known.
        let first = of(&[]);
        for labels in [
            "endpoint=\"layers::user\"",
            "endpoint=\"/users/{id}\",method=\"GET\"",
            "endpoint=\"/own\"",
            "endpoint=\"layers::labelled\"",
            "endpoint=\"/items/{id}\"",
        ] {
            assert!(first.contains(&users(labels)), "{labels}: {first:#?}");
        }
        assert_eq!(
            of(&["/quiet"]),
            set([
                r#"{app_name="shop",endpoint="/quiet/{id}",sli="latency",slo="layer_also",le="1.0"} 0.97"#,
                r#"{app_name="shop",endpoint="/quiet/{id}",sli="success",slo="layer_quiet"} 0.98"#,
            ])
        );

        let app = app();
        for (method, path) in [
            (Method::GET, "/items/1"),
            (Method::GET, "/items/2"),
            (Method::POST, "/items/1"),
            (Method::GET, "/users/1"),
            (Method::HEAD, "/users/1"),
            (Method::GET, "/labelled/1"),
            (Method::GET, "/labelled/2"),
            (Method::GET, "/nested/own"),
            (Method::GET, "/quiet/1"),
            (Method::PUT, "/quiet/1"),
            // No handler runs.
            (Method::DELETE, "/quiet/1"),
            (Method::GET, "/quiet/x"),
            (Method::GET, "/nowhere"),
        ] {
            send(&app, method, path);
        }
        for (method, endpoint, slo, count) in [
            ("GET", "/items/{id}", "layer_users", 2.0),
            ("POST", "/items/{id}", "layer_users", 1.0),
            ("GET", "/users/{id}", "layer_users", 1.0),
            ("HEAD", "/users/{id}", "layer_users", 1.0),
            ("GET", "/labelled/{id}", "layer_users", 2.0),
            ("GET", "/own", "layer_users", 1.0),
            ("GET", "/own", "layer_quiet", 1.0),
            ("GET", "/own", "layer_also", 1.0),
            ("GET", "/quiet/{id}", "layer_quiet", 2.0),
            ("PUT", "/quiet/{id}", "layer_also", 1.0),
            ("DELETE", "/quiet/{id}", "layer_quiet", 1.0),
        ] {
            let labels = [("method", method), ("endpoint", endpoint)];
            assert_joins(&exporter, "requests_total", &labels, slo, count);
        }
        // The first page had these without a method. The others are still there.
        let without_method = |endpoint| format!("endpoint=\"{endpoint}\",sli");
        let replaced = [
            "layers::user",
            "layers::labelled",
            "/own",
            "/nested/own",
            "/items/{id}",
            "/quiet/{id}",
        ]
        .map(without_method);
        let (gone, kept): (BTreeSet<_>, BTreeSet<_>) = first
            .iter()
            .cloned()
            .partition(|line| replaced.iter().any(|labels| line.contains(labels)));
        let all = of(&[]);
        assert!(kept.is_subset(&all), "{all:#?}");
        assert!(gone.is_disjoint(&all), "{all:#?}");
        assert_eq!(gone.len(), 8, "{gone:#?}");
        // No others were added.
        assert_eq!(of(&["unmatched"]), set([]));
        let with_method = of(&["method=\"", "layer_"]);
        let known = first
            .iter()
            .filter(|line| line.contains("method=\"") && line.contains("layer_"));
        // Two of "/items", HEAD of "/users", one of "/labelled", three of "/own", two for each
        // of three methods of "/quiet", and the one of the route of "/own", in whose series the
        // request was until its handler was known.
        assert_eq!(
            with_method.len() - known.count(),
            2 + 1 + 1 + 3 + 6 + 1,
            "{with_method:#?}"
        );
    });
}

/// The labels of the function are on the page as long as nobody knows better, and again when
/// calls have them.
#[test]
fn a_handler_that_is_also_called_by_itself_has_two_objectives() {
    alone(
        "layers::a_handler_that_is_also_called_by_itself_has_two_objectives",
        || {
            let exporter = shop().install().expect("installs");
            let of = || objectives(&exporter.render(), &["layer_users", "layers::"]);
            let user =
                r#"{app_name="shop",endpoint="layers::user",sli="success",slo="layer_users"} 0.99"#;
            let labelled = user.replace("user\"", "labelled\"");
            assert!(of().is_superset(&set([user, &labelled])));
            let app = app();
            send(&app, Method::GET, "/items/1");
            send(&app, Method::GET, "/labelled/1");
            assert!(of().is_disjoint(&set([user, &labelled])));
            block_on(user_alone());
            assert!(of().is_superset(&set([user, &labelled])));
            send(&app, Method::GET, "/items/1");
            send(&app, Method::POST, "/items/1");
            send(&app, Method::GET, "/labelled/1");
            assert!(of().is_superset(&set([user, &labelled])));
        },
    );
}

async fn user_alone() {
    user(Path(1)).await;
    labelled(Path(1)).await;
}

#[test]
fn the_objectives_follow_the_requests_of_actix_web() {
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, web};

    #[instrumented(objective = USERS)]
    async fn user(id: web::Path<u32>) -> String {
        id.to_string()
    }

    async fn quiet() -> &'static str {
        ""
    }

    alone(
        "layers::the_objectives_follow_the_requests_of_actix_web",
        || {
            let exporter = shop()
                .objective("/scope/quiet", QUIET)
                .install()
                .expect("installs");
            actix_web::rt::System::new().block_on(async {
                let app = App::new()
                    .wrap(instrument_runtime::actix_web::middleware())
                    .service(web::resource("/actix/{id}").route(web::get().to(user)))
                    .service(web::scope("/scope").route("/quiet", web::post().to(quiet)));
                let app = init_service(app).await;
                for request in [
                    TestRequest::get().uri("/actix/1"),
                    TestRequest::post().uri("/scope/quiet"),
                ] {
                    call_service(&app, request.to_request()).await;
                }
            });
            for (method, endpoint, slo) in [
                ("GET", "/actix/{id}", "layer_users"),
                ("POST", "/scope/quiet", "layer_quiet"),
            ] {
                let labels = [("method", method), ("endpoint", endpoint)];
                assert_joins(&exporter, "requests_total", &labels, slo, 1.0);
            }
        },
    );
}

#[instrumented(handler, objective = USERS)]
async fn handler() -> Response<()> {
    Response::new(())
}

/// Serves `/route` and `/other` with the handler for GET, and without it for POST.
async fn route(request: Request<()>) -> Result<Response<()>, Infallible> {
    match request.uri().path() {
        "/route" => set_matched_route("/route"),
        "/other" => set_matched_route("/other"),
        _ => {}
    }
    Ok(if request.headers().contains_key("annotated") {
        handler().await
    } else {
        Response::new(())
    })
}

fn send_to_tower(path: &str, is_annotated: bool) {
    let service = ServiceBuilder::new()
        .layer(instrument_runtime::tower::layer())
        .service(service_fn(route));
    let mut request = Request::get(path);
    if is_annotated {
        request = request.header("annotated", "");
    }
    let Ok(_) = block_on(service.oneshot(request.body(()).expect("a request")));
}

/// The series of the route exists already when the first request with a handler arrives.
#[test]
fn an_objective_appears_also_in_a_series_that_exists() {
    alone(
        "layers::an_objective_appears_also_in_a_series_that_exists",
        || {
            let exporter = shop().install().expect("installs");
            let of_route = || objectives(&exporter.render(), &["endpoint=\"/route\""]);
            send_to_tower("/route", false);
            assert_eq!(of_route(), set([]));
            for _ in 0..2 {
                send_to_tower("/route", true);
                assert_eq!(
                    of_route(),
                    set([
                        r#"{app_name="shop",endpoint="/route",method="GET",sli="success",slo="layer_users"} 0.99"#
                    ])
                );
            }
            let labels = [("method", "GET"), ("endpoint", "/route")];
            assert_joins(&exporter, "requests_total", &labels, "layer_users", 3.0);
        },
    );
}

/// Serves an RPC with the handler.
async fn rpc(
    request: Request<tonic::body::Body>,
) -> Result<Response<tonic::body::Body>, Infallible> {
    #[instrumented(handler, objective = USERS)]
    async fn buy() -> Result<tonic::Response<()>, Status> {
        Ok(tonic::Response::new(()))
    }

    if request.uri().path() == "/test.Shop/Buy" {
        let _ = buy().await;
    }
    Ok(Status::ok("").into_http())
}

fn send_rpc(path: &str) {
    let service = ServiceBuilder::new()
        .layer(instrument_runtime::tonic::layer())
        .service(service_fn(rpc));
    let request = Request::post(path).header("content-type", "application/grpc");
    let request = request.body(tonic::body::Body::empty()).expect("a request");
    let Ok(_) = block_on(service.oneshot(request));
}

#[test]
fn the_objectives_follow_rpcs() {
    alone("layers::the_objectives_follow_rpcs", || {
        let exporter = shop()
            .objective("/test.Shop/Sell", QUIET)
            .install()
            .expect("installs");
        for path in ["/test.Shop/Buy", "/test.Shop/Sell"] {
            send_rpc(path);
        }
        for (endpoint, slo) in [
            ("/test.Shop/Buy", "layer_users"),
            ("/test.Shop/Sell", "layer_quiet"),
        ] {
            let labels = [("method", "POST"), ("endpoint", endpoint)];
            assert_joins(&exporter, "requests_total", &labels, slo, 1.0);
        }
    });
}

#[test]
fn the_conventions_have_labels_of_their_own() {
    alone("layers::the_conventions_have_labels_of_their_own", || {
        let exporter = shop()
            .names(MetricNames::opentelemetry())
            .objective("/quiet/{id}", QUIET)
            .objective("/test.Shop/Sell", QUIET)
            .install()
            .expect("installs");
        let app = app();
        for path in ["/items/1", "/quiet/1", "/nowhere"] {
            send(&app, Method::GET, path);
        }
        for path in ["/test.Shop/Buy", "/test.Shop/Sell", "/test.Shop/Sell"] {
            send_rpc(path);
        }
        // Without a route, nothing tells the requests of the handler from others.
        let before = objectives(&exporter.render(), &[]);
        send_to_tower("/nowhere", true);
        assert_eq!(objectives(&exporter.render(), &[]), before);

        let http = "http_server_request_duration_seconds_count";
        let rpc = "rpc_server_call_duration_seconds_count";
        let get = ("http_request_method", "GET");
        for (counted, labels, slo, count) in [
            (
                http,
                &[get, ("http_route", "/items/{id}")][..],
                "layer_users",
                1.0,
            ),
            (
                http,
                &[get, ("http_route", "/quiet/{id}")],
                "layer_quiet",
                1.0,
            ),
            (rpc, &[("rpc_method", "test.Shop/Buy")], "layer_users", 1.0),
            (rpc, &[("rpc_method", "test.Shop/Sell")], "layer_quiet", 2.0),
        ] {
            assert_joins(&exporter, counted, labels, slo, count);
        }
        for line in objectives(&exporter.render(), &["layer_"]) {
            let has_endpoint = ["http_route=", "rpc_method=", "{endpoint="];
            assert!(
                has_endpoint.iter().any(|label| line.contains(label)),
                "{line}"
            );
        }
    });
}
