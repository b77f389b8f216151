//! What every format implements: a page is a sequence of families, each a sequence of
//! series.

use crate::recorder::point::{Head, Kind, Point, Series};

/// The size in bytes at which a piece of a page is complete. A piece can be larger by one
/// series.
pub(super) const PIECE: usize = 64 * 1024;

/// Returns an empty buffer whose capacity fits a complete piece.
pub(super) fn empty_piece() -> Vec<u8> {
    /// The series that completes a piece usually fits into this extra capacity.
    const ONE_SERIES: usize = 4 * 1024;
    Vec::with_capacity(PIECE + ONE_SERIES)
}

/// Consumes a page in pieces, so that an encoder need not hold the whole page. The protobuf
/// encoder buffers one family, because its length comes first.
pub(crate) trait Sink {
    /// Takes the content of `piece`, and leaves it empty.
    fn take(&mut self, piece: &mut Vec<u8>);
}

impl Sink for Vec<u8> {
    fn take(&mut self, piece: &mut Vec<u8>) {
        self.append(piece);
    }
}

/// Writes a page in one format.
pub(crate) trait Encoder {
    /// Begins a family. A family without series does not appear on the page.
    fn family(&mut self, head: &Head<'_>);

    /// Adds a series to the family.
    fn series(&mut self, series: &Series<'_>);

    /// Ends the page. The last pieces go into the sink.
    fn finish(&mut self);
}

impl dyn Encoder + '_ {
    /// Writes a family of one series.
    pub(crate) fn single(&mut self, head: Head<'_>, labels: &str, point: Point<'_>) {
        self.family(&head);
        self.series(&Series {
            labels,
            started: None,
            point,
        });
    }
}

/// Prometheus's [base units](https://prometheus.io/docs/practices/naming/#base-units) that
/// names end in.
const BASE_UNITS: [&str; 9] = [
    "seconds", "bytes", "ratio", "celsius", "meters", "volts", "amperes", "joules", "grams",
];

/// Returns the base unit that the name of a family ends in. `name` has no `_total`.
pub(super) fn unit(name: &str) -> Option<&'static str> {
    BASE_UNITS.into_iter().find(|unit| {
        let before = name
            .strip_suffix(unit)
            .and_then(|name| name.strip_suffix('_'));
        before.is_some_and(|before| !before.is_empty())
    })
}

/// Returns the name of a family without the suffix that its kind has in every format.
pub(super) fn without_suffix(name: &str, kind: Kind) -> Option<&str> {
    let short = match kind {
        Kind::Counter => name.strip_suffix("_total"),
        Kind::Info => name.strip_suffix("_info"),
        _ => None,
    };
    short.filter(|short| !short.is_empty())
}
