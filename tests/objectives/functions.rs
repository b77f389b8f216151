//! Objectives of functions that no layer calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::Duration;

use instrument_runtime::{MetricNames, Objective, instrumented};
use instrument_tests::alone;
use instrument_tests::page::Page;
use metrics::{counter, gauge};

use crate::exporter_promtool::remarks;
use crate::{RATIO, objectives, ready, set, shop};

type Labels = BTreeMap<String, String>;

const CHECKOUT: Objective = Objective::new("checkout")
    .success(99.9)
    .latency(Duration::from_millis(250), 99.0);
const FAST: Objective = Objective::new("fast").latency(Duration::from_millis(30), 99.95);
const BATCH: Objective = Objective::new("batch").success(90.5);

#[instrumented(endpoint = "/cart", method = "POST", objective = CHECKOUT)]
async fn cart() {}

#[instrumented(endpoint = "/search", method = "GET", objective = [FAST, CHECKOUT])]
async fn search() -> Result<(), ()> {
    Err(())
}

#[instrumented(endpoint = "/tenant", method = "GET", labels(tenant = tenant, slo = "own"), objective = FAST)]
async fn tenant(tenant: &str) {
    assert!(!tenant.is_empty());
}

#[instrumented(endpoint = "/named", objective = FAST)]
async fn named() {}

#[instrumented(objective = BATCH)]
async fn worker() {}

#[instrumented(objective = BATCH)]
fn plain(number: u32) -> u32 {
    number
}

/// The objective need not have a name in the code.
#[instrumented(objective = Objective::new("inline").success(50.0))]
fn returned() -> impl Future<Output = ()> {
    std::future::ready(())
}

#[instrumented(objective = BATCH)]
async fn generic<T: Display>(value: T) -> String {
    value.to_string()
}

macro_rules! made {
    ($name:ident, $objective:expr, $list:expr) => {
        #[instrumented(endpoint = "made", objective = $objective)]
        fn $name() {
            #[instrumented(endpoint = "list", objective = $list)]
            fn inner() {}
            inner();
        }
    };
}

made!(made, BATCH, [BATCH]);

struct Shop;

#[instrumented(objective = CHECKOUT)]
impl Shop {
    const INNER: Objective = Objective::new("inner").success(42.0);

    async fn inherits(&self) {}

    #[instrumented(objective = FAST)]
    async fn replaces(&self) {}

    #[instrumented(objective = [])]
    async fn is_exempt(&self) {}

    #[instrumented(skip)]
    async fn is_skipped(&self) {}

    #[instrumented(objective = Shop::INNER)]
    fn plain(&self) {}
}

#[async_trait::async_trait]
trait Store {
    async fn below(&self);
    async fn above(&self);
}

#[async_trait::async_trait]
impl Store for Shop {
    #[instrumented(endpoint = "below", objective = BATCH)]
    async fn below(&self) {}

    async fn above(&self) {}
}

struct Other;

#[instrumented(objective = BATCH)]
#[async_trait::async_trait]
impl Store for Other {
    async fn below(&self) {}

    async fn above(&self) {}
}

fn call_all() {
    ready(cart());
    assert!(ready(search()).is_err());
    ready(tenant("a"));
    ready(tenant("b"));
    ready(named());
    ready(worker());
    plain(1);
    ready(returned());
    ready(generic(1));
    ready(generic("text"));
    made();
    ready(Shop.inherits());
    ready(Shop.replaces());
    ready(Shop.is_exempt());
    ready(Shop.is_skipped());
    Shop.plain();
    ready(Shop.below());
    ready(Shop.above());
    ready(Other.below());
    ready(Other.above());
}

