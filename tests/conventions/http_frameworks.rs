//! HTTP requests through the layers of axum, actix-web and tower.

use std::sync::LazyLock;
use std::task::{Context, Waker};

use axum::body::Body;
use futures::{FutureExt, StreamExt};
use http::{Request, Response, StatusCode, Version};
use instrument_runtime::{RequestHead, instrumented};
use tower::{Service, ServiceExt, service_fn};

use crate::semconv::{Conventions, Situation};
use crate::{EXPORTER, HTTP, HTTP_AND_SIZE, assert_page, once, page};

/// What is sent to each framework.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    version: Version,
    header: Option<(&'static str, &'static str)>,
}

const GET: Case = Case {
    name: "ok",
    method: "GET",
    path: "/items/7?answer=200",
    version: Version::HTTP_11,
    header: None,
};

/// A request that succeeds, as the conventions describe it.
fn success() -> Situation {
    Situation::of(&[
        ("http.request.method", "GET"),
        ("url.scheme", "http"),
        ("http.route", "/items/{id}"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "1.1"),
    ])
}

/// The cases that are the same on every framework.
fn cases() -> Vec<(Case, Situation)> {
    let status = "http.response.status_code";
    let version = "network.protocol.version";
    let case = |name, path| Case { name, path, ..GET };
    let mut cases = vec![
        (GET, success()),
        (
            case("404", "/items/7?answer=404"),
            success().with(status, "404"),
        ),
        (
            case("499", "/items/7?answer=499"),
            success().with(status, "499"),
        ),
        (
            case("500", "/items/7?answer=500"),
            success().with(status, "500"),
        ),
        (
            case("503", "/items/7?answer=503"),
            success().with(status, "503"),
        ),
        (
            case("panic", "/items/7?answer=panic"),
            success().without(status).failed("panic"),
        ),
        (
            case("cancelled", "/items/7?answer=never"),
            success().without(status).failed("cancelled"),
        ),
        (
            case("unmatched", "/nowhere"),
            success().with(status, "404").without("http.route"),
        ),
        (
            Case {
                name: "brew",
                method: "BREW",
                ..GET
            },
            success().with("http.request.method", "_OTHER"),
        ),
        (
            Case {
                name: "query",
                method: "QUERY",
                ..GET
            },
            success().with("http.request.method", "QUERY"),
        ),
        (
            Case {
                name: "absolute",
                path: "https://shop.example/items/7?answer=200",
                ..GET
            },
            success().with("url.scheme", "https"),
        ),
    ];
    for (name, written, one) in [
        ("1.0", Version::HTTP_10, "1.0"),
        ("2", Version::HTTP_2, "2"),
        ("3", Version::HTTP_3, "3"),
    ] {
        let case = Case {
            name,
            version: written,
            ..GET
        };
        cases.push((case, success().with(version, one)));
    }
    for (name, header, scheme) in [
        (
            "forwarded",
            ("forwarded", "for=192.0.2.60;proto=https;by=203.0.113.43"),
            "https",
        ),
        (
            "x-forwarded-proto",
            ("x-forwarded-proto", "HTTPS, http"),
            "https",
        ),
        ("odd scheme", ("x-forwarded-proto", "gopher"), "http"),
    ] {
        let case = Case {
            name,
            header: Some(header),
            ..GET
        };
        cases.push((case, success().with("url.scheme", scheme)));
    }
    cases
}

fn name_of(head: &RequestHead<'_>) -> String {
    head.header("x-case").unwrap_or_default().to_owned()
}

fn request(framework: &str, case: &Case) -> Request<Body> {
    let request = Request::builder()
        .method(case.method)
        .uri(case.path)
        .version(case.version)
        .header("x-case", format!("{framework}: {}", case.name));
    let request = case
        .header
        .into_iter()
        .fold(request, |request, (name, value)| {
            request.header(name, value)
        });
    request.body(Body::empty()).expect("a request")
}

/// What the query of a request asks for.
async fn answer(query: Option<&str>) -> StatusCode {
    match query.and_then(|query| query.strip_prefix("answer=")) {
        Some("panic") => panic!("on purpose"),
        Some("never") => std::future::pending().await,
        Some(status) => status.parse().expect("a status"),
        None => StatusCode::NOT_FOUND,
    }
}

#[instrumented]
async fn handler(request: Request<Body>) -> StatusCode {
    answer(request.uri().query()).await
}

fn check(framework: &str, case: &str, situation: &Situation) {
    let case = format!("{framework}: {case}");
    Conventions::read().assert_counted(&page(), &case, HTTP, situation);
}

