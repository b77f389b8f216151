//! The page served by a handler in axum and in actix-web.

use std::io::Read;

use axum::body::Body;
use axum::routing::get;
use flate2::read::GzDecoder;
use instrument_runtime::{Objective, actix_web as on_actix_web, axum as on_axum, instrumented};
use tower::ServiceExt;

const COUNTED: Objective = Objective::new("counted").success(99.9);

#[instrumented(endpoint = "/counted", method = "GET", objective = COUNTED)]
async fn counted() {}

/// Status, media type, encoding, `vary`, and the body.
type Answer = (u16, Option<String>, Option<String>, Option<String>, Vec<u8>);

async fn ask_axum(accept: Option<&str>) -> Answer {
    let app = axum::Router::<()>::new().route("/own", get(on_axum::metrics));
    let mut request = http::Request::get("/own");
    if let Some(accept) = accept {
        request = request.header("accept-encoding", accept);
    }
    let request = request.body(Body::empty()).expect("a request");
    let Ok(response) = app.oneshot(request).await;
    let (parts, body) = response.into_parts();
    let header = |name| Some(parts.headers.get(name)?.to_str().expect("text").to_owned());
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .expect("a body");
    (
        parts.status.as_u16(),
        header("content-type"),
        header("content-encoding"),
        header("vary"),
        body.to_vec(),
    )
}

async fn ask_actix_web(accept: Option<&str>) -> Answer {
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use actix_web::{App, web};

    let app = init_service(App::new().route("/own", web::get().to(on_actix_web::metrics))).await;
    let mut request = TestRequest::with_uri("/own");
    if let Some(accept) = accept {
        request = request.insert_header(("accept-encoding", accept));
    }
    let response = call_service(&app, request.to_request()).await;
    let headers = response.headers().clone();
    let header = |name| Some(headers.get(name)?.to_str().expect("text").to_owned());
    (
        response.status().as_u16(),
        header("content-type"),
        header("content-encoding"),
        header("vary"),
        read_body(response).await.to_vec(),
    )
}

async fn check(ask: impl AsyncFn(Option<&str>) -> Answer) {
    let page_type = "text/plain; version=0.0.4; charset=utf-8";
    for plain in [None, Some("br"), Some("gzip;q=0, *;q=0")] {
        let (status, media_type, encoding, vary, body) = ask(plain).await;
        assert_eq!((status, encoding), (200, None), "{plain:?}");
        assert_eq!(media_type.as_deref(), Some(page_type));
        assert_eq!(vary.as_deref(), Some("accept, accept-encoding"));
        assert_is_page(&body);
    }
    for zipped in ["gzip", "br, gzip;q=0.5", "*"] {
        let (status, media_type, encoding, vary, body) = ask(Some(zipped)).await;
        assert_eq!(
            (status, encoding.as_deref()),
            (200, Some("gzip")),
            "{zipped}"
        );
        assert_eq!(media_type.as_deref(), Some(page_type));
        assert_eq!(vary.as_deref(), Some("accept, accept-encoding"));
        let mut unzipped = Vec::new();
        GzDecoder::new(&body[..])
            .read_to_end(&mut unzipped)
            .expect("gzip");
        assert_is_page(&unzipped);
    }
}

fn assert_is_page(body: &[u8]) {
    let page = instrument_tests::page::Page::parse(std::str::from_utf8(body).expect("text"));
    let labels = [("app_name", "app_page"), ("endpoint", "/counted")];
    assert_eq!(page.sum("requests_total", &labels), 2.0);
    assert_eq!(page.sum("request_objective_ratio", &labels), 0.999);
}

#[instrumented(endpoint = "/large", method = "GET", labels(tenant = tenant))]
async fn large(tenant: u32) {
    std::hint::black_box(tenant);
}

#[cfg(target_os = "linux")]
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Polls 400 requests once and drops them, as when a client hangs up, while pages are
/// rendered. Checks that at most one thread renders pages, and that the next request gets
/// a page.
async fn hang_ups_cost_nothing() {
    for tenant in 0..1_500 {
        large(tenant).await;
    }
    #[cfg(target_os = "linux")]
    let before = threads();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..200 {
        let mut asked = std::pin::pin!(on_axum::metrics(http::HeaderMap::new()));
        assert!(asked.as_mut().poll(&mut context).is_pending());
        let request = actix_web::test::TestRequest::default().to_http_request();
        let mut asked = std::pin::pin!(on_actix_web::metrics(request));
        assert!(asked.as_mut().poll(&mut context).is_pending());
    }
    #[cfg(target_os = "linux")]
    {
        let more = threads().saturating_sub(before);
        assert!(more <= 1, "{more} more threads");
    }
    let asked = std::time::Instant::now();
    let (status, .., body) = ask_axum(None).await;
    let took = asked.elapsed();
    println!(
        "a page of {} kB after 400 hang-ups: {took:?}",
        body.len() / 1024
    );
    assert_eq!(status, 200);
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
}

#[test]
fn the_page_is_served_once_there_is_one() {
    actix_web::rt::System::new().block_on(async {
        for (status, ..) in [ask_axum(None).await, ask_actix_web(Some("gzip")).await] {
            assert_eq!(status, 503, "nothing is installed");
        }
        let exporter = instrument_runtime::builder("app_page")
            .without_listener()
            .install()
            .expect("installs");
        counted().await;
        counted().await;
        check(ask_axum).await;
        check(ask_actix_web).await;
        hang_ups_cost_nothing().await;
        drop(exporter);
    });
}
