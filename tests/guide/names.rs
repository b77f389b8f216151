//! The names of the article.

#[path = "../exporter_promtool.rs"]
mod exporter_promtool;

use instrument_runtime::{MetricNames, instrumented};
use instrument_tests::alone;

#[instrumented(endpoint = "/test", method = "GET")]
async fn test() -> &'static str {
    "test"
}

#[test]
fn the_article_names_a_gauge_like_a_counter() {
    alone("names::the_article_names_a_gauge_like_a_counter", || {
        let exporter = instrument_runtime::builder("article")
            .without_listener()
            .names(MetricNames::article())
            .install()
            .expect("installs");
        futures::executor::block_on(test());
        let page = exporter.render();
        for kind in [
            "requests_total counter",
            "request_latency_seconds histogram",
            "requests_in_progress_total gauge",
        ] {
            assert!(page.contains(&format!("# TYPE {kind}\n")), "{page}");
        }
        // `None` if promtool is not installed.
        if let Some(remarks) = exporter_promtool::remarks(&page) {
            let remark = "requests_in_progress_total non-counter metrics should not have \
                          \"_total\" suffix";
            assert!(remarks.contains(remark), "{remarks}");
        }
    });
}
