//! The latency threshold of each objective is a bucket bound of every latency histogram.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use instrument_runtime::{Builder, MetricNames, Objective};
use instrument_tests::alone;
use instrument_tests::page::{Page, scrape_as};
use instrument_tests::protobuf;
use instrument_tests::random::Random;
use metrics::histogram;

use crate::{RATIO, objectives, shop};

/// The thresholds of the functions in this program.
const OF_FUNCTIONS: [&str; 2] = ["0.03", "0.25"];

/// The latency histograms with OpenTelemetry's names.
const LATENCIES: [&str; 3] = [
    "request_latency_seconds",
    "http_server_request_duration_seconds",
    "rpc_server_call_duration_seconds",
];

/// Returns the bounds of each series of a histogram. They are the same for all series.
fn bounds(page: &Page, buckets: &str) -> BTreeSet<String> {
    let mut of_series = BTreeMap::<_, BTreeSet<String>>::new();
    for labels in page.labels(buckets) {
        let mut labels = labels.clone();
        let le = labels.remove("le").expect("a bound");
        of_series.entry(labels).or_default().insert(le);
    }
    let mut all = of_series.into_values();
    let first = all.next().unwrap_or_else(|| panic!("no {buckets}"));
    assert!(all.all(|other| other == first), "{buckets}");
    first
}

