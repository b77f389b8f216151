//! The exporter's metrics about itself.

mod exporter_promtool;

use instrument_runtime::instrumented;
use instrument_tests::page::Page;
use metrics::{counter, gauge, histogram};

#[instrumented(endpoint = "/user", method = "GET", labels(tenant = tenant))]
async fn user(tenant: u32) -> u32 {
    tenant
}

const OWN: [(&str, &str); 5] = [
    ("instrument_render_panics_total", "counter"),
    ("instrument_scrape_duration_seconds", "summary"),
    ("instrument_scrapes_total", "counter"),
    ("instrument_series", "gauge"),
    ("instrument_series_limit", "gauge"),
];

#[test]
fn the_page_tells_of_its_own_making() {
    let exporter = instrument_runtime::builder("health")
        .listen(([127, 0, 0, 1], 0))
        .max_series(20)
        .install()
        .expect("installs");
    let addr = exporter.local_addr().expect("a TCP listener");
    let served = || {
        let mut answer = ureq::get(&format!("http://{addr}/metrics"))
            .call()
            .expect("a page");
        answer.body_mut().read_to_string().expect("text")
    };
    metrics::describe_counter!("a_total", "The first.");
    metrics::describe_gauge!("z", "The last.");
    counter!("a_total").increment(1);
    gauge!("z").set(1.0);
    // The application uses names of the exporter's own metrics, with the same kind and with
    // another kind.
    counter!("instrument_scrapes_total").increment(1_000);
    counter!("instrument_render_panics_total").increment(1_000);
    histogram!("instrument_series").record(1.0);
    counter!("instrument_scrape_duration_seconds_count").increment(1_000);

    let ours = |page: &Page| {
        let names = [
            "requests_total",
            "request_latency_seconds_count",
            "requests_in_progress",
        ];
        names.map(|name| page.series(name)).iter().sum::<usize>()
    };
    let (mut seconds, mut series) = (0.0, 0.0);
    for scrape in 1..=3 {
        // The third round exceeds `max_series`: one more series in each metric.
        for tenant in 0..8 * scrape {
            futures::executor::block_on(user(tenant));
        }
        let text = served();
        let page = Page::parse(&text);
        let value = |name| page.value(name, &[]).expect(name);
        assert_eq!(value("instrument_scrapes_total"), f64::from(scrape));
        assert_eq!(
            value("instrument_scrape_duration_seconds_count"),
            f64::from(scrape)
        );
        assert_eq!(value("instrument_render_panics_total"), 0.0);
        let sum = value("instrument_scrape_duration_seconds_sum");
        assert!(sum > seconds && sum < 10.0, "{sum} after {seconds}");
        seconds = sum;
        assert_eq!(value("instrument_series"), ours(&page) as f64);
        assert_eq!(value("instrument_series_limit"), 20.0);
        assert!(value("instrument_series") > series, "{text}");
        series = value("instrument_series");

        for (name, kind) in OWN {
            assert!(text.contains(&format!("# HELP {name} ")), "{text}");
            let of_kind = format!("# TYPE {name} {kind}\n");
            assert_eq!(text.matches(&of_kind).count(), 1, "{text}");
        }
        let families: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .collect();
        // The exporter's own families come last, because they time the render.
        let (others, own) = families.split_at(families.len() - OWN.len());
        assert!(others.is_sorted() && own.is_sorted(), "{families:?}");
        assert!(
            own.iter().all(|name| name.starts_with("instrument_")),
            "{own:?}"
        );
        assert_eq!(exporter_promtool::remarks(&text).unwrap_or_default(), "");
    }
    assert_eq!(
        series, 63.0,
        "20 series and the overflow series, for each metric"
    );

    // A page that the application renders is not a scrape.
    let made = Page::parse(&exporter.render());
    assert_eq!(made.value("instrument_series", &[]), Some(63.0));
    assert_eq!(made.value("instrument_series_limit", &[]), Some(20.0));
    assert_eq!(made.series("instrument_scrapes_total"), 0);
    assert_eq!(made.exactly("instrument_render_panics_total", &[]), 0.0);
    let page = Page::parse(&served());
    assert_eq!(page.value("instrument_scrapes_total", &[]), Some(4.0));
}
