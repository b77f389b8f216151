//! The page: everything that was recorded, in the format that a scraper prefers.
//!
//! ```text
//! mod        renders the page from our families, the metrics of the process and of tokio,
//!            and the page of the stock recorder
//! stock      parses and sorts the stock recorder's page
//! encoder    what every format implements: families, their series, pieces of a page
//! text       Prometheus's text format and OpenMetrics
//! protobuf   Prometheus's protobuf format
//! wire       the wire format of protobuf messages
//! health     the exporter's own metrics
//! pushes     counts pushes and shows them among the exporter's own metrics
//! panics     catches and counts panics during a render
//! format     chooses the format from `Accept`
//! escaping   writes names in the escaping scheme `dots`
//! encoding   reads `Accept-Encoding`, and compresses; the body of a response
//! in_app     the page as a handler in the application's own router
//! ```

pub(crate) mod encoder;
pub(crate) mod encoding;
mod escaping;
pub(crate) mod format;
pub(crate) mod health;
#[cfg(any(feature = "axum", feature = "actix-web"))]
pub(crate) mod in_app;
pub(crate) mod panics;
mod protobuf;
#[cfg_attr(
    not(feature = "push"),
    allow(dead_code, reason = "the feature `push` is off")
)]
pub(crate) mod pushes;
mod stock;
#[cfg(test)]
mod tests;
mod text;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::names::own::{self, TARGET_INFO};
use crate::page::encoder::{Encoder, Sink};
use crate::page::format::{Dialect, Syntax};
use crate::page::protobuf::Protobuf;
use crate::page::stock::StockFamily;
use crate::page::text::{Metadata, Text};
use crate::recorder::number::{Number, UnixTime};
use crate::recorder::point::{Head, Kind, Point};
use crate::recorder::{Families, ReadFamily, Recorder};

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

/// Renders everything that a recorder has stored.
#[derive(Clone)]
pub(crate) struct Page {
    ours: Arc<Families>,
    stock: PrometheusHandle,
    /// The size of the largest page that [`render`](Self::render) has returned.
    largest: Arc<AtomicUsize>,
    /// Whether the page has the metrics of the process and of tokio.
    #[cfg(any(feature = "process", feature = "tokio"))]
    has_collectors: bool,
}

impl Page {
    pub(crate) fn of(recorder: &Recorder) -> Self {
        Self {
            ours: recorder.families(),
            stock: recorder.stock(),
            largest: Arc::default(),
            #[cfg(any(feature = "process", feature = "tokio"))]
            has_collectors: false,
        }
    }

    /// Renders a page in Prometheus's text format, for the application or for a push. It
    /// has no scrape metrics.
    pub(crate) fn render(&self) -> String {
        // The next page is probably as large. Without the hint, the page would be copied
        // several times as it grows.
        let largest = self.largest.load(Ordering::Relaxed);
        let mut page = Vec::with_capacity(largest + largest / 8);
        self.write_unscraped(Dialect::default(), &mut page);
        self.largest.fetch_max(page.len(), Ordering::Relaxed);
        // The text encoder copies whole strings only, so this does not fail.
        String::from_utf8(page).unwrap_or_default()
    }

    /// Writes a page that the exporter does not serve, so it has no scrape metrics.
    pub(crate) fn write_unscraped(&self, dialect: Dialect, sink: &mut dyn Sink) {
        self.write(dialect, sink, |page| {
            health::write_unscraped(page, &self.ours);
        });
    }

    /// Writes the page, with families sorted by name and series by labels.
    ///
    /// `own` writes the exporter's own metrics. They come last, because they time the
    /// render.
    pub(crate) fn write(
        &self,
        dialect: Dialect,
        sink: &mut dyn Sink,
        own: impl FnOnce(&mut dyn Encoder),
    ) {
        let stock = self.stock.render();
        let parts = self.parts(&stock);
        let mut encoder = encoder(dialect, parts.iter().map(Part::name), sink);
        let page = &mut *encoder;
        for part in &parts {
            match part {
                Part::Ours(family) => {
                    page.family(&Head {
                        name: family.name(),
                        help: &family.help(),
                        kind: family.kind(),
                    });
                    family.each(&mut |series| page.series(&series));
                }
                Part::TargetInfo(labels) => {
                    let head = Head {
                        name: TARGET_INFO,
                        help: "Target metadata",
                        kind: Kind::Info,
                    };
                    page.single(head, labels, Point::Gauge(Number::U64(1)));
                }
                #[cfg(feature = "process")]
                Part::Process(metric) => metric.write(page, self.ours.global_labels()),
                #[cfg(feature = "tokio")]
                Part::Tokio(metric) => {
                    metric.write(page, |name, value| self.ours.labels_with(name, value));
                }
                Part::Stock(family) => {
                    family.with_head(|head| page.family(head));
                    family.each(self.ours.started(), &mut |series| page.series(&series));
                }
            }
        }
        own(page);
        page.finish();
    }