/// The objectives of this file, with the labels that `MetricNames::default` gives them.
const ALL: [&str; 22] = [
    r#"{app_name="shop",endpoint="/cart",method="POST",sli="latency",slo="checkout",le="0.25"} 0.99"#,
    r#"{app_name="shop",endpoint="/cart",method="POST",sli="success",slo="checkout"} 0.999"#,
    r#"{app_name="shop",endpoint="/named",sli="latency",slo="fast",le="0.03"} 0.9995"#,
    r#"{app_name="shop",endpoint="/search",method="GET",sli="latency",slo="checkout",le="0.25"} 0.99"#,
    r#"{app_name="shop",endpoint="/search",method="GET",sli="latency",slo="fast",le="0.03"} 0.9995"#,
    r#"{app_name="shop",endpoint="/search",method="GET",sli="success",slo="checkout"} 0.999"#,
    r#"{app_name="shop",endpoint="/tenant",method="GET",sli="latency",slo="fast",le="0.03"} 0.9995"#,
    r#"{app_name="shop",endpoint="below",sli="success",slo="batch"} 0.905"#,
    r#"{app_name="shop",endpoint="functions::Other::above",sli="success",slo="batch"} 0.905"#,
    r#"{app_name="shop",endpoint="functions::Other::below",sli="success",slo="batch"} 0.905"#,
    r#"{app_name="shop",endpoint="functions::Shop::inherits",sli="latency",slo="checkout",le="0.25"} 0.99"#,
    r#"{app_name="shop",endpoint="functions::Shop::inherits",sli="success",slo="checkout"} 0.999"#,
    r#"{app_name="shop",endpoint="functions::Shop::plain",sli="success",slo="inner"} 0.42"#,
    r#"{app_name="shop",endpoint="functions::Shop::replaces",sli="latency",slo="fast",le="0.03"} 0.9995"#,
    r#"{app_name="shop",endpoint="functions::generic",sli="success",slo="batch"} 0.905"#,
    r#"{app_name="shop",endpoint="functions::plain",sli="success",slo="batch"} 0.905"#,
    r#"{app_name="shop",endpoint="functions::returned",sli="success",slo="inline"} 0.5"#,
    r#"{app_name="shop",endpoint="functions::worker",sli="success",slo="batch"} 0.905"#,
    r#"{app_name="shop",endpoint="list",sli="success",slo="batch"} 0.905"#,
    r#"{app_name="shop",endpoint="made",sli="success",slo="batch"} 0.905"#,
    r#"{app_name="shop",endpoint="/users/{id}",sli="latency",slo="checkout",le="0.25"} 0.99"#,
    r#"{app_name="shop",endpoint="/users/{id}",sli="success",slo="checkout"} 0.999"#,
];

/// Returns the objectives on a page, without those of the layers' handlers.
fn of_functions(page: &str) -> BTreeSet<String> {
    let all = objectives(page, &[]);
    all.into_iter()
        .filter(|line| !line.contains("slo=\"layer_"))
        .collect()
}

#[test]
fn the_first_page_has_every_objective() {
    alone("functions::the_first_page_has_every_objective", || {
        let exporter = shop()
            .objective("/users/{id}", CHECKOUT)
            .objective("/users/{id}", CHECKOUT)
            .install()
            .expect("installs");
        let first = exporter.render();
        assert_eq!(of_functions(&first), set(ALL));
        let page = Page::parse(&first);
        // Functions whose labels are known still have zeros, and only these.
        for (endpoint, zeros) in [("/cart", 1), ("/search", 1), ("/tenant", 0), ("/named", 0)] {
            for name in ["requests_total", "request_latency_seconds_count"] {
                let of_endpoint = |labels: &&Labels| labels["endpoint"] == endpoint;
                let found = page.labels(name).filter(of_endpoint).count();
                assert_eq!(found, zeros, "{name} of {endpoint}");
            }
        }

        call_all();
        let page = exporter.render();
        assert_eq!(of_functions(&page), set(ALL));
        if let Some(remarks) = remarks(&page) {
            assert_eq!(remarks, "");
        }
        // Each objective has the labels of calls that were counted.
        let page = Page::parse(&page);
        let scope = |labels: &Labels| {
            let value = |name| labels.get(name).cloned();
            (value("method"), value("endpoint"))
        };
        let counted: BTreeSet<_> = page.labels("requests_total").map(scope).collect();
        for labels in page.labels(RATIO) {
            let is_called = !labels["slo"].starts_with("layer_");
            if is_called && labels["endpoint"] != "/users/{id}" {
                assert!(counted.contains(&scope(labels)), "{labels:?}");
            }
        }
    });
}