fn names(bounds: &[&str]) -> BTreeSet<String> {
    bounds
        .iter()
        .copied()
        .chain(["+Inf"])
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_threshold_is_added_to_the_default_bounds() {
    alone(
        "thresholds::a_threshold_is_added_to_the_default_bounds",
        || {
            let exporter = shop().install().expect("installs");
            histogram!("application_seconds").record(1.0);
            histogram!("request_latency_seconds", "by" => "facade").record(0.03);
            let page = Page::parse(&exporter.render());
            let default = [
                "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.075", "0.1",
                "0.25", "0.5", "0.75", "1.0", "2.5", "5.0", "7.5", "10.0",
            ];
            assert_eq!(bounds(&page, "application_seconds_bucket"), names(&default));
            let with = [&default[..], &["0.03"]].concat();
            assert_eq!(
                bounds(&page, "request_latency_seconds_bucket"),
                names(&with)
            );
            // The bound is inclusive.
            for (le, count) in [("0.025", 0.0), ("0.03", 1.0)] {
                let labels = [("by", "facade"), ("le", le)];
                assert_eq!(
                    page.value("request_latency_seconds_bucket", &labels),
                    Some(count)
                );
            }
        },
    );
}

#[test]
fn a_threshold_is_added_to_other_bounds() {
    alone("thresholds::a_threshold_is_added_to_other_bounds", || {
        let exporter = shop()
            .names(MetricNames::opentelemetry().request_latency_seconds("latency_seconds"))
            .buckets(&[-1.0, 0.25, 2e6])
            .buckets_for("other_seconds", &[3.0])
            .install()
            .expect("installs");
        let of_calls = ["latency_seconds", LATENCIES[1], LATENCIES[2]];
        for histogram in of_calls
            .into_iter()
            .chain(["application_seconds", "other_seconds"])
        {
            histogram!(histogram).record(1.0);
        }
        let page = Page::parse(&exporter.render());
        assert_eq!(
            bounds(&page, "application_seconds_bucket"),
            names(&["-1.0", "0.25", "2e+06"])
        );
        assert_eq!(bounds(&page, "other_seconds_bucket"), names(&["3.0"]));
        for histogram in of_calls {
            let expected = names(&["-1.0", "0.03", "0.25", "2e+06"]);
            assert_eq!(
                bounds(&page, &format!("{histogram}_bucket")),
                expected,
                "{histogram}"
            );
        }
    });
}

/// Returns objectives whose thresholds range from nanoseconds to years.
fn random() -> Vec<Objective> {
    let mut random = Random::new(0x0b9e_c71f_0b9e_c71f);
    let mut of_any_length = |digits: u32| {
        // From 1 to 3 significant digits, and sometimes as many as fit.
        let nanos = match random.below(4) {
            0 => random.below(10_u64.pow(digits)) + 1,
            significant => {
                let significant = u32::try_from(significant).expect("small").min(digits);
                let number = random.below(10_u64.pow(significant)) + 1;
                number * 10_u64.pow(digits - significant)
            }
        };
        Duration::from_nanos(nanos)
    };
    let thresholds = (1..=18_u32).flat_map(|digits| [digits; 20]);
    thresholds
        .enumerate()
        .map(|(number, digits)| {
            let name: &'static str = format!("random_{number}").leak();
            Objective::new(name).latency(of_any_length(digits), 99.0)
        })
        .collect()
}

/// Asserts that each threshold is a bound of each histogram on the page, in all formats.
fn assert_bounds(builder: Builder, histograms: &[&'static str]) {
    let random = random();
    let builder = random.iter().fold(builder, |builder, objective| {
        builder.objective("/random", *objective)
    });
    let exporter = builder
        .listen(([127, 0, 0, 1], 0))
        .install()
        .expect("installs");
    for histogram in histograms {
        histogram!(*histogram, "by" => "facade").record(0.5);
    }
    let addr = exporter.local_addr().expect("an address");
    let mut thresholds = BTreeSet::new();
    for accept in [
        "text/plain;version=0.0.4",
        "text/plain;version=1.0.0",
        "application/openmetrics-text;version=0.0.1",
        "application/openmetrics-text;version=1.0.0",
        "text/plain;version=1.0.0;escaping=dots",
    ] {
        let text = String::from_utf8(scrape_as(addr, accept)).expect("text");
        let page = Page::parse(&text);
        // This escaping scheme doubles underscores.
        let name = |name: &str| {
            if accept.contains("dots") {
                name.replace('_', "__")
            } else {
                name.to_owned()
            }
        };
        let of_page: BTreeSet<String> = page
            .labels(&name(RATIO))
            .filter_map(|labels| labels.get("le").cloned())
            .collect();
        assert!(of_page.len() > 200, "{}", of_page.len());
        for le in OF_FUNCTIONS {
            assert!(of_page.contains(le), "{le}");
        }
        for histogram in histograms {
            let bounds = bounds(&page, &(name(histogram) + "_bucket"));
            let missing: Vec<_> = of_page.difference(&bounds).collect();
            assert!(
                missing.is_empty(),
                "{accept}: {histogram} has no {missing:?}"
            );
        }
        // A threshold has the same text in every format.
        if thresholds.is_empty() {
            thresholds = of_page;
        } else {
            assert_eq!(of_page, thresholds, "{accept}");
        }
    }
    // In protobuf, a bound is a number, and a label is text.
    let families = protobuf::families(&scrape_as(addr, "application/vnd.google.protobuf"));
    let labels = protobuf::metrics(&families, RATIO).map(|metric| protobuf::labels(&metric.label));
    let of_page: BTreeSet<String> = labels
        .filter_map(|labels| labels.get("le").cloned())
        .collect();
    assert_eq!(of_page, thresholds);
    for histogram in histograms {
        for metric in protobuf::metrics(&families, histogram) {
            let histogram = metric.histogram.as_ref().expect("a histogram");
            let bounds: BTreeSet<u64> = histogram
                .bucket
                .iter()
                .map(|bucket| bucket.upper_bound().to_bits())
                .collect();
            for le in &thresholds {
                let bound: f64 = le.parse().expect("a number");
                assert!(bounds.contains(&bound.to_bits()), "{le}");
            }
        }
    }
    assert_eq!(
        objectives(&exporter.render(), &["random_"]).len(),
        random.len()
    );
}

#[test]
fn any_threshold_is_a_bound_in_every_format() {
    alone(
        "thresholds::any_threshold_is_a_bound_in_every_format",
        || {
            assert_bounds(shop(), &LATENCIES[..1]);
        },
    );
}

#[test]
fn any_threshold_is_a_bound_beside_native_buckets_and_other_bounds() {
    let name = "thresholds::any_threshold_is_a_bound_beside_native_buckets_and_other_bounds";
    alone(name, || {
        let builder = shop().native_histograms().exemplars(|| None);
        assert_bounds(builder.buckets(&[0.1, 7.0]), &LATENCIES[..1]);
    });
}

#[test]
fn any_threshold_is_a_bound_with_the_conventions() {
    alone(
        "thresholds::any_threshold_is_a_bound_with_the_conventions",
        || {
            assert_bounds(shop().names(MetricNames::opentelemetry()), &LATENCIES);
        },
    );
}
