//! The messages that the library writes to stderr if an application would see no metrics,
//! or not the metrics it expects. In all other cases, the library must not write anything.
//! Each case runs in a separate process.

use std::process::{Command, Stdio};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use instrument_runtime::instrumented;
use tower::ServiceExt;

/// Runs the case of this name with `INSTRUMENT_DIAGNOSTICS` set to `variable`, and
/// returns the lines that the library wrote.
fn said(case: &str, variable: Option<&str>) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env("CASE", case)
        .env_remove("INSTRUMENT_DIAGNOSTICS")
        .stdin(Stdio::null());
    if let Some(value) = variable {
        command.env("INSTRUMENT_DIAGNOSTICS", value);
    }
    let output = command.output().expect("runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{case}: {stderr}");
    let lines = stderr.lines().filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

/// Checks that a message with these words is written once, and not if messages are off.
fn is_said_once(case: &str, words: &[&str]) {
    let said_by_default = said(case, None);
    println!("{said_by_default:#?}");
    assert_eq!(said_by_default.len(), 1, "{case}: {said_by_default:?}");
    let prefix = said_by_default[0].starts_with("instrument_runtime: ");
    assert!(prefix, "{case}: {said_by_default:?}");
    for word in words.iter().chain(&["INSTRUMENT_DIAGNOSTICS=off"]) {
        assert!(
            said_by_default[0].contains(word),
            "{case}: {word}: {said_by_default:?}"
        );
    }
    for off in ["off", "0"] {
        assert_eq!(said(case, Some(off)), [""; 0], "{case}");
    }
}

#[instrumented]
async fn library() {}

#[instrumented(labels(tenant = tenant))]
async fn labelled(tenant: u32) {
    std::hint::black_box(tenant);
}

#[instrumented(endpoint = "/early", method = "GET")]
async fn early() -> &'static str {
    "early"
}

#[instrumented(endpoint = "/late", method = "GET")]
async fn late() -> &'static str {
    "late"
}

/// Looks like a handler by its method and endpoint only.
#[instrumented(endpoint = "/oauth/keys", method = "GET")]
async fn outbound(url: &str) -> String {
    url.to_owned()
}

#[instrumented(endpoint = "/oauth/introspect", method = "POST")]
async fn introspect(token: String) -> Result<u32, std::num::ParseIntError> {
    token.parse()
}

fn install() -> instrument_runtime::Builder {
    instrument_runtime::builder("diagnostics").without_listener()
}

async fn ask(app: &Router, path: &str) {
    let request = http::Request::get(path).body(Body::empty());
    let Ok(response) = app.clone().oneshot(request.expect("a request")).await;
    assert!(response.status().is_success() || response.status() == 503);
}

#[actix_web::get("/below/{id}")]
#[instrumented]
async fn below(id: actix_web::web::Path<u32>) -> String {
    id.to_string()
}

/// Has no arguments that only a handler has.
#[instrumented(labels(kind = "plain"))]
async fn doubt() -> &'static str {
    "doubt"
}

