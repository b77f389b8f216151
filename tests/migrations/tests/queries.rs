//! Runs the queries on the metrics pages of both programs, in a real Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use fleet::{Prometheus, labels_of};
use instrument_tests::page::Page;
use instrument_tests::program::is_installed;
use tempfile::TempDir;

use crate::chapter::{End, Queries, Requests};

/// What Prometheus has scraped at some time.
#[derive(Clone, Copy)]
pub(crate) enum At {
    /// The page of the program before the change.
    Before,
    /// The page of the program after the change.
    After,
    /// Both pages, while the programs run side by side.
    Both,
}

impl At {
    /// Returns the Unix time. The times are so far apart that a query sees only one of them,
    /// because both pages may have the same metrics.
    fn time(self) -> u64 {
        1_700_000_000 + 100_000 * self as u64
    }
}

/// A Prometheus server with the metrics pages of both programs.
pub(crate) struct Loaded {
    prometheus: Prometheus,
    _folder: TempDir,
}

/// The values of the labels of a series, and the value of the series.
type Values = BTreeMap<Vec<String>, f64>;

impl Loaded {
    /// Loads the pages. Returns `None` if Prometheus is not installed.
    pub(crate) fn start(pages: [&Page; 2]) -> Option<Self> {
        if !is_installed("prometheus") || !is_installed("promtool") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("samples"), samples(pages)).expect("written");
        let output = Command::new("promtool")
            .args([
                "tsdb",
                "create-blocks-from",
                "openmetrics",
                "samples",
                "data",
            ])
            .current_dir(&folder)
            .output()
            .expect("promtool runs");
        assert!(output.status.success(), "{output:?}");
        let program = Path::new("prometheus");
        let prometheus = Prometheus::start_with(program, folder.path(), "", &[]);
        Some(Self {
            prometheus: prometheus.expect("Prometheus runs"),
            _folder: folder,
        })
    }

    /// Checks that each query returns on the page after the change what its pair returns on
    /// the page before. Endpoints that only one of the programs has may differ.
    pub(crate) fn check(&self, queries: &[Queries], requests: &Requests) {
        let renamed: BTreeSet<&str> = (requests.rows.iter())
            .filter(|row| row.end == End::Response)
            .map(|row| (row.counted.each_ref()).map(|counted| counted.values.as_ref()?.first()))
            .filter(|[before, after]| before != after)
            .flat_map(|both| both.into_iter().flatten().copied())
            .collect();
        // A series of zeros is as good as none.
        let is_kept = |labels: &Vec<String>, value: &mut f64| {
            *value != 0.0 && !labels.iter().any(|value| renamed.contains(&**value))
        };
        let mut pairs = 0;
        for pair in queries {
            let mut after = self.values(pair.after, At::After);
            let Some(before) = pair.before else {
                assert!(after.values().any(|value| *value > 0.0), "{pair:?}");
                continue;
            };
            // The requests are so fast or so slow that a neighbouring bound has the same count.
            assert_eq!(bound(before), bound(pair.after), "{pair:?}");
            let mut before = self.values(before, At::Before);
            before.retain(is_kept);
            after.retain(is_kept);
            assert!(!after.is_empty(), "{pair:?}");
            let labels: Vec<_> = before.keys().collect();
            assert_eq!(labels, after.keys().collect::<Vec<_>>(), "{pair:?}");
            for (before, after) in before.values().zip(after.values()) {
                let is_same = (before - after).abs() <= 1e-9 * before;
                assert!(is_same, "{pair:?}: {before} and {after}");
            }
            pairs += 1;
        }
        assert!(pairs >= 5, "{pairs}");
    }

    /// Returns the result of a query that yields one series.
    pub(crate) fn number(&self, query: &str, at: At) -> f64 {
        let values: Vec<f64> = self.values(query, at).into_values().collect();
        let [value] = values[..] else {
            panic!("{query}: {values:?}");
        };
        value
    }

    fn values(&self, query: &str, at: At) -> Values {
        let parameters = [("query", query), ("time", &at.time().to_string())];
        let answer = self.prometheus.ask("query", &parameters).expect(query);
        let mut values = Values::new();
        for series in answer["result"].as_array().expect("a vector") {
            let value = series["value"][1].as_str().expect("a value");
            let labels = labels_of(&series["metric"]).into_values().collect();
            values.insert(labels, value.parse().expect("a number"));
        }
        values
    }
}

/// Returns the bound that a query selects.
fn bound(query: &str) -> Option<&str> {
    let (_, rest) = query.split_once("{le=\"")?;
    rest.split('"').next()
}

/// Returns the samples of both pages for `promtool`. One minute before each page, all samples
/// are 0.
fn samples([before, after]: [&Page; 2]) -> String {
    let mut text = String::new();
    for (instance, page, at) in [
        ("old", before, At::Before),
        ("new", after, At::After),
        ("old", before, At::Both),
        ("new", after, At::Both),
    ] {
        let (start, end) = (at.time() - 60, at.time());
        for (name, labels, value) in page.all() {
            let labels = labels
                .iter()
                .map(|(label, value)| format!(",{label}={value:?}"));
            let labels: String = labels.collect();
            let series = format!("{name}{{instance={instance:?}{labels}}}");
            writeln!(text, "{series} 0 {start}\n{series} {value} {end}").expect("written");
        }
    }
    text + "# EOF\n"
}