#[test]
fn other_names_and_labels_change_the_metrics_only() {
    alone(
        "functions::other_names_and_labels_change_the_metrics_only",
        || {
            let exporter = shop()
                .names(MetricNames::article().requests_total("calls_total"))
                .app_name_label(false)
                .global_label("region", "eu")
                .global_label("slo", "global")
                .max_series(1)
                .objective("/users/{id}", CHECKOUT)
                .install()
                .expect("installs");
            call_all();
            let expected = ALL.map(|line| {
                let (labels, value) = line.split_once("} ").expect("labels and a value");
                let labels = labels.replace("app_name=\"shop\"", "region=\"eu\"");
                format!("{labels}}} {value}")
            });
            assert_eq!(of_functions(&exporter.render()), expected.into());
        },
    );
}

#[test]
fn the_conventions_have_labels_of_their_own() {
    alone(
        "functions::the_conventions_have_labels_of_their_own",
        || {
            let exporter = shop()
                .names(MetricNames::opentelemetry())
                .objective("/users/{id}", FAST)
                .install()
                .expect("installs");
            let first = exporter.render();
            let of = |part: &str| {
                let mut found = of_functions(&first);
                found.retain(|line| line.contains(part));
                found
            };
            assert_eq!(
                of("/cart"),
                set([
                    r#"{http_request_method="POST",http_route="/cart",sli="latency",slo="checkout",le="0.25"} 0.99"#,
                    r#"{http_request_method="POST",http_route="/cart",sli="success",slo="checkout"} 0.999"#,
                ])
            );
            assert_eq!(
                of("/users"),
                set([r#"{http_route="/users/{id}",sli="latency",slo="fast",le="0.03"} 0.9995"#])
            );
            // A function that is neither an HTTP request nor an RPC has the three metrics.
            let function =
                set([r#"{endpoint="functions::worker",sli="success",slo="batch"} 0.905"#]);
            assert_eq!(of("worker"), function);
            // Whether this function is an RPC is known only when it returns a gRPC status.
            assert_eq!(
                of("named\""),
                set([
                    r#"{endpoint="/named",sli="latency",slo="fast",le="0.03"} 0.9995"#,
                    r#"{rpc_method="named",sli="latency",slo="fast",le="0.03"} 0.9995"#,
                ])
            );
            call_all();
            assert_eq!(of_functions(&exporter.render()), of_functions(&first));
            if let Some(remarks) = remarks(&exporter.render()) {
                assert_eq!(remarks, "");
            }
        },
    );
}

#[test]
fn the_metric_has_a_type_and_a_help_text() {
    alone("functions::the_metric_has_a_type_and_a_help_text", || {
        let page = shop().install().expect("installs").render();
        let head: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with('#') && line.contains(RATIO))
            .collect();
        assert_eq!(
            head,
            [
                "# HELP request_objective_ratio Target of an objective (slo): the ratio of calls \
                 that must succeed, or that must end within le seconds.",
                "# TYPE request_objective_ratio untyped",
            ]
        );
    });
}

#[test]
fn the_name_of_the_metric_is_taken() {
    let said = alone("functions::the_name_of_the_metric_is_taken", || {
        let refused = shop()
            .names(MetricNames::default().requests_in_progress(RATIO))
            .install()
            .expect_err("the name is taken");
        assert!(refused.to_string().contains(RATIO), "{refused}");
        let exporter = shop().install().expect("installs");
        let before = exporter.render();
        gauge!("request.objective_ratio", "slo" => "mine").set(0.5);
        counter!("request_objective_ratio").increment(1);
        assert_eq!(of_functions(&exporter.render()), of_functions(&before));
    });
    if let Some(said) = said {
        assert!(said.contains("gauge \"request.objective_ratio\""), "{said}");
        assert!(
            said.contains("counter \"request_objective_ratio\""),
            "{said}"
        );
    }
}

#[test]
fn another_recorder_gets_no_objectives() {
    alone("functions::another_recorder_gets_no_objectives", || {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).expect("the first recorder");
        call_all();
        let page = handle.render();
        assert!(page.contains("requests_total{"), "{page}");
        assert!(!page.contains("objective"), "{page}");
    });
}
