//! The rows of measurements.

use instrument_tests::markdown::section;

use crate::features::COLUMNS;
use crate::table::{Table, read, rows};

/// A row of the README, and the table in `benches/README.md` that has its figures.
pub(crate) struct Figures {
    pub(crate) row: &'static str,
    heading: &'static str,
    /// The number of the column, without the first.
    column: usize,
    /// The candidates whose figures are in a cell, in their order.
    candidates: &'static [(&'static str, &'static [&'static str])],
}

pub(crate) const FIGURES: &[Figures] = &[
    Figures {
        row: "axum: CPU per request over no metrics",
        heading: "axum over loopback",
        column: 3,
        candidates: &[
            (
                "this crate",
                &["ours, the layer alone", "ours, attribute and layer"],
            ),
            ("axum-prometheus", &["axum-prometheus"]),
            (
                "opentelemetry-instrumentation-tower",
                &["opentelemetry-instrumentation-tower"],
            ),
            ("autometrics", &["autometrics"]),
            ("metrics", &["metrics cached by hand, std clock"]),
        ],
    },
    Figures {
        row: "actix-web: CPU per request over no metrics",
        heading: "actix-web over loopback",
        column: 3,
        candidates: &[
            (
                "this crate",
                &[
                    "ours, the middleware alone",
                    "ours, attribute and middleware",
                ],
            ),
            ("actix-web-prom", &["actix-web-prom"]),
        ],
    },
    Figures {
        row: "a call, without a server",
        heading: "A call",
        column: 0,
        candidates: &[
            ("this crate", &["ours, no labels"]),
            ("autometrics", &["autometrics"]),
            (
                "metrics",
                &["metrics macros at each call", "metrics cached, quanta"],
            ),
        ],
    },
];

/// Returns the numbers in a cell.
fn numbers(cell: &str) -> Vec<f64> {
    let words = cell.split([' ', ',', '(', ')']);
    words.filter_map(|word| word.parse().ok()).collect()
}

/// Returns the figure of a candidate.
fn measured(benches: &str, figures: &Figures, candidate: &str) -> f64 {
    let rows = rows(section(benches, figures.heading));
    let (_, cells) = rows
        .iter()
        .find(|(name, _)| name == candidate)
        .unwrap_or_else(|| panic!("no {candidate:?} under {:?}", figures.heading));
    cells[figures.column].parse().expect("a number")
}

#[test]
fn the_figures_are_those_of_the_benches() {
    let (table, benches) = (Table::of_readme(), read("benches/README.md"));
    for figures in FIGURES {
        let (_, cells) = table
            .rows
            .iter()
            .find(|(name, _)| name == figures.row)
            .expect("the row");
        for (cell, column) in cells.iter().zip(COLUMNS) {
            let candidates = figures.candidates.iter();
            let mut candidates = candidates.filter(|(name, _)| *name == column.name);
            let names = candidates.next().map_or(&[][..], |(_, names)| names);
            let numbers = numbers(cell);
            assert_eq!(numbers.len(), names.len(), "{}: {cell:?}", figures.row);
            for (number, name) in numbers.into_iter().zip(names) {
                let exact = measured(&benches, figures, name);
                // The README rounds to two or three digits.
                assert!(
                    (number - exact).abs() <= 0.02 * exact.abs(),
                    "{}: {name} takes {exact}, and not {number}",
                    figures.row
                );
            }
        }
    }
}

/// The README says so below the table.
#[test]
fn two_others_cost_less_per_request() {
    let benches = read("benches/README.md");
    let [axum, actix, _] = FIGURES else {
        panic!("three rows");
    };
    let (ours, by_hand) = ("ours, the layer alone", "metrics cached by hand, std clock");
    assert!(measured(&benches, axum, by_hand) < measured(&benches, axum, ours));
    let ours = "ours, the middleware alone";
    assert!(measured(&benches, actix, "actix-web-prom") < measured(&benches, actix, ours));
}
