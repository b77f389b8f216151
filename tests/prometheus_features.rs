//! Prometheus servers of several versions read what only a part of the formats has, or what
//! needs a feature flag: native histograms, exemplars and created timestamps.

use std::cell::Cell;
use std::sync::LazyLock;
use std::thread;

use futures::executor::block_on;
use instrument_runtime::{Exporter, TraceContext, instrumented};
use instrument_tests::prometheus_server::{FEATURES, Job, Release, Server, ZERO_INGESTION};
use metrics::histogram;

/// The page of all tests: a process has only one recorder.
static EXPORTER: LazyLock<Exporter> = LazyLock::new(|| {
    instrument_runtime::builder("features")
        .listen(([127, 0, 0, 1], 0))
        .native_histograms()
        .exemplars(|| IS_TRACED.get().then(|| TraceContext::new(TRACE, SPAN)))
        .install()
        .expect("installs")
});

/// A job that scrapes the page.
fn job() -> Job<'static> {
    Job::new(EXPORTER.local_addr().expect("a TCP listener"), "100ms")
}

/// Starts a server with the feature flags that its version has. Returns it with its folder.
fn start(release: &Release, job: &Job<'_>) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(release, folder.path(), &release.known(&FEATURES), job);
    (server, folder)
}

/// Runs `test` with all versions at once.
fn with_each(test: impl Fn(&Release) + Sync) {
    let releases = Release::all();
    thread::scope(|scope| {
        for release in &releases {
            scope.spawn(|| test(release));
        }
    });
}

/// The settings with which a server stores native buckets beside the classic ones.
fn both_kinds(release: &Release) -> &'static [&'static str] {
    match release.number() {
        // Stores native buckets only.
        (0..2, _) | (2, 0..45) => &[],
        (2, _) => &["scrape_classic_histograms: true"],
        (3, 0..8) => &["always_scrape_classic_histograms: true"],
        _ => &[
            "always_scrape_classic_histograms: true",
            "scrape_native_histograms: true",
        ],
    }
}

#[test]
fn native_histograms_are_exact_within_a_bucket() {
    LazyLock::force(&EXPORTER);
    let series = [
        // From 1 ms to 10 s, on a logarithmic scale.
        (
            "spread",
            (0..1_000)
                .map(|number| 0.001 * 10_f64.powf(f64::from(number) / 250.0))
                .collect::<Vec<f64>>(),
        ),
        // All at the lower bound of a bucket. Interpolation spreads them over the bucket,
        // which is the largest possible error.
        ("equal", vec![0.0965; 1_000]),
    ];
    for (kind, values) in &series {
        for value in values {
            histogram!("request_latency_seconds", "kind" => *kind).record(*value);
        }
    }
    with_each(|release| {
        let version = &release.version;
        let settings = both_kinds(release);
        let (server, _folder) = start(release, &Job { settings, ..job() });
        for (kind, values) in &series {
            let native = format!("request_latency_seconds{{kind='{kind}'}}");
            let count = format!("histogram_count({native})");
            server.wait_until(
                &count,
                |found| matches!(found, [(_, count)] if *count == 1_000.0),
            );
            let sum: f64 = values.iter().sum();
            let found = server.number(&format!("histogram_sum({native})"));
            let found = found.expect("a sum");
            assert!((found / sum - 1.0).abs() < 1e-6, "{version}: {found} {sum}");
            if !settings.is_empty() {
                let count = format!("request_latency_seconds_count{{kind='{kind}'}}");
                assert_eq!(server.number(&count).expect("a count"), 1_000.0);
            }
            for (quantile, rank) in [(0.01, 10), (0.5, 500), (0.95, 950), (0.99, 990)] {
                let query = format!("histogram_quantile({quantile}, {native})");
                let found = server.number(&query).expect("a quantile");
                let exact = values[rank - 1];
                let error = (found / exact - 1.0).abs();
                println!("Prometheus {version}: {query} is {found:.5}, error {error:.4}");
                // The bounds of a bucket of schema 3 differ by the factor 2^(1/8).
                let at_most = 0.125_f64.exp2() - 1.0;
                assert!(error <= at_most, "{version}: {query} {found} {exact}");
            }
        }
    });
}

#[instrumented(endpoint = "/late", method = "GET", labels(version = version))]
async fn late(version: &str) {}

/// The first sample of a series is its first count. `increase` does not see that count,
/// unless the server adds a sample of 0 at the series' created timestamp.
#[test]
fn the_first_call_of_a_series_is_an_increase() {
    LazyLock::force(&EXPORTER);
    with_each(|release| {
        let version = &release.version;
        if release.known(&[ZERO_INGESTION]).is_empty() {
            return;
        }
        let (server, _folder) = start(release, &job());
        server.wait_until("up", |up| matches!(up, [(_, up)] if *up == 1.0));
        block_on(late(version));
        let series = format!("requests_total{{version='{version}'}}[1m]");
        server.wait_until(
            &format!("max_over_time({series})"),
            |found| matches!(found, [(_, most)] if *most == 1.0),
        );
        let least = server.number(&format!("min_over_time({series})"));
        assert_eq!(least.expect("a sample"), 0.0, "Prometheus {version}");
        server.wait_until(
            &format!("increase({series})"),
            |found| matches!(found, [(_, increase)] if *increase > 0.0),
        );
    });
}

const TRACE: [u8; 16] = [0xAB; 16];
const SPAN: [u8; 8] = [0xCD; 8];

thread_local! {
    static IS_TRACED: Cell<bool> = const { Cell::new(false) };
}

#[instrumented(endpoint = "/traced", method = "GET")]
async fn traced() {}

#[test]
fn an_exemplar_has_the_trace_of_its_call() {
    LazyLock::force(&EXPORTER);
    IS_TRACED.set(true);
    // The first call of a process goes through the facade, which has no exemplars.
    block_on(traced());
    block_on(traced());
    IS_TRACED.set(false);
    with_each(|release| {
        let mut orders: Vec<&[&str]> = vec![&[]];
        if release.has_scrape_protocols() {
            orders.push(&["OpenMetricsText1.0.0"]);
        }
        for protocols in orders {
            let (server, _folder) = start(release, &Job { protocols, ..job() });
            let query = r#"{__name__=~"request.+", endpoint="/traced"}"#;
            let found = server.wait_for_exemplars(query, |found| !found.is_empty());
            println!("Prometheus {} {protocols:?}: {found:?}", release.version);
            for exemplar in found {
                assert_eq!(exemplar.labels["trace_id"], "ab".repeat(16));
                assert_eq!(exemplar.labels["span_id"], "cd".repeat(8));
            }
        }
    });
}