#[test]
fn requests_of_axum() {
    LazyLock::force(&EXPORTER);
    let app = axum::Router::new()
        .route("/items/{id}", axum::routing::any(handler))
        .layer(instrument_runtime::axum::layer().label("case", name_of));
    for (case, situation) in cases() {
        once(app.clone().oneshot(request("axum", &case)));
        check("axum", case.name, &situation);
    }
    assert_page(&page());
}

/// A size is recorded for each response, with the labels of the duration.
#[test]
fn sizes_of_responses() {
    LazyLock::force(&EXPORTER);
    let layer = instrument_runtime::axum::layer().response_sizes();
    let app = axum::Router::new()
        .route("/items/{id}", axum::routing::any(handler))
        .layer(layer.label("case", name_of));
    for (case, situation) in cases() {
        let response = once(app.clone().oneshot(request("sizes", &case)));
        let metrics = if response.is_some() {
            HTTP_AND_SIZE
        } else {
            HTTP
        };
        drop(response);
        let name = format!("sizes: {}", case.name);
        Conventions::read().assert_counted(&page(), &name, metrics, &situation);
    }
    assert_page(&page());
}

#[test]
fn requests_of_tower() {
    LazyLock::force(&EXPORTER);
    let route = |request: Request<Body>| async {
        if request.uri().path().starts_with("/items/") {
            instrument_runtime::tower::set_matched_route("/items/{id}");
        }
        if request.uri().query() == Some("answer=error") {
            return Err("no response");
        }
        let status = handler(request).await;
        Ok(Response::builder()
            .status(status)
            .body(Body::empty())
            .expect("a response"))
    };
    let layer = instrument_runtime::tower::layer().label("case", name_of);
    let app = tower::ServiceBuilder::new()
        .layer(layer)
        .service(service_fn(route));
    for (case, situation) in cases() {
        once(app.clone().oneshot(request("tower", &case)));
        check("tower", case.name, &situation);
    }
    let error = Case {
        name: "error",
        path: "/items/7?answer=error",
        ..GET
    };
    once(app.oneshot(request("tower", &error)));
    let no_status = success()
        .without("http.response.status_code")
        .failed("_OTHER");
    check("tower", "error", &no_status);
}

/// axum's router has no errors, but its layer may be around another service.
#[test]
fn an_error_inside_the_layer_of_axum() {
    LazyLock::force(&EXPORTER);
    let layer = instrument_runtime::axum::layer().label("case", name_of);
    let refuse = |_: Request<Body>| async { Err::<Response<Body>, _>("no response") };
    let app = tower::ServiceBuilder::new()
        .layer(layer)
        .service(service_fn(refuse));
    let error = Case {
        name: "error",
        ..GET
    };
    once(app.oneshot(request("axum", &error)));
    let no_status = success()
        .without("http.response.status_code")
        .without("http.route")
        .failed("_OTHER");
    check("axum", "error", &no_status);
}

/// A panic that middleware answers has the status that was sent.
#[test]
fn a_panic_that_is_answered() {
    async fn caught(request: Request<Body>, next: axum::middleware::Next) -> Response<Body> {
        let response = std::panic::AssertUnwindSafe(next.run(request)).catch_unwind();
        response.await.unwrap_or_else(|_| {
            let response = Response::builder().status(500);
            response.body(Body::empty()).expect("a response")
        })
    }
    LazyLock::force(&EXPORTER);
    let app = axum::Router::new()
        .route("/items/{id}", axum::routing::any(handler))
        .layer(axum::middleware::from_fn(caught))
        .layer(instrument_runtime::axum::layer().label("case", name_of));
    let case = Case {
        name: "answered",
        path: "/items/7?answer=panic",
        ..GET
    };
    once(app.oneshot(request("axum", &case)));
    let situation = success()
        .with("http.response.status_code", "500")
        .failed("panic");
    check("axum", "answered", &situation);
}

