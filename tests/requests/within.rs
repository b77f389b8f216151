//! Requests inside requests, and routers inside layers.

use std::convert::Infallible;

use http::{Request, Response, StatusCode};
use instrument_runtime::instrumented;
use instrument_runtime::tower::{layer, set_matched_route};
use instrument_tests::recorded::{Recorded, one_call};
use tower::{Layer, Service, ServiceExt, service_fn};

fn request(path: &str) -> Request<()> {
    Request::get(path).body(()).expect("a request")
}

/// Returns the lines of `requests_total`.
pub(crate) fn counted(recorded: &Recorded) -> Vec<String> {
    let lines = recorded.lines();
    for line in &lines {
        assert!(
            !line.starts_with("requests_in_progress") || line.ends_with(" 0"),
            "{line}"
        );
    }
    let of_requests = lines
        .iter()
        .filter_map(|line| line.strip_prefix("requests_total "));
    of_requests.map(str::to_owned).collect()
}

/// Another service, with its own layer.
fn other() -> impl Service<Request<()>, Response = Response<()>, Error = Infallible> + Clone {
    layer().layer(service_fn(async |request: Request<()>| {
        tokio::task::yield_now().await;
        set_matched_route("/other");
        let mut response = Response::new(());
        if request.uri().path() == "/broken" {
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
        Ok(response)
    }))
}

async fn ask_twice() -> Response<()> {
    let Ok(_) = other().oneshot(request("/fine")).await;
    let Ok(_) = other().oneshot(request("/broken")).await;
    Response::new(())
}

#[instrumented(handler)]
async fn annotated() -> Response<()> {
    ask_twice().await
}

#[test]
fn a_handlers_own_requests_are_counted_each() {
    for is_annotated in [false, true] {
        Recorded::during_async(async |recorded| {
            let app = layer().layer(service_fn(async |_: Request<()>| {
                set_matched_route("/app");
                Ok::<_, Infallible>(match is_annotated {
                    true => annotated().await,
                    false => ask_twice().await,
                })
            }));
            let Ok(_) = app.oneshot(request("/")).await;
            assert_eq!(
                counted(recorded),
                [
                    "method=GET endpoint=/app outcome=ok http_status=200 1",
                    "method=GET endpoint=/other outcome=error http_status=502 1",
                    "method=GET endpoint=/other outcome=ok http_status=200 1",
                ]
            );
        });
    }
}

#[test]
fn three_layers_count_one_request() {
    Recorded::during_async(async |recorded| {
        let app = layer().layer(
            layer().layer(layer().layer(service_fn(async |_: Request<()>| {
                set_matched_route("/app");
                Ok::<_, Infallible>(Response::new(()))
            }))),
        );
        let Ok(_) = app.oneshot(request("/")).await;
        assert_eq!(
            counted(recorded),
            ["method=GET endpoint=/app outcome=ok http_status=200 1"]
        );
    });
}

#[instrumented(labels(kind = kind))]
async fn check(kind: u8) -> Response<()> {
    for _ in 0..kind {
        tokio::task::yield_now().await;
    }
    Response::new(())
}

#[instrumented(handler)]
async fn handler() -> Response<()> {
    Response::new(())
}

/// A function that runs before the router is not the handler of a route.
#[test]
fn a_function_before_the_router_does_not_take_the_request() {
    for is_annotated in [false, true] {
        Recorded::during_async(async |recorded| {
            let app = layer().layer(service_fn(async |_: Request<()>| {
                check(7).await;
                set_matched_route("/app");
                Ok::<_, Infallible>(match is_annotated {
                    true => handler().await,
                    false => Response::new(()),
                })
            }));
            let Ok(_) = app.oneshot(request("/")).await;
            assert_eq!(
                counted(recorded),
                [
                    "endpoint=within::check kind=7 outcome=ok http_status=200 1",
                    "method=GET endpoint=/app outcome=ok http_status=200 1",
                ]
            );
        });
    }
}

#[instrumented(handler, labels(kind = "router"))]
async fn router() -> Response<()> {
    set_matched_route("/app");
    tokio::task::yield_now().await;
    Response::new(())
}

#[test]
fn an_annotated_router_tells_its_route() {
    Recorded::during_async(async |recorded| {
        let app = layer().layer(service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(router().await)
        }));
        let Ok(_) = app.oneshot(request("/")).await;
        assert_eq!(
            counted(recorded),
            ["method=GET endpoint=/app kind=router outcome=ok http_status=200 1"]
        );
    });
}

#[test]
fn a_service_that_fails_is_an_error_without_a_status() {
    Recorded::during_async(async |recorded| {
        let app = layer().layer(service_fn(async |_: Request<()>| {
            Err::<Response<()>, _>("no answer")
        }));
        assert!(app.oneshot(request("/")).await.is_err());
        assert_eq!(
            recorded.lines(),
            one_call("method=GET endpoint=unmatched", "outcome=error")
        );
    });
}
