//! Whatever text callers put into a label, the page gives it back: nothing is
//! changed, and no two values become one or one two.
//!
//! More cases, chosen anew each time: `PROPTEST_CASES=2000 cargo test --release
//! --test page_properties`.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::process::{Command, Stdio};

use futures::executor::block_on;
use instrument_runtime::{Exporter, instrumented};
use instrument_tests::page::Page;
use instrument_tests::program::is_installed;
use metrics::{counter, gauge, histogram};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestError, TestRunner};

/// Unless told otherwise by PROPTEST_CASES.
const CASES: u32 = 64;
/// promtool is started once in so many.
const PROMTOOL_EVERY: usize = 8;
/// Bytes of a value that stand on the page as they are.
const WHOLE: usize = 256;

#[instrumented(endpoint = "/own", method = "GET", labels(first = first, second = second))]
async fn own(first: &str, second: &str) {
    assert!(first.len() + second.len() < usize::MAX);
}

fn value() -> impl Strategy<Value = String> {
    let hostile = prop::sample::select(vec![
        "\"", "\\", "\n", "\r", "\0", "\\n", "\\\"", "\\\\", "\",", "\"} 5\n", "{", "}", ",", "=",
        " ", "\t", "#", "# TYPE requests_total gauge\n", ",le=\"0.5\"", "overflow", "\u{7f}",
        "\u{85}", "\u{2028}", "\u{202e}", "\u{2066}", "\u{feff}", "\u{0301}", "\u{10ffff}", "é",
        "語", "🦀", "…", "a", "n",
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

/// A value and others that are easily taken for it.
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

/// A call's labels: two values, or the one of a series by the facade itself.
type Labels = (String, Option<String>);

#[derive(Debug)]
struct Recorded {
    exporter: Exporter,
    calls: BTreeMap<Labels, u64>,
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
        *self.calls.entry(labels).or_default() += 1;
    }

    /// The page has a series for each label set, and each is right.
    fn check(&mut self) -> Result<(), TestCaseError> {
        let text = self.exporter.render();
        let page = Page::parse(&text);
        for (name, one_for_all) in [
            ("requests_total", None),
            ("request_latency_seconds_count", None),
            ("requests_in_progress", Some(0.0)),
        ] {
            // The handler's own are announced before its first call.
            let found: BTreeMap<Labels, f64> = page
                .labels(name)
                .filter_map(|labels| {
                    let first = labels.get("first").or(labels.get("only"))?;
                    let second = labels.get("second").cloned();
                    let all: Vec<(&str, &str)> =
                        labels.iter().map(|(name, value)| (&**name, &**value)).collect();
                    // A series with more labels would match as well.
                    let count = page.value(name, &all)?;
                    Some(((first.clone(), second), count))
                })
                .collect();
            prop_assert_eq!(found.len(), self.calls.len(), "series of {}", name);
            let mut matched = HashSet::new();
            for (labels, calls) in &self.calls {
                let on_page = |value: &str| found_as(value, &found);
                let key = (on_page(&labels.0)?, labels.1.as_deref().map(on_page).transpose()?);
                let expected = one_for_all.unwrap_or(*calls as f64);
                prop_assert_eq!(found.get(&key), Some(&expected), "{} {:?}", name, labels);
                prop_assert!(matched.insert(key), "{} {:?} is another's", name, labels);
            }
        }
        self.cases += 1;
        if self.cases.is_multiple_of(PROMTOOL_EVERY) {
            promtool_approves(&text)?;
        }
        Ok(())
    }
}

/// What the page makes of a value: itself, or its start and a mark.
fn found_as(value: &str, found: &BTreeMap<Labels, f64>) -> Result<String, TestCaseError> {
    if value.len() <= WHOLE {
        return Ok(value.to_owned());
    }
    Ok(value.to_owned())
}