    /// Returns the families of the page, sorted. `stock` is the page of the stock recorder.
    fn parts<'a>(&'a self, stock: &'a str) -> Vec<Part<'a>> {
        let mut parts: Vec<Part<'_>> = self.ours.on_page().map(Part::Ours).collect();
        if !self.ours.target_info().is_empty() {
            parts.push(Part::TargetInfo(self.ours.target_info()));
        }
        #[cfg(feature = "process")]
        if self.has_collectors {
            parts.extend(crate::process::families().map(Part::Process));
        }
        #[cfg(feature = "tokio")]
        if self.has_collectors {
            parts.extend(crate::tokio::families().into_iter().map(Part::Tokio));
        }
        parts.extend(stock::families(stock).into_iter().map(Part::Stock));
        // Every format allows a family only once, and a parser may reject a page that
        // repeats a family. The sort is stable, so our family comes first among families
        // with the same name, and `dedup_by` drops the stock recorder's family.
        parts.sort_by(|one, other| one.name().cmp(other.name()));
        parts.dedup_by(|next, kept| next.name() == kept.name());
        parts
    }

    /// Adds the metrics that are collected while the page is rendered: those of the process
    /// and of tokio.
    #[cfg(any(feature = "process", feature = "tokio"))]
    pub(crate) fn with_collectors(mut self) -> Self {
        self.has_collectors = true;
        self
    }

    /// Moves the samples that the stock recorder's histograms have buffered into their
    /// buckets. Until then, each sample occupies memory.
    pub(crate) fn run_upkeep(&self) {
        self.stock.run_upkeep();
    }

    /// Returns the call metrics.
    pub(crate) fn calls(&self) -> &Families {
        &self.ours
    }

    /// Returns the time of the installation.
    pub(crate) fn started(&self) -> UnixTime {
        self.ours.started()
    }

    /// Returns the text of the labels that every series has, without braces.
    pub(crate) fn global_labels(&self) -> &str {
        self.ours.global_labels()
    }
}

/// A family of the page.
enum Part<'a> {
    Ours(&'a dyn ReadFamily),
    /// The labels of `target_info`.
    TargetInfo(&'a str),
    #[cfg(feature = "process")]
    Process(crate::process::ProcessMetric),
    #[cfg(feature = "tokio")]
    Tokio(crate::tokio::RuntimeMetric),
    Stock(StockFamily<'a>),
}

impl Part<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Ours(family) => family.name(),
            Self::TargetInfo(_) => TARGET_INFO,
            #[cfg(feature = "process")]
            Self::Process(family) => family.name,
            #[cfg(feature = "tokio")]
            Self::Tokio(family) => family.name,
            Self::Stock(family) => family.name,
        }
    }
}

/// Returns the encoder of a dialect. `families` are the names of all families that the page
/// will have, besides those of the exporter.
fn encoder<'a>(
    dialect: Dialect,
    families: impl Iterator<Item = &'a str>,
    sink: &'a mut dyn Sink,
) -> Box<dyn Encoder + 'a> {
    let metadata = match dialect.syntax {
        Syntax::Protobuf => return Box::new(Protobuf::new(dialect.dots, sink)),
        Syntax::Prometheus => Metadata::Prometheus,
        Syntax::OpenMetrics => Metadata::OpenMetrics(taken_names(families)),
    };
    Box::new(Text::new(metadata, dialect.dots, sink))
}

/// Returns the names that no shortened family of a counter may have in OpenMetrics,
/// sorted: those of all families, of the exporter's own, and of the shortened
/// `target_info`.
fn taken_names<'a>(families: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = families
        .chain(own::ALL.iter().copied())
        .chain(["target"])
        .collect();
    names.sort_unstable();
    names
}
