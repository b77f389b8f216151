//! What the guide says about actix-web: how requests with a method that no handler takes are
//! counted.

use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, web};
use instrument_runtime::actix_web::middleware;
use instrument_runtime::instrumented;
use instrument_tests::recorded::Recorded;

#[instrumented]
#[actix_web::get("/attribute")]
async fn attribute() -> &'static str {
    "text"
}

#[instrumented]
async fn resource() -> &'static str {
    "text"
}

#[test]
fn another_method_is_counted_under_its_route() {
    for (method, path, expected) in [
        (
            "GET",
            "/attribute",
            "method=GET endpoint=/attribute outcome=ok http_status=200 1",
        ),
        (
            "POST",
            "/attribute",
            "method=POST endpoint=/attribute outcome=client_error http_status=404 1",
        ),
        (
            "HEAD",
            "/attribute",
            "method=HEAD endpoint=/attribute outcome=client_error http_status=404 1",
        ),
        (
            "POST",
            "/resource",
            "method=POST endpoint=/resource outcome=client_error http_status=405 1",
        ),
        (
            "HEAD",
            "/resource",
            "method=HEAD endpoint=/resource outcome=client_error http_status=405 1",
        ),
    ] {
        let lines = Recorded::during(|recorded| {
            actix_web::rt::System::new().block_on(async {
                let app = App::new()
                    .wrap(middleware())
                    .service(attribute)
                    .service(web::resource("/resource").route(web::get().to(resource)));
                let app = init_service(app).await;
                let method = actix_web::http::Method::from_bytes(method.as_bytes());
                let request = TestRequest::with_uri(path).method(method.expect("a method"));
                call_service(&app, request.to_request()).await;
            });
            recorded.lines()
        });
        let requests = lines
            .iter()
            .filter_map(|line| line.strip_prefix("requests_total "));
        assert_eq!(requests.collect::<Vec<_>>(), [expected], "{method} {path}");
    }
}
