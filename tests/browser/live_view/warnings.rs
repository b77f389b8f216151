//! The warnings above the table.

use crate::{A, B, Metrics, assert_quiet, view, wait_for_next_page, warnings_of};

#[test]
fn what_matters_is_a_warning() {
    let healthy = Metrics::default()
        .calls(A, "200", "ok", 100)
        .with("instrument_pushes_total", "outcome=\"error\"", 0.0)
        .with("instrument_pushes_total", "outcome=\"ok\"", 5.0)
        .with(
            "requests_oldest_in_progress_seconds",
            &format!("app_name=\"live\",{A}"),
            29.0,
        );
    let Some((browser, application)) = view(&healthy.0) else {
        return;
    };
    assert_eq!(warnings_of(&browser), Vec::<String>::new());
    let ill = Metrics::default()
        .calls(A, "200", "ok", 90)
        .calls(A, "500", "error", 10)
        .calls(B, "500", "panicked", 3)
        .calls("overflow=\"true\"", "200", "ok", 12)
        .with("instrument_pushes_total", "outcome=\"error\"", 2.0)
        .with("instrument_pushes_total", "outcome=\"ok\"", 5.0)
        .with(
            "requests_oldest_in_progress_seconds",
            &format!("app_name=\"live\",{A}"),
            190.0,
        )
        .with(
            "request_objective_ratio",
            &format!("app_name=\"live\",{A},slo=\"x\",sli=\"success\""),
            0.99,
        );
    application.set(ill.0);
    wait_for_next_page(&browser);
    assert_eq!(
        warnings_of(&browser),
        [
            "bad: 12 calls have lost their labels: max_series was reached.",
            "bad: 3 calls of POST /b have panicked.",
            "bad: The error budget of x: success is overspent.",
            "warn: 2 pushes have failed.",
            "warn: A call of GET /a is in flight for 3 min.",
            // 90 calls after 100: the counter has fallen.
            "warn: The application has restarted.",
        ]
    );
    assert_quiet(&browser);
}

/// A warning of many rows does not hide the others.
#[test]
fn the_three_worst_rows_are_shown() {
    let mut page = Metrics::default()
        .with("instrument_pushes_total", "outcome=\"error\"", 2.0)
        .calls("overflow=\"true\"", "200", "ok", 1);
    for row in 1..=20 {
        let labels = format!("method=\"GET\",endpoint=\"/{row}\"");
        page = page.calls(&labels, "500", "panicked", 1_000 + row).with(
            "requests_oldest_in_progress_seconds",
            &labels,
            f64::from(60 * row),
        );
    }
    let Some((browser, _application)) = view(&page.0) else {
        return;
    };
    assert_eq!(
        warnings_of(&browser),
        [
            "bad: 1 calls have lost their labels: max_series was reached.",
            "bad: 1,020 calls of GET /20 have panicked.",
            "bad: 1,019 calls of GET /19 have panicked.",
            "bad: 1,018 calls of GET /18 have panicked. 17 more.",
            "warn: 2 pushes have failed.",
            "warn: A call of GET /20 is in flight for 20 min.",
            "warn: A call of GET /19 is in flight for 19 min.",
            "warn: A call of GET /18 is in flight for 18 min. 17 more.",
        ]
    );
    assert_quiet(&browser);
}
