//! A label whose values are chosen by clients, with more values than `max_series`.

mod exporter_promtool;

use instrument_runtime::instrumented;
use instrument_tests::page::Page;

const MAX_SERIES: usize = 40;
const CALLS: usize = 4_000;

#[instrumented(endpoint = "/search", method = "GET", labels(query = query))]
async fn search(query: &str) {
    tokio::task::yield_now().await;
    assert!(!query.is_empty(), "on purpose");
}

fn queries() -> impl Iterator<Item = String> {
    let hostile = [
        "\"} 5\nrequests_total 9".to_owned(),
        "a\"b".to_owned(),
        "a\\\"b".to_owned(),
        "a\\nb".to_owned(),
        "a\nb".to_owned(),
        "\0\u{1b}[2J".to_owned(),
        "\u{202e}\u{2066}".to_owned(),
        "x".repeat(1_000_000),
        "x".repeat(1_000_001),
        String::new(),
    ];
    hostile
        .into_iter()
        .chain((0..).map(|number| format!("q{number}")))
        .take(CALLS)
}

#[test]
fn a_hostile_label_is_bounded_and_loses_no_count() {
    let exporter = instrument_runtime::builder("hostile \"app\"\n")
        .without_listener()
        .max_series(MAX_SERIES)
        .install()
        .expect("installs");
    std::panic::set_hook(Box::new(|_| {}));
    metrics::counter!("of_the_application_total", "a" => "b").increment(7);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .build()
        .expect("a runtime");
    let mut panicked = 0;
    runtime.block_on(async {
        // The hostile values come first, twice each, so that they are within the limit
        // and not in the overflow series.
        for query in queries().take(10).chain(queries().take(10)) {
            let ended = tokio::spawn(async move { search(&query).await }).await;
            panicked += usize::from(ended.is_err());
        }
        let calls: Vec<_> = queries()
            .skip(10)
            .map(|query| tokio::spawn(async move { search(&query).await }))
            .collect();
        for call in calls {
            call.await.expect("ends");
        }
    });
    assert_eq!(panicked, 2);

    let text = exporter.render();
    // An ordinary page has a few hundred bytes per series.
    assert!(text.len() < MAX_SERIES * 15_000, "{} bytes", text.len());
    let page = Page::parse(&text);
    let calls = (CALLS + 10) as f64;
    assert_eq!(page.sum("requests_total", &[]), calls);
    assert_eq!(page.sum("request_latency_seconds_count", &[]), calls);
    assert_eq!(page.sum("requests_in_progress", &[]), 0.0);
    for name in [
        "requests_total",
        "request_latency_seconds_count",
        "requests_in_progress",
    ] {
        assert_eq!(page.series(name), MAX_SERIES + 1, "{name}");
        let overflow: Vec<_> = page
            .labels(name)
            .filter(|labels| labels.contains_key("overflow"))
            .collect();
        let [overflow] = overflow[..] else {
            panic!("{overflow:?}");
        };
        assert_eq!(overflow.len(), 2, "{overflow:?}");
        assert_eq!(overflow["app_name"], "hostile \"app\"\n");
        for query in queries().take(10).filter(|query| query.len() < 100) {
            // Prometheus treats an empty value as an absent label, and the page omits it.
            let counts: Vec<f64> = page
                .samples(name)
                .filter(|(labels, _)| !labels.contains_key("overflow"))
                .filter(|(labels, _)| labels.get("query").map_or("", String::as_str) == query)
                .map(|(_, count)| count)
                .collect();
            let expected = if name == "requests_in_progress" {
                0.0
            } else {
                2.0
            };
            assert_eq!(counts, [expected], "{query:?}");
        }
    }
    assert_eq!(page.sum("of_the_application_total", &[("a", "b")]), 7.0);
    assert_eq!(of_the_calls(&exporter.render()), of_the_calls(&text));
    promtool_approves(&text);
}

/// Returns the page without the process metrics, which change by themselves.
fn of_the_calls(page: &str) -> String {
    page.split_inclusive('\n')
        .filter(|line| !line.contains("process_"))
        .collect()
}

fn promtool_approves(page: &str) {
    // The application's metric has no HELP, which the application would have to give.
    let ours: String = page
        .split_inclusive('\n')
        .filter(|line| !line.contains("of_the_application_total"))
        .collect();
    // `None` if promtool is not installed.
    let remarks = exporter_promtool::remarks(&ours).unwrap_or_default();
    assert_eq!(remarks, "");
}