/// The status went out before the body failed.
#[test]
fn bodies_that_fail() {
    LazyLock::force(&EXPORTER);
    let stream = |request: Request<Body>| async move {
        let failed = futures::stream::iter([Err::<&str, _>("broken")]);
        Body::from_stream(match request.uri().query() {
            Some("answer=failed") => failed.boxed(),
            _ => futures::stream::pending().boxed(),
        })
    };
    let app = axum::Router::new()
        .route("/items/{id}", axum::routing::any(stream))
        .layer(
            instrument_runtime::axum::layer()
                .until_body_end()
                .label("case", name_of),
        );
    for (name, path, error) in [
        ("failed body", "/items/7?answer=failed", "_OTHER"),
        ("dropped body", "/items/7?answer=dropped", "cancelled"),
    ] {
        let case = Case { name, path, ..GET };
        let response = once(app.clone().oneshot(request("axum", &case))).expect("a response");
        let Ok(response) = response;
        once(axum::body::to_bytes(response.into_body(), usize::MAX));
        check("axum", name, &success().failed(error));
    }
}

/// The framework's route wins over the handler's endpoint, and the handler's labels are
/// added.
#[test]
fn a_handler_with_an_endpoint() {
    #[instrumented(endpoint = "items", handler, labels(kind = "named"))]
    async fn named() {}

    LazyLock::force(&EXPORTER);
    let app = axum::Router::new()
        .route("/items/{id}", axum::routing::any(named))
        .layer(instrument_runtime::axum::layer().label("case", name_of));
    let case = Case {
        name: "named",
        ..GET
    };
    once(app.oneshot(request("axum", &case)));
    let page = page();
    let own = [("case", "axum: named"), ("kind", "named")];
    for (sample, route) in [
        (
            "http_server_request_duration_seconds_count",
            Some("/items/{id}"),
        ),
        ("http_server_active_requests", None),
    ] {
        let found: Vec<_> = page
            .labels(sample)
            .filter(|labels| {
                own.iter()
                    .all(|(name, value)| labels.get(*name).is_some_and(|own| own == value))
            })
            .map(|labels| labels.get("http_route").map(String::as_str))
            .collect();
        assert_eq!(found, [route], "{sample}");
    }
}

#[test]
fn requests_in_progress() {
    LazyLock::force(&EXPORTER);
    let layer = instrument_runtime::axum::layer().label("case", name_of);
    let mut app = axum::Router::new()
        .route("/items/{id}", axum::routing::any(handler))
        .layer(layer);
    let case = Case {
        name: "in progress",
        path: "/items/7?answer=never",
        ..GET
    };
    let mut request = Box::pin(app.call(request("axum", &case)));
    let polled = request
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    let labels = [
        ("case", "axum: in progress"),
        ("http_request_method", "GET"),
        ("url_scheme", "http"),
    ];
    assert_eq!(page().exactly("http_server_active_requests", &labels), 1.0);
    drop(request);
    assert_eq!(page().exactly("http_server_active_requests", &labels), 0.0);
}

#[actix_web::test]
async fn requests_of_actix_web() {
    use actix_web::test::{TestRequest, init_service, try_call_service};
    use actix_web::{App, HttpRequest, HttpResponse, web};

    async fn items(request: HttpRequest) -> Result<HttpResponse, actix_web::Error> {
        let query = request.query_string();
        if query == "answer=error" {
            return Err(std::io::Error::other("no status").into());
        }
        let status = answer((!query.is_empty()).then_some(query)).await;
        let status = actix_web::http::StatusCode::from_u16(status.as_u16()).expect("a status");
        Ok(HttpResponse::build(status).finish())
    }

    LazyLock::force(&EXPORTER);
    let layer = instrument_runtime::actix_web::middleware().label("case", name_of);
    let app = App::new()
        .service(web::resource("/items/{id}").to(items))
        .wrap(layer);
    let app = init_service(app).await;
    let error = Case {
        name: "error",
        path: "/items/7?answer=error",
        ..GET
    };
    // actix-web has a status for every error.
    let error = (error, success().with("http.response.status_code", "500"));
    for (case, situation) in cases().into_iter().chain([error]) {
        let request = TestRequest::with_uri(case.path)
            .method(actix_web::http::Method::from_bytes(case.method.as_bytes()).expect("a method"))
            .version(match case.version {
                Version::HTTP_10 => actix_web::http::Version::HTTP_10,
                Version::HTTP_2 => actix_web::http::Version::HTTP_2,
                Version::HTTP_3 => actix_web::http::Version::HTTP_3,
                _ => actix_web::http::Version::HTTP_11,
            })
            .insert_header(("x-case", format!("actix-web: {}", case.name)));
        let request = case
            .header
            .into_iter()
            .fold(request, |request, header| request.insert_header(header));
        once(async {
            if let Err(error) = try_call_service(&app, request.to_request()).await {
                // The server does this.
                drop(error.error_response());
            }
        });
        check("actix-web", case.name, &situation);
    }
    assert_page(&page());
}
