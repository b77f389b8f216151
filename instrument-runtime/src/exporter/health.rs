//! The exporter's own metrics, at the end of its page.

use std::fmt::Write;
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Health {
    scrapes: u64,
    renders: u64,
    seconds: f64,
}

impl Health {
    /// Counts a render that answers `scrapes` of them and took `elapsed`, and
    /// writes all so far below the page.
    pub(crate) fn append(&mut self, page: &mut String, scrapes: usize, elapsed: Duration) {
        self.scrapes += scrapes as u64;
        self.renders += 1;
        self.seconds += elapsed.as_secs_f64();
        let Self {
            scrapes,
            renders,
            seconds,
        } = self;
        // Writing to a string does not fail.
        let _ = write!(
            page,
            "# HELP instrument_scrape_duration_seconds Time to make a page, in seconds; scrapes \
             that wait at the same time share one.\n\
             # TYPE instrument_scrape_duration_seconds summary\n\
             instrument_scrape_duration_seconds_sum {seconds}\n\
             instrument_scrape_duration_seconds_count {renders}\n\
             # HELP instrument_scrapes_total Scrapes of this page.\n\
             # TYPE instrument_scrapes_total counter\n\
             instrument_scrapes_total {scrapes}\n"
        );
    }
}
