//! The page: everything that was recorded, in the text format that a scraper prefers.
//!
//! ```text
//! mod        renders the page from our families, the process metrics and the page of the
//!            stock recorder
//! stock      parses and sorts the stock recorder's page
//! health     the exporter's own metrics
//! pushes     counts pushes and shows them among the exporter's own metrics
//! panics     catches and counts panics during a render
//! format     chooses the format from `Accept`
//! escaping   writes names in the escaping scheme `dots`
//! encoding   reads `Accept-Encoding`, and compresses
//! in_app     the page as a handler in the application's own router
//! ```

pub(crate) mod encoding;
mod escaping;
pub(crate) mod format;
pub(crate) mod health;
#[cfg(any(feature = "axum", feature = "actix-web"))]
pub(crate) mod in_app;
pub(crate) mod panics;
#[cfg_attr(
    not(feature = "push"),
    allow(dead_code, reason = "the feature `push` is off")
)]
pub(crate) mod pushes;
mod stock;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::names::own::{self, TARGET_INFO};
use crate::page::format::Dialect;
use crate::page::stock::StockFamily;
use crate::recorder::text::{Head, HeadStyle};
use crate::recorder::{Families, Recorder, WriteFamily};

/// The minimum pause between two renders.
const LEAST_REST: Duration = Duration::from_millis(1);
/// The maximum pause between two renders.
const MOST_REST: Duration = Duration::from_secs(1);

/// Returns the pause after a render that took `took`, compression included.
///
/// The pause is as long as the render, from 1 ms to 1 s. So renders that take up to 1 s
/// occupy at most half of a core, however many requests arrive, and requests that arrive
/// during the pause share the next render.
pub(crate) fn rest_after(took: Duration) -> Duration {
    took.clamp(LEAST_REST, MOST_REST)
}

/// Returns the names that no shortened family of a counter may have in OpenMetrics,
/// sorted: those of all families, of the exporter's own, and of the shortened
/// `target_info`.
fn family_names<'a>(families: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = families.chain(own::ALL).chain(["target"]).collect();
    names.sort_unstable();
    names
}

/// Renders everything that a recorder has stored.
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

    /// Renders a page in Prometheus's text format, for the application or for a push. It
    /// has no scrape metrics.
    pub(crate) fn render(&self) -> String {
        self.render_in(Dialect::default())
    }

    /// Returns the text of a page that one of the application's own routes serves.
    pub(crate) fn render_in(&self, dialect: Dialect) -> String {
        self.render_with(dialect, health::first(), |page, style| {
            health::write_unscraped(page, style, self.series());
        })
    }

    /// Returns the text of the page, with families sorted by name and series by labels.
    ///
    /// `own` writes the exporter's own metrics. It runs last, because it times the render.
    /// Its text is inserted where a family named `place` would sort.
    pub(crate) fn render_with(
        &self,
        dialect: Dialect,
        place: &str,
        own: impl FnOnce(&mut String, HeadStyle<'_>),
    ) -> String {
        enum Part<'a> {
            Ours(&'a dyn WriteFamily),
            /// The labels of `target_info`.
            TargetInfo(&'a str),
            #[cfg(feature = "process")]
            Process(crate::process::ProcessMetric),
            Stock(StockFamily<'a>),
        }
        impl Part<'_> {
            fn name(&self) -> &str {
                match self {
                    Self::Ours(family) => family.name(),
                    Self::TargetInfo(_) => TARGET_INFO,
                    #[cfg(feature = "process")]
                    Self::Process(family) => family.name,
                    Self::Stock(family) => family.name,
                }
            }
        }

        let stock = self.stock.render();
        let mut parts: Vec<Part<'_>> = self.ours.all().into_iter().map(Part::Ours).collect();
        if !self.ours.target_info().is_empty() {
            parts.push(Part::TargetInfo(self.ours.target_info()));
        }
        #[cfg(feature = "process")]
        if self.shows_process {
            parts.extend(crate::process::families().map(Part::Process));
        }
        parts.extend(stock::families(&stock).into_iter().map(Part::Stock));
        // The text format allows a family only once, and a parser may reject a page that
        // repeats a family. The sort is stable, so our family comes first among families
        // with the same name, and `dedup_by` drops the stock recorder's family.
        parts.sort_by(|one, other| one.name().cmp(other.name()));
        parts.dedup_by(|next, kept| next.name() == kept.name());

        let names;
        let style = if dialect.open_metrics {
            names = family_names(parts.iter().map(Part::name));
            HeadStyle::OpenMetrics(&names)
        } else {
            HeadStyle::Prometheus
        };
        let mut page = String::with_capacity(stock.len());
        let mut at = None;
        for part in &parts {
            if part.name() >= place {
                at.get_or_insert(page.len());
            }
            match part {
                Part::Ours(family) => family.write(&mut page, style),
                Part::TargetInfo(labels) => {
                    let info = Head {
                        name: TARGET_INFO,
                        help: "Target metadata",
                        kind: "info",
                    };
                    info.write(&mut page, style);
                    // Writing to a string does not fail.
                    let _ = writeln!(page, "{TARGET_INFO}{{{labels}}} 1");
                }
                #[cfg(feature = "process")]
                Part::Process(family) => {
                    family.write(&mut page, style, self.ours.global_labels());
                }
                Part::Stock(family) => family.write(&mut page, style),
            }
        }
        let mut health = String::new();
        own(&mut health, style);
        page.insert_str(at.unwrap_or(page.len()), &health);
        if dialect.dots {
            page = escaping::dots(&page);
        }
        if dialect.open_metrics {
            page.push_str("# EOF\n");
        }
        page
    }

    /// Adds the metrics of the process to the page.
    #[cfg(feature = "process")]
    pub(crate) fn with_process(mut self) -> Self {
        self.shows_process = true;
        self
    }

    /// Moves the samples that the stock recorder's histograms have buffered into their
    /// buckets. Until then, each sample occupies memory.
    pub(crate) fn run_upkeep(&self) {
        self.stock.run_upkeep();
    }

    /// Returns the number of series in the three metrics.
    pub(crate) fn series(&self) -> usize {
        self.ours.series()
    }
}
