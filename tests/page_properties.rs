//! Property test of label values: whatever text callers put into a label, the page shows
//! it unchanged. Two values never become the same series, and one value never becomes
//! two.
//!
//! To run more random cases:
//! `PROPTEST_CASES=2000 cargo test --release --test page_properties`.

mod exporter_promtool;

use futures::executor::block_on;
use instrument_runtime::{Exporter, instrumented};
use instrument_tests::page::{Page, scrape_as};
use instrument_tests::protobuf;
use metrics::{counter, gauge, histogram};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The number of cases, unless `PROPTEST_CASES` is set.
const CASES: u32 = 64;
/// promtool runs in one of this many cases.
const PROMTOOL_EVERY: usize = 8;
/// The number of bytes of a value that the page shows unchanged.
const WHOLE: usize = 256;

#[instrumented(endpoint = "/own", method = "GET", labels(first = first, second = second))]
async fn own(first: &str, second: &str) {
    assert!(first.len() + second.len() < usize::MAX);
}

fn value() -> impl Strategy<Value = String> {
    let hostile = prop::sample::select(vec![
        "\"",
        "\\",
        "\n",
        "\r",
        "\0",
        "\\n",
        "\\\"",
        "\\\\",
        "\",",
        "\"} 5\n",
        "{",
        "}",
        ",",
        "=",
        " ",
        "\t",
        "#",
        "# TYPE requests_total gauge\n",
        ",le=\"0.5\"",
        "overflow",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\u{202e}",
        "\u{2066}",
        "\u{feff}",
        "\u{0301}",
        "\u{10ffff}",
        "é",
        "語",
        "🦀",
        "…",
        "a",
        "n",
    ]);
    let pieces = prop::collection::vec(hostile, 0..12).prop_map(|pieces| pieces.concat());
    let any_chars =
        prop::collection::vec(any::<char>(), 0..40).prop_map(|chars| chars.into_iter().collect());
    let controls = prop::collection::vec(prop::char::range('\0', '\u{9f}'), 0..40)
        .prop_map(|chars| chars.into_iter().collect());
    let about_the_bound =
        (pieces.clone(), 245..270_usize).prop_map(|(end, length)| "x".repeat(length) + &end);
    let long = (pieces.clone(), any::<char>(), 200..3_000_usize)
        .prop_map(|(start, c, length)| start + &c.to_string().repeat(length));
    prop_oneof![
        4 => pieces,
        2 => any_chars,
        2 => controls,
        2 => any::<String>(),
        2 => about_the_bound,
        1 => long,
    ]
}

/// Returns `value` and other values that are easily confused with it.
fn alike(value: &str) -> [String; 6] {
    [
        value.to_owned(),
        value.replace('\\', "\\\\"),
        value.replace('"', "\\\""),
        value.replace('\n', "\\n"),
        format!("{value} "),
        value.trim().to_owned(),
    ]
}

/// The labels of a call: two values, or one value for a series recorded directly with the
/// facade.
type Labels = (String, Option<String>);

#[derive(Debug)]
struct Recorded {
    exporter: Exporter,
    calls: BTreeMap<Labels, u64>,
    /// The labels of the calls in this case, as the page shows them.
    touched: BTreeSet<Labels>,
    cases: usize,
}

impl Recorded {
    fn record(&mut self, labels: Labels) {
        match &labels {
            (first, Some(second)) => block_on(own(first, second)),
            (only, None) => {
                counter!("requests_total", "only" => only.clone()).increment(1);
                gauge!("requests_in_progress", "only" => only.clone()).increment(0);
                histogram!("request_latency_seconds", "only" => only.clone()).record(0.5);
            }
        }
        self.touched.insert(labels_shown(&labels));
        *self.calls.entry(labels).or_default() += 1;
    }

