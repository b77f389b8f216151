//! The exporter's own metrics.

use std::fmt::Write;
use std::time::Duration;

use crate::names::own::{DURATION, DURATION_COUNT, DURATION_SUM, PANICS, PUSHES, SCRAPES, SERIES};
use crate::page::{panics, pushes};
use crate::recorder::text::{Head, HeadStyle};

/// Returns the name of the exporter's own metric that comes first on a sorted page.
pub(crate) fn first() -> &'static str {
    if pushes::is_pushing() { PUSHES } else { PANICS }
}

/// Statistics of the scrapes that the exporter has served.
#[derive(Debug, Default)]
pub(crate) struct Health {
    scrapes: u64,
    renders: u64,
    seconds: f64,
}

impl Health {
    /// Counts one render, which took `elapsed` and answers `scrapes` scrapes.
    pub(crate) fn count(&mut self, scrapes: usize, elapsed: Duration) {
        self.scrapes += scrapes as u64;
        self.renders += 1;
        self.seconds += elapsed.as_secs_f64();
    }

    /// Appends all metrics of the exporter. `series` is the number of series in the three
    /// call metrics.
    pub(crate) fn write(&self, page: &mut String, style: HeadStyle<'_>, series: usize) {
        let Self {
            scrapes,
            renders,
            seconds,
        } = self;
        write_first(page, style);
        let duration = Head {
            name: DURATION,
            help: "Time to render the page, in seconds. Scrapes that wait at the same time share \
                   one render.",
            kind: "summary",
        };
        duration.write(page, style);
        // Writing to a string does not fail.
        let _ = write!(
            page,
            "{DURATION_SUM} {seconds}\n{DURATION_COUNT} {renders}\n"
        );
        let total = Head {
            name: SCRAPES,
            help: "Total number of scrapes of this page.",
            kind: "counter",
        };
        total.write(page, style);
        let _ = writeln!(page, "{SCRAPES} {scrapes}");
        write_series(page, style, series);
    }
}

/// Appends the exporter's metrics to a page that the exporter does not serve: all but the
/// scrape metrics.
pub(crate) fn write_unscraped(page: &mut String, style: HeadStyle<'_>, series: usize) {
    write_first(page, style);
    write_series(page, style, series);
}

/// Appends the metrics that every page shows and that sort first.
fn write_first(page: &mut String, style: HeadStyle<'_>) {
    pushes::write(page, style);
    let lost = Head {
        name: PANICS,
        help: "Total number of page renders that panicked.",
        kind: "counter",
    };
    lost.write(page, style);
    // Writing to a string does not fail.
    let _ = writeln!(page, "{PANICS} {}", panics::count());
}

fn write_series(page: &mut String, style: HeadStyle<'_>, series: usize) {
    let number = Head {
        name: SERIES,
        help: "Number of series in the three call metrics. The limit, max_series, applies to each \
               metric separately.",
        kind: "gauge",
    };
    number.write(page, style);
    // Writing to a string does not fail.
    let _ = writeln!(page, "{SERIES} {series}");
}
