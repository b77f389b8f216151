//! Prometheus servers of several versions scrape one page in each format that they can ask
//! for. In each format they must store the same series, with the same values.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use fleet::Labels;
use futures::executor::block_on;
use instrument_runtime::{Exporter, HttpStatus, Objective, instrumented};
use instrument_tests::page::Page;
use instrument_tests::prometheus_server::{FEATURES, Job, Release, Server};
use instrument_tests::recording_proxy::{RecordingProxy, Scrape};
use instrument_tests::wait_until;
use metrics::{counter, gauge, histogram};

/// The servers scrape this often.
const INTERVAL: &str = "100ms";
/// The names of the series to compare start with these words. The other series of the page
/// differ from scrape to scrape.
const COMPARED: [&str; 6] = [
    "request", "uploads", "retries", "taken", "payload", "target",
];

const PROTOBUF: &str = "application/vnd.google.protobuf;\
                        proto=io.prometheus.client.MetricFamily;encoding=delimited";
const OPEN_METRICS_1: &str = "application/openmetrics-text;version=1.0.0";
const OPEN_METRICS_0: &str = "application/openmetrics-text;version=0.0.1";
const TEXT_1: &str = "text/plain;version=1.0.0";
const TEXT_0: &str = "text/plain;version=0.0.4";

/// A value of the setting `scrape_protocols`, and the format that it prefers.
struct Order {
    protocols: &'static [&'static str],
    /// The start of the header `Accept`. The page has all formats, so its `Content-Type`
    /// starts with the same media type.
    preferred: &'static str,
}

impl Order {
    fn asks(&self, scrape: &Scrape) -> bool {
        scrape.accept.starts_with(self.preferred)
    }
}

/// The orders between which the servers switch. Versions without the setting have only
/// their default order.
fn orders(release: &Release, features: &[&str]) -> Vec<Order> {
    let order = |protocols, preferred| Order {
        protocols,
        preferred,
    };
    let default = match release.number() {
        _ if features.is_empty() => OPEN_METRICS_1,
        (0..3, _) | (3, 0..=5) => PROTOBUF,
        // The effect of the feature flags on the default order differs by version.
        _ => "",
    };
    let mut orders = vec![order(&[], default)];
    if release.has_scrape_protocols() {
        orders.extend([
            order(&["PrometheusText0.0.4"], TEXT_0),
            order(&["OpenMetricsText1.0.0"], OPEN_METRICS_1),
            order(
                &[
                    "PrometheusProto",
                    "OpenMetricsText1.0.0",
                    "OpenMetricsText0.0.1",
                    "PrometheusText0.0.4",
                ],
                PROTOBUF,
            ),
            order(&["OpenMetricsText0.0.1"], OPEN_METRICS_0),
            order(&["PrometheusProto"], PROTOBUF),
        ]);
    }
    if release.number() >= (3, 0) {
        orders.push(order(&["PrometheusText1.0.0"], TEXT_1));
    }
    orders
}

#[derive(HttpStatus)]
enum Refusal {
    #[http_status(404)]
    Unknown,
}

/// The threshold has several spellings, too: `3600` and `3600.0`.
const ITEMS: Objective = Objective::new("items")
    .success(99.9)
    .latency(Duration::from_secs(3_600), 99.0);
/// The same bound as one of the histogram.
const MILLION: Objective = Objective::new("million").latency(Duration::from_secs(2_000_000), 90.0);

#[instrumented(
    endpoint = "/items/{id}",
    method = "GET",
    labels(shop = "a\\b\"c\n"),
    objective = [ITEMS, MILLION]
)]
async fn item(is_there: bool) -> Result<(), Refusal> {
    is_there.then_some(()).ok_or(Refusal::Unknown)
}

/// Records a number of calls, and metrics of each type with the facade.
fn record(calls: u32) {
    for number in 0..calls {
        // The result does not matter here: the call counts by its outcome.
        let _ = block_on(item(number % 3 != 0));
    }
    counter!("uploads_total", "kind" => "a\"b\\c\nd").increment(3);
    counter!("retries").increment(1);
    // In OpenMetrics, the family of this counter would have the name of the gauge.
    counter!("taken_total").increment(1);
    gauge!("taken").set(-0.5 * f64::from(calls));
    histogram!("payload.bytes", "x" => ",le=\"1\"").record(f64::from(calls));
}

/// The samples by their labels, of which `__name__` is one.
type Samples = BTreeMap<Labels, f64>;

/// The samples on the page that a server must store.
fn samples(exporter: &Exporter) -> Samples {
    let mut samples = Samples::new();
    for (name, labels, value) in Page::parse(&exporter.render()).all() {
        if COMPARED.iter().any(|start| name.starts_with(start)) {
            let mut labels = labels.clone();
            labels.insert("__name__".to_owned(), name.to_owned());
            samples.insert(labels, value);
        }
    }
    samples
}

/// Returns the selector of the series to compare.
fn compared() -> String {
    format!(
        "{{job='{}', __name__=~'({}).*'}}",
        Job::NAME,
        COMPARED.join("|")
    )
}

/// Removes the labels that the server adds.
fn own(mut labels: Labels) -> Labels {
    for added in ["instance", "job"] {
        assert!(labels.remove(added).is_some(), "no {added}: {labels:?}");
    }
    labels
}

/// A server and the proxy through which it scrapes.
struct Case {
    server: Server,
    proxy: RecordingProxy,
    orders: Vec<Order>,
    _folder: tempfile::TempDir,
}

