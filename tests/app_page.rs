//! The page and the live view, served by handlers in axum and in actix-web.

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

/// The paths of the views, and the URL of the metrics that each of them must ask for.
const VIEWS: [(&str, &str); 2] = [("/live", "metrics"), ("/elsewhere", "../own?a=\"b\"")];

type View = (u16, http::HeaderMap, Vec<u8>);

async fn axum_view(path: &str, encoding: &str) -> View {
    let app = axum::Router::<()>::new()
        .route(VIEWS[0].0, get(on_axum::live_view))
        .route(VIEWS[1].0, get(on_axum::live_view_of(VIEWS[1].1)));
    let request = http::Request::get(path).header("accept-encoding", encoding);
    let Ok(response) = app
        .oneshot(request.body(Body::empty()).expect("a request"))
        .await;
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .expect("a body");
    (parts.status.as_u16(), parts.headers, body.to_vec())
}

async fn actix_web_view(path: &str, encoding: &str) -> View {
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use actix_web::{App, web};

    let app = App::new()
        .route(VIEWS[0].0, web::get().to(on_actix_web::live_view))
        .route(
            VIEWS[1].0,
            web::get().to(on_actix_web::live_view_of(VIEWS[1].1)),
        );
    let app = init_service(app).await;
    let request = TestRequest::with_uri(path).insert_header(("accept-encoding", encoding));
    let response = call_service(&app, request.to_request()).await;
    let mut headers = http::HeaderMap::new();
    for (name, value) in response.headers() {
        let name = http::HeaderName::try_from(name.as_str()).expect("a name");
        headers.append(name, value.as_bytes().try_into().expect("a value"));
    }
    (
        response.status().as_u16(),
        headers,
        read_body(response).await.to_vec(),
    )
}

async fn check_views(view: impl AsyncFn(&str, &str) -> View) {
    for (path, metrics) in VIEWS {
        let (status, headers, plain) = view(path, "identity").await;
        assert_eq!(status, 200, "{path}");
        assert_eq!(headers.get("content-encoding"), None);
        for (name, start) in [
            ("content-type", "text/html; charset=utf-8"),
            ("content-security-policy", "default-src 'none'; "),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("vary", "accept-encoding"),
        ] {
            let value = headers[name].to_str().expect("text");
            assert!(value.starts_with(start), "{name}: {value}");
        }
        let html = String::from_utf8(plain.clone()).expect("text");
        let metrics = format!("data-metrics=\"{}\"", metrics.replace('"', "&quot;"));
        assert!(html.contains(&metrics), "{path} does not ask for {metrics}");
        assert!(html.contains("data-counter=\"requests_total\""));

        let (status, headers, zipped) = view(path, "gzip").await;
        assert_eq!(
            (status, headers["content-encoding"].as_bytes()),
            (200, &b"gzip"[..])
        );
        let mut unzipped = Vec::new();
        let mut decoder = GzDecoder::new(&zipped[..]);
        decoder.read_to_end(&mut unzipped).expect("gzip");
        assert_eq!(unzipped, plain);
    }
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
        for (path, _) in VIEWS {
            for (status, _, body) in [
                axum_view(path, "gzip").await,
                actix_web_view(path, "gzip").await,
            ] {
                assert_eq!(status, 503, "nothing is installed");
                let text = String::from_utf8(body).expect("text");
                assert!(text.contains("instrument_runtime::init"), "{text}");
            }
        }
        let exporter = instrument_runtime::builder("app_page")
            .without_listener()
            // The setting is for the exporter's own listener.
            .without_live_view()
            .install()
            .expect("installs");
        counted().await;
        counted().await;
        check(ask_axum).await;
        check(ask_actix_web).await;
        check_views(axum_view).await;
        check_views(actix_web_view).await;
        hang_ups_cost_nothing().await;
        drop(exporter);
    });
}
