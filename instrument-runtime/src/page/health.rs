//! The exporter's own metrics.

use std::time::Duration;

use crate::names::own::{DURATION, PANICS, SCRAPES, SERIES, SERIES_LIMIT};
use crate::page::encoder::Encoder;
use crate::page::{panics, pushes};
use crate::recorder::Families;
use crate::recorder::number::Number;
use crate::recorder::point::{Head, Kind, Point, SummaryPoint};

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

    /// Writes all metrics of the exporter. `calls` are the call metrics.
    pub(crate) fn write(&self, page: &mut dyn Encoder, calls: &Families) {
        write_first(page);
        let duration = Head {
            name: DURATION,
            help: "Time to render the page, in seconds. Scrapes that wait at the same time share \
                   one render.",
            kind: Kind::Summary,
        };
        let summary = SummaryPoint {
            quantiles: &[],
            sum: Number::F64(self.seconds),
            count: self.renders,
        };
        page.single(duration, "", Point::Summary(summary));
        let total = Head {
            name: SCRAPES,
            help: "Total number of scrapes of this page.",
            kind: Kind::Counter,
        };
        page.single(total, "", Point::counter(Number::U64(self.scrapes)));
        write_series(page, calls);
    }
}

/// Writes the exporter's metrics on a page that the exporter does not serve: all but the
/// scrape metrics.
pub(crate) fn write_unscraped(page: &mut dyn Encoder, calls: &Families) {
    write_first(page);
    write_series(page, calls);
}

/// Writes the metrics that every page shows and that sort first.
fn write_first(page: &mut dyn Encoder) {
    pushes::write(page);
    let lost = Head {
        name: PANICS,
        help: "Total number of page renders that panicked.",
        kind: Kind::Counter,
    };
    page.single(lost, "", Point::counter(Number::U64(panics::count())));
}

fn write_series(page: &mut dyn Encoder, calls: &Families) {
    let number = Head {
        name: SERIES,
        help: "Number of series in the call metrics. The limit, max_series, applies to each \
               metric separately.",
        kind: Kind::Gauge,
    };
    page.single(number, "", gauge(calls.series()));
    let limit = Head {
        name: SERIES_LIMIT,
        help: "Maximum number of series of each call metric (max_series). Calls past it are \
               counted in one more series, with the label overflow.",
        kind: Kind::Gauge,
    };
    page.single(limit, "", gauge(calls.max_series()));
}

fn gauge(value: usize) -> Point<'static> {
    Point::Gauge(Number::U64(value as u64))
}