    /// Checks that the page has one series for each label set. The counts are checked
    /// only for the label sets of this case: checking all would take far longer than the
    /// calls.
    fn check(&mut self) -> Result<(), TestCaseError> {
        let text = self.exporter.render();
        let page = Page::parse(&text);
        for name in [
            "requests_total",
            "request_latency_seconds_count",
            "requests_in_progress",
        ] {
            let is_gauge = name == "requests_in_progress";
            let mut expected = Counts::new();
            for (labels, calls) in &self.calls {
                let labels = labels_shown(labels);
                let is_counted = !is_gauge && self.touched.contains(&labels);
                let count = if is_counted { *calls } else { 0 };
                expected.entry(labels).or_default().push(count);
            }
            let mut found = Counts::new();
            for labels in page.labels(name) {
                // Prometheus treats an empty value as an absent label, and the page omits
                // it.
                let value = |name| labels.get(name).map_or("", String::as_str);
                let shown = if labels.contains_key("endpoint") {
                    (unmarked(value("first")), Some(unmarked(value("second"))))
                } else {
                    (unmarked(value("only")), None)
                };
                let count = if self.touched.contains(&shown) {
                    let all: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (&**n, &**v)).collect();
                    page.exactly(name, &all) as u64
                } else {
                    0
                };
                found.entry(shown).or_default().push(count);
            }
            for counts in expected.values_mut().chain(found.values_mut()) {
                counts.sort_unstable();
            }
            // Reports only a label set that differs, because there are thousands.
            let differs = |labels: &&Labels| expected.get(*labels) != found.get(*labels);
            let wrong = expected.keys().chain(found.keys()).find(differs);
            if let Some(labels) = wrong {
                let (expected, found) = (expected.get(labels), found.get(labels));
                return Err(TestCaseError::fail(format!(
                    "{name} of {labels:?} is {found:?} and not {expected:?}"
                )));
            }
        }
        // The other formats have the same samples.
        let addr = self.exporter.local_addr().expect("an address");
        let of_scrapes = &["instrument_", "process_"];
        let page = page.without(of_scrapes);
        let open_metrics = scrape_as(addr, "application/openmetrics-text");
        let open_metrics = Page::parse(std::str::from_utf8(&open_metrics).expect("text"));
        prop_assert!(
            open_metrics.without(of_scrapes) == page,
            "OpenMetrics differs"
        );
        let families = protobuf::families(&scrape_as(addr, "application/vnd.google.protobuf"));
        let of_protobuf = protobuf::samples(&families).without(of_scrapes);
        prop_assert!(of_protobuf == page, "protobuf differs");
        self.touched.clear();
        self.cases += 1;
        if self.cases.is_multiple_of(PROMTOOL_EVERY) {
            let remarks = exporter_promtool::remarks(&text).unwrap_or_default();
            prop_assert_eq!(remarks, "");
        }
        Ok(())
    }
}

/// The counts of each label set. Long values with the same prefix share an entry, because
/// only a hash distinguishes them.
type Counts = BTreeMap<Labels, Vec<u64>>;

fn labels_shown((first, second): &Labels) -> Labels {
    (shown(first), second.as_deref().map(shown))
}

/// Returns a value as the page shows it, without the hash at the end of a long value.
fn shown(value: &str) -> String {
    if value.len() <= WHOLE {
        return value.to_owned();
    }
    let whole = value.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = whole.take_while(|end| *end <= WHOLE).last().unwrap_or(0);
    format!("{}…", &value[..end])
}

/// Removes the hash from a value on the page.
fn unmarked(label: &str) -> String {
    if label.len() <= WHOLE {
        return label.to_owned();
    }
    let (start, hash) = label.split_at(label.len() - 16);
    assert!(hash.bytes().all(|c| c.is_ascii_hexdigit()), "{label:?}");
    start.to_owned()
}

#[test]
fn the_page_gives_back_what_was_put_in() {
    let asked = std::env::var("PROPTEST_CASES").ok();
    let config = ProptestConfig {
        cases: asked
            .as_ref()
            .map_or(CASES, |cases| cases.parse().expect("a number")),
        rng_seed: if asked.is_some() {
            RngSeed::Random
        } else {
            RngSeed::Fixed(1)
        },
        failure_persistence: None,
        // No shrinking: a smaller case would be counted on top of the larger ones.
        max_shrink_iters: 0,
        ..ProptestConfig::default()
    };
    let exporter = instrument_runtime::builder("a\"b\\c\nd\u{202e}")
        .listen(([127, 0, 0, 1], 0))
        .global_label("region", "\\\"")
        .buckets(&[1.0])
        .max_series(1_000_000)
        .install()
        .expect("installs");
    let recorded = RefCell::new(Recorded {
        exporter,
        calls: BTreeMap::new(),
        touched: BTreeSet::new(),
        cases: 0,
    });
    let case = (value(), value(), any::<bool>());
    let result = TestRunner::new(config).run(&case, |(one, other, by_facade)| {
        let mut recorded = recorded.borrow_mut();
        for first in alike(&one) {
            if by_facade {
                recorded.record((first, None));
            } else {
                recorded.record((first.clone(), Some(other.clone())));
                recorded.record((other.clone(), Some(first)));
            }
        }
        recorded.check()
    });
    let Recorded { calls, cases, .. } = recorded.into_inner();
    println!("{cases} cases, {} label sets", calls.len());
    if let Err(error) = result {
        panic!("{error}");
    }
}
