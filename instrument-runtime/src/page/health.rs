//! The exporter's own metrics.

use std::fmt::Write;
use std::time::Duration;

use crate::names::own::{DURATION, DURATION_COUNT, DURATION_SUM, PANICS, PUSHES, SCRAPES, SERIES};
use crate::page::{panics, pushes};

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

    /// Returns the text for a page that was scraped. `series` is the number of series of
    /// the call metrics.
    pub(crate) fn text(&self, series: usize) -> String {
        let Self {
            scrapes,
            renders,
            seconds,
        } = self;
        let mut text = first_text();
        // Writing to a `String` never fails.
        let _ = write!(
            text,
            "# HELP {DURATION} Time to render the page, in seconds. Scrapes that wait at the same \
             time share one render.\n\
             # TYPE {DURATION} summary\n\
             {DURATION_SUM} {seconds}\n\
             {DURATION_COUNT} {renders}\n\
             # HELP {SCRAPES} Total number of scrapes of this page.\n\
             # TYPE {SCRAPES} counter\n\
             {SCRAPES} {scrapes}\n"
        );
        write_series(&mut text, series);
        text
    }
}

/// Returns the text for a page that the application renders or that is pushed. The text
/// has no scrape metrics.
pub(crate) fn unscraped_text(series: usize) -> String {
    let mut text = first_text();
    write_series(&mut text, series);
    text
}

/// Returns the metrics that both kinds of pages have, scraped or not: pushes and panics.
fn first_text() -> String {
    let mut text = String::new();
    pushes::write(&mut text);
    let panics = panics::count();
    // Writing to a `String` never fails.
    let _ = write!(
        text,
        "# HELP {PANICS} Total number of page renders that panicked.\n\
         # TYPE {PANICS} counter\n\
         {PANICS} {panics}\n"
    );
    text
}

fn write_series(text: &mut String, series: usize) {
    // Writing to a `String` never fails.
    let _ = write!(
        text,
        "# HELP {SERIES} Number of series in the three call metrics. The limit, max_series, \
         applies to each metric separately.\n\
         # TYPE {SERIES} gauge\n\
         {SERIES} {series}\n"
    );
}
