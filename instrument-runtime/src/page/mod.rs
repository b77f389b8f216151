//! The page: everything that was recorded, in Prometheus's text format.

pub(crate) mod encoding;
pub(crate) mod health;
#[cfg(any(feature = "axum", feature = "actix-web"))]
pub(crate) mod in_app;
pub(crate) mod panics;
#[cfg_attr(not(feature = "push"), allow(dead_code, reason = "nothing is pushed"))]
pub(crate) mod pushes;
mod stock;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::page::stock::StockFamily;
use crate::recorder::{Families, Recorder, WriteFamily};

/// A page is followed by a rest as long as it took, between these: whatever is
/// asked, the application keeps most of the core, and more scrapers join.
const LEAST_REST: Duration = Duration::from_millis(1);
const MOST_REST: Duration = Duration::from_secs(1);

/// `took` is the time for the page and for its compression.
pub(crate) fn rest_after(took: Duration) -> Duration {
    took.clamp(LEAST_REST, MOST_REST)
}

/// What was recorded, as a page.
#[derive(Clone)]
pub(crate) struct Page {
    ours: Arc<Families>,
    stock: PrometheusHandle,
    #[cfg(feature = "process")]
    shows_process: bool,
}

impl Page {
    pub(crate) fn of(recorder: &Recorder) -> Self {
        Self {
            ours: recorder.families(),
            stock: recorder.stock(),
            #[cfg(feature = "process")]
            shows_process: false,
        }
    }

    /// The text of a page that nobody scraped: one that the application asked for, or
    /// one that is pushed.
    pub(crate) fn render(&self) -> String {
        self.render_with(health::first(), || health::unscraped_text(self.series()))
    }

    /// The exposition text: families by name, series by labels. What `own`
    /// tells, after everything else is written, stands where a family called
    /// `place` would.
    pub(crate) fn render_with(&self, place: &str, own: impl FnOnce() -> String) -> String {
        enum Part<'a> {
            Ours(&'a dyn WriteFamily),
            #[cfg(feature = "process")]
            Process(crate::process::Family),
            Stock(StockFamily<'a>),
        }
        impl Part<'_> {
            fn name(&self) -> &str {
                match self {
                    Self::Ours(family) => family.name(),
                    #[cfg(feature = "process")]
                    Self::Process(family) => family.name,
                    Self::Stock(family) => family.name,
                }
            }
        }

        let stock = self.stock.render();
        let mut parts: Vec<Part<'_>> = self.ours.all().into_iter().map(Part::Ours).collect();
        #[cfg(feature = "process")]
        if self.shows_process {
            parts.extend(crate::process::families().map(Part::Process));
        }
        parts.extend(stock::families(&stock).into_iter().map(Part::Stock));
        // A page on which a family stands twice is refused as a whole. The sort keeps
        // the order of equal names, so the application's comes last and goes.
        parts.sort_by(|one, other| one.name().cmp(other.name()));
        parts.dedup_by(|next, kept| next.name() == kept.name());

        let mut page = String::with_capacity(stock.len());
        let mut at = None;
        for part in parts {
            if part.name() >= place {
                at.get_or_insert(page.len());
            }
            match part {
                Part::Ours(family) => family.write(&mut page),
                #[cfg(feature = "process")]
                Part::Process(family) => family.write(&mut page, self.ours.global_labels()),
                Part::Stock(family) => family.write(&mut page),
            }
        }
        page.insert_str(at.unwrap_or(page.len()), &own());
        page
    }

    /// Shows the process's own metrics too.
    #[cfg(feature = "process")]
    pub(crate) fn with_process(mut self) -> Self {
        self.shows_process = true;
        self
    }

    /// Folds the samples of the application's own histograms into their
    /// buckets; until then each takes up room.
    pub(crate) fn run_upkeep(&self) {
        self.stock.run_upkeep();
    }

    /// How many series the three metrics have.
    pub(crate) fn series(&self) -> usize {
        self.ours.series()
    }
}