impl Case {
    fn start(release: &Release, exporter: &Exporter) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let proxy = RecordingProxy::start(exporter.local_addr().expect("a TCP listener"));
        let job = Job::new(proxy.addr, INTERVAL);
        Self {
            server: Server::start(release, folder.path(), &[], &job),
            proxy,
            orders: orders(release, &[]),
            _folder: folder,
        }
    }

    fn restart_with_features(self) -> Self {
        let features = self.server.release.known(&FEATURES);
        let job = Job::new(self.proxy.addr, INTERVAL);
        let server = self.server.restart(&features, &job);
        // The scrapes before the restart asked for another format.
        drop(self.proxy.take());
        Self {
            orders: orders(&server.release, &features),
            server,
            ..self
        }
    }

    fn version(&self) -> &str {
        &self.server.release.version
    }

    /// Returns order number `step`, or nothing if the server has fewer orders.
    fn order(&self, step: usize) -> Option<&Order> {
        self.orders.get(step)
    }

    /// Makes the server ask in order number `step`, and waits until it does.
    fn switch(&self, step: usize) {
        let Some(order) = self.order(step) else {
            return;
        };
        // The first order is the one with which the server has started.
        if step > 0 {
            self.server.reload(&Job {
                protocols: order.protocols,
                ..Job::new(self.proxy.addr, INTERVAL)
            });
        }
        let what = format!("{} of Prometheus {}", order.preferred, self.version());
        let asks = |last: &Option<Scrape>| last.as_ref().is_some_and(|scrape| order.asks(scrape));
        wait_until(&what, || self.proxy.last(), asks);
    }

    /// Checks that the server has exactly these samples, and has never had other series.
    fn check(&self, step: usize, expected: &Samples) {
        let Some(order) = self.order(step) else {
            return;
        };
        let what = format!("Prometheus {} {:?}", self.version(), order.protocols);
        let difference = || {
            let stored = self.server.query(&compared()).expect("a vector");
            let number = stored.len();
            let stored: Samples = stored.into_iter().map(|(l, v)| (own(l), v)).collect();
            assert_eq!(stored.len(), number, "{what} twice");
            let labels = stored.keys().chain(expected.keys());
            let differing = labels.filter(|labels| stored.get(*labels) != expected.get(*labels));
            let show = |labels: &Labels| {
                let (found, expected) = (stored.get(labels), expected.get(labels));
                format!("{labels:?}: {found:?} instead of {expected:?}")
            };
            differing.map(show).collect::<BTreeSet<String>>()
        };
        wait_until(
            &format!("the samples in {what}"),
            difference,
            BTreeSet::is_empty,
        );
        // Whatever the format, a query joins each objective with the calls within its
        // threshold.
        let joined = "request_objective_ratio{sli='latency'} \
                      * on (app_name, method, endpoint, le) group_left () \
                      sum by (app_name, method, endpoint, le) (request_latency_seconds_bucket)";
        self.server.wait_until(joined, |found| found.len() == 2);
        let ever = self.server.series(&compared()).into_iter().map(own);
        let expected: BTreeSet<Labels> = expected.keys().cloned().collect();
        assert_eq!(ever.collect::<BTreeSet<_>>(), expected, "{what}");

        // A scrape in the previous format may have been answered after the switch. The
        // server has cancelled it.
        let mut scrapes = self.proxy.take();
        scrapes.retain(|scrape| order.asks(scrape));
        let number = scrapes.len();
        scrapes.dedup();
        assert_eq!(scrapes.len(), 1, "{what}: {scrapes:?}");
        let Scrape {
            accept,
            content_type,
        } = &scrapes[0];
        println!("{number} scrapes, {what}\n  {accept}\n  {content_type}");
        let answered = content_type.replace(' ', "");
        assert!(answered.starts_with(order.preferred), "{what}: {scrapes:?}");
    }

    /// Checks that the server never rejected a part of the page.
    fn check_rejections(&self) {
        let version = self.version();
        let own = self.server.own_page();
        let mut counters = 0;
        for (name, labels, value) in own.all() {
            // Not `prometheus_tsdb_out_of_order_samples_total`: after a reload, the old
            // scrape loop appends stale markers. They are out of order and ignored if the
            // new loop has already scraped the target.
            let is_rejection = name.starts_with("prometheus_target_scrapes_")
                || name == "prometheus_tsdb_exemplar_out_of_order_exemplars_total";
            if is_rejection {
                assert_eq!(value, 0.0, "Prometheus {version}: {name}{labels:?}");
                counters += 1;
            }
        }
        assert!(counters >= 5, "Prometheus {version}: {counters}");
        let log = self.server.log();
        let complaint = log
            .lines()
            .find(|line| !line.contains("exiting gracefully"));
        assert_eq!(complaint, None, "Prometheus {version}");
    }
}

/// Runs `each` for all cases at once.
fn at_once(cases: &[Case], each: impl Fn(&Case) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| each(case));
        }
    });
}

#[test]
fn every_format_gives_the_same_series() {
    let exporter = instrument_runtime::builder("formats")
        .listen(([127, 0, 0, 1], 0))
        // Bounds that have several spellings, such as `1e-05` and `0.00001`, `1` and `1.0`.
        .buckets(&[0.00001, 0.25, 1.0, 2_000_000.0])
        .version("1.2.3")
        .install()
        .expect("installs");
    // The series must exist before the first scrape.
    record(5);
    let mut cases: Vec<Case> = Release::all()
        .iter()
        .map(|release| Case::start(release, &exporter))
        .collect();
    for has_features in [false, true] {
        if has_features {
            cases = cases.into_iter().map(Case::restart_with_features).collect();
        }
        let steps = cases.iter().map(|case| case.orders.len()).max();
        for step in 0..steps.unwrap_or(0) {
            at_once(&cases, |case| case.switch(step));
            record(7);
            let expected = samples(&exporter);
            at_once(&cases, |case| case.check(step, &expected));
        }
        at_once(&cases, Case::check_rejections);
    }
}
