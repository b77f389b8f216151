//! The exporter's own metrics, on its page among the others.

use std::fmt::Write;
use std::time::Duration;

use crate::names::own::{DURATION, DURATION_COUNT, DURATION_SUM, PANICS, PUSHES, SCRAPES, SERIES};
use crate::page::{panics, pushes};

/// The name of the first of these metrics on a sorted page.
pub(crate) fn first() -> &'static str {
    if pushes::is_pushing() { PUSHES } else { PANICS }
}

#[derive(Debug, Default)]
pub(crate) struct Health {
    scrapes: u64,
    renders: u64,
    seconds: f64,
}

impl Health {
    /// Counts a render that answers `scrapes` of them and took `elapsed`.
    pub(crate) fn count(&mut self, scrapes: usize, elapsed: Duration) {
        self.scrapes += scrapes as u64;
        self.renders += 1;
        self.seconds += elapsed.as_secs_f64();
    }

    pub(crate) fn text(&self, series: usize) -> String {
        let Self {
            scrapes,
            renders,
            seconds,
        } = self;
        let mut text = first_text();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "# HELP {DURATION} Time to make a page, in seconds; scrapes that wait at the same time \
             share one.\n\
             # TYPE {DURATION} summary\n\
             {DURATION_SUM} {seconds}\n\
             {DURATION_COUNT} {renders}\n\
             # HELP {SCRAPES} Scrapes of this page.\n\
             # TYPE {SCRAPES} counter\n\
             {SCRAPES} {scrapes}\n"
        );
        write_series(&mut text, series);
        text
    }
}

/// What a page shows that nobody scraped: one the application asked for.
pub(crate) fn unscraped_text(series: usize) -> String {
    let mut text = first_text();
    write_series(&mut text, series);
    text
}

/// What each page shows, whoever makes it.
fn first_text() -> String {
    let mut text = String::new();
    pushes::write(&mut text);
    let panics = panics::count();
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "# HELP {PANICS} Pages that could not be made because of a panic.\n\
         # TYPE {PANICS} counter\n\
         {PANICS} {panics}\n"
    );
    text
}

fn write_series(text: &mut String, series: usize) {
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "# HELP {SERIES} Series of the metrics of calls, each of which has a bound of its own.\n\
         # TYPE {SERIES} gauge\n\
         {SERIES} {series}\n"
    );
}
