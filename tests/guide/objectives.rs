//! The table of the alerts on objectives, against the rules.

use crate::chapters::{chapter, read, rows, section};

/// Returns the name of a window in the rules.
fn window(text: &str) -> &'static str {
    match text {
        "5 minutes" => "5m",
        "30 minutes" => "30m",
        "hour" => "1h",
        "2 hours" => "2h",
        "6 hours" => "6h",
        "day" => "1d",
        "3 days" => "3d",
        other => panic!("no such window: {other}"),
    }
}

fn hours(window: &str) -> f64 {
    let (number, unit) = window.split_at(window.len() - 1);
    let number: f64 = number.parse().expect("a number");
    match unit {
        "h" => number,
        "d" => number * 24.0,
        other => panic!("no such unit: {other}"),
    }
}

#[test]
fn the_windows_are_those_of_the_rules() {
    let section = section(&chapter("objectives"), "Rules and alerts");
    let rows = rows(&section);
    let rows = rows.iter().filter(|row| row.len() == 5);
    let rules = read("deploy/prometheus/slo.yml");
    let alerts: Vec<&str> = rules.split("- alert: ErrorBudgetBurn").skip(1).collect();
    let mut count = 0;
    for (row, alert) in rows.zip(&alerts) {
        let (long, short) = (window(row[2]), window(row[3]));
        let rate: f64 = row[1].parse().expect("a rate");
        for text in [
            format!("slo:request_errors:burn_rate{long} > {}\n", row[1]),
            format!("slo:request_errors:burn_rate{short} > {}\n", row[1]),
            format!("severity: {},", row[0].trim_matches('`')),
        ] {
            assert!(alert.contains(&text), "{row:?}: {text} is not in {alert}");
        }
        // The share of 30 days in which the budget is spent at a rate of 1.
        let spent = 100.0 * rate * hours(long) / (30.0 * 24.0);
        assert_eq!(row[4], format!("{spent:.0} %"), "{row:?}");
        count += 1;
    }
    assert_eq!((count, alerts.len()), (4, 4));
}