/// Sends three requests to the application, on the executor that actix-web's tests use.
fn on_actix_web<T, B>(app: actix_web::App<T>, path: &'static str)
where
    T: actix_web::dev::ServiceFactory<
            actix_web::dev::ServiceRequest,
            Config = (),
            Response = actix_web::dev::ServiceResponse<B>,
            Error = actix_web::Error,
            InitError = (),
        > + 'static,
    B: actix_web::body::MessageBody,
{
    use actix_web::test::{TestRequest, call_service, init_service};
    futures::executor::block_on(async {
        let app = init_service(app).await;
        for _ in 0..3 {
            let request = TestRequest::with_uri(path).to_request();
            assert!(call_service(&app, request).await.status().is_success());
        }
    });
}

/// Builds an application in which `/late` is added after the layer.
fn app() -> Router {
    Router::new()
        .route("/early", get(early))
        .layer(instrument_runtime::axum::layer())
        .route("/late", get(late))
}

#[tokio::test]
#[ignore = "run by the other tests in a separate process"]
async fn child() {
    let case = std::env::var("CASE").expect("the case");
    match &*case {
        "a library's calls" => {
            for tenant in 0..3 {
                library().await;
                labelled(tenant).await;
                late().await;
            }
        }
        "a layer and no recorder" => {
            for _ in 0..3 {
                ask(&app(), "/early").await;
            }
        }
        "a layer and a foreign recorder" => {
            metrics_util::debugging::DebuggingRecorder::new()
                .install()
                .expect("the first recorder");
            ask(&app(), "/early").await;
        }
        "a layer and a recording" => {
            let recording = instrument_runtime::testing::Recording::new();
            recording.scope(ask(&app(), "/early")).await;
        }
        "a page and no installation" => {
            let app = Router::new().route("/metrics", get(instrument_runtime::axum::metrics));
            for _ in 0..3 {
                ask(&app, "/metrics").await;
            }
        }
        "a route after the layer" => {
            let _exporter = install().install().expect("installs");
            for path in ["/early", "/late", "/early", "/late"] {
                ask(&app(), path).await;
            }
        }
        "a route after the layer, asked for first" => {
            let _exporter = install().install().expect("installs");
            for path in ["/late", "/late", "/early"] {
                ask(&app(), path).await;
            }
        }
        "a route after the layer, silenced" => {
            let exporter = install().without_diagnostics().install();
            let _exporter = exporter.expect("installs");
            for path in ["/early", "/late"] {
                ask(&app(), path).await;
            }
        }
        "all is well" => {
            let _exporter = install().install().expect("installs");
            ask(&app(), "/early").await;
            library().await;
            labelled(1).await;
            outbound("http://x").await;
            assert!(introspect("1".to_owned()).await.is_ok());
        }
        "no layer" => {
            let _exporter = install().install().expect("installs");
            early().await;
            late().await;
        }
        "a route attribute above" => {
            let _exporter = install().install().expect("installs");
            on_actix_web(actix_web::App::new().service(below), "/below/7");
        }
        "labels in doubt" => {
            let _exporter = install().install().expect("installs");
            let app = actix_web::App::new().route("/doubt", actix_web::web::get().to(doubt));
            on_actix_web(
                app.wrap(instrument_runtime::actix_web::middleware()),
                "/doubt",
            );
        }
        case => panic!("no such case: {case}"),
    }
}

#[test]
fn a_library_never_talks() {
    for variable in [None, Some("off"), Some("on")] {
        assert_eq!(said("a library's calls", variable), [""; 0]);
    }
    // At the level `verbose`, the library does write a message.
    let verbose = said("a library's calls", Some("verbose"));
    assert_eq!(verbose.len(), 1, "{verbose:?}");
    assert!(verbose[0].contains("`library`"), "{verbose:?}");
    assert!(
        verbose[0].contains("instrument_runtime::init"),
        "{verbose:?}"
    );
}

#[test]
fn an_application_that_is_well_hears_nothing() {
    for case in [
        "all is well",
        "no layer",
        "a layer and a foreign recorder",
        "a layer and a recording",
    ] {
        assert_eq!(said(case, None), [""; 0], "{case}");
        assert_eq!(said(case, Some("verbose")), [""; 0], "{case}");
    }
}

#[test]
fn requests_that_nobody_records_are_mentioned() {
    is_said_once(
        "a layer and no recorder",
        &["no recorder is installed", "instrument_runtime::init"],
    );
}

#[test]
fn a_page_that_nobody_installed_is_mentioned() {
    is_said_once(
        "a page and no installation",
        &["503", "instrument_runtime::init"],
    );
}

#[test]
fn a_route_that_the_layer_does_not_see_is_mentioned() {
    let words = ["GET /late", "after all routes", "handler = false"];
    is_said_once("a route after the layer", &words);
    is_said_once("a route after the layer, asked for first", &words);
    let silenced = said("a route after the layer, silenced", Some("verbose"));
    assert_eq!(silenced, [""; 0]);
}

#[test]
fn a_handler_without_a_route_is_mentioned() {
    is_said_once(
        "a route attribute above",
        &["below", "above the route attribute"],
    );
}

#[test]
fn labels_that_a_request_may_miss_are_mentioned() {
    is_said_once("labels in doubt", &["doubt", "#[instrumented(handler, …)]"]);
}
