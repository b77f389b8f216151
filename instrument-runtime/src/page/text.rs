//! Prometheus's text format and OpenMetrics: one line for each sample.

use std::io::Write;

use crate::page::encoder::{Encoder, PIECE, Sink, empty_piece, unit, without_suffix};
use crate::page::escaping::{self, push_name};
use crate::recorder::exemplars::Exemplar;
use crate::recorder::label_text;
use crate::recorder::number::{Number, UnixTime, canonical, seconds};
use crate::recorder::point::{Head, HistogramPoint, Kind, Point, Series, SummaryPoint};

/// How the metadata of families is written.
#[derive(Debug)]
pub(super) enum Metadata<'a> {
    /// Prometheus's text format.
    Prometheus,
    /// OpenMetrics, with the names that shortened families must not have, sorted.
    OpenMetrics(Vec<&'a str>),
}

/// Writes a page as text.
pub(super) struct Text<'a> {
    sink: &'a mut dyn Sink,
    metadata: Metadata<'a>,
    /// Names are written in the escaping scheme `dots`.
    dots: bool,
    /// Text that was not passed to the sink yet.
    piece: Vec<u8>,
    /// The metadata lines of the family, until its first series is written.
    head: Vec<u8>,
    /// The name of the family's samples.
    name: String,
    /// Whether the format allows exemplars in this family.
    has_exemplars: bool,
    /// The labels of the series in the escaping scheme `dots`.
    labels: String,
    /// The common start of the lines of a histogram or a summary.
    prefix: Vec<u8>,
    bounds: Bounds,
}

/// The bounds of the previous histogram, as labels. Most histograms on a page have the same
/// bounds.
#[derive(Default)]
struct Bounds {
    bounds: Vec<f64>,
    labels: Vec<String>,
}

impl Bounds {
    /// Returns the label `le` of each bucket, `+Inf` included.
    fn labels(&mut self, bounds: &[f64]) -> &[String] {
        if self.labels.is_empty() || self.bounds != bounds {
            let all = bounds.iter().chain([&f64::INFINITY]);
            self.labels = all
                .map(|bound| format!("le=\"{}\"", canonical(*bound)))
                .collect();
            self.bounds = bounds.to_vec();
        }
        &self.labels
    }
}

impl<'a> Text<'a> {
    pub(super) fn new(metadata: Metadata<'a>, dots: bool, sink: &'a mut dyn Sink) -> Self {
        Self {
            sink,
            metadata,
            dots,
            piece: empty_piece(),
            head: Vec::new(),
            name: String::new(),
            has_exemplars: false,
            labels: String::new(),
            prefix: Vec::new(),
            bounds: Bounds::default(),
        }
    }
}

impl Encoder for Text<'_> {
    fn family(&mut self, head: &Head<'_>) {
        self.name.clear();
        push_name(&mut self.name, head.name, self.dots);
        self.head.clear();
        let kind = write_head(&mut self.head, head, &self.metadata, self.dots);
        let allows = matches!(kind, Kind::Counter | Kind::Histogram);
        self.has_exemplars = allows && matches!(self.metadata, Metadata::OpenMetrics(_));
    }

    fn series(&mut self, series: &Series<'_>) {
        self.piece.append(&mut self.head);
        let labels = if self.dots {
            self.labels.clear();
            escaping::push_labels(&mut self.labels, series.labels);
            &self.labels
        } else {
            series.labels
        };
        let mut lines = Lines {
            page: &mut self.piece,
            name: &self.name,
            labels,
            prefix: &mut self.prefix,
            has_exemplars: self.has_exemplars,
        };
        match &series.point {
            Point::Counter { value, exemplar } => {
                lines.line_with_exemplar("", *value, exemplar.as_ref());
            }
            Point::Gauge(value) | Point::Untyped(value) => lines.line("", *value),
            Point::Histogram(histogram) => {
                lines.histogram(histogram, self.bounds.labels(histogram.bounds));
            }
            Point::Summary(summary) => lines.summary(summary),
        }
        if self.piece.len() >= PIECE {
            self.sink.take(&mut self.piece);
        }
    }

    fn finish(&mut self) {
        if let Metadata::OpenMetrics(_) = self.metadata {
            self.piece.extend_from_slice(b"# EOF\n");
        }
        self.sink.take(&mut self.piece);
    }
}

/// Appends the lines HELP, TYPE and, in OpenMetrics, UNIT.
///
/// In OpenMetrics, the family of a counter is named without `_total`, and that of an
/// info metric without `_info`. If the name lacks this suffix, or if another family
/// already has the shorter name, the type becomes `unknown`. The name then stays
/// unchanged, so the samples have the same name in every format.
///
/// Returns the type that was written.
fn write_head(page: &mut Vec<u8>, head: &Head<'_>, metadata: &Metadata<'_>, dots: bool) -> Kind {
    let Head { name, help, kind } = *head;
    let mut line = |what: &str, name: &str, text: &str| {
        if !text.is_empty() {
            let mut escaped = String::new();
            push_name(&mut escaped, name, dots);
            // Writing to a vector does not fail.
            let _ = writeln!(page, "# {what} {escaped} {text}");
        }
    };
    let mut escaped = String::new();
    let Metadata::OpenMetrics(taken) = metadata else {
        // Prometheus's format does not escape double quotes in HELP.
        label_text::push_escaped(&mut escaped, help, |byte| matches!(byte, b'\\' | b'\n'));
        line("HELP", name, &escaped);
        line("TYPE", name, type_name(kind, false));
        return kind;
    };
    // The list contains `target`, the short name of `target_info`, once in any case.
    let most = usize::from(kind == Kind::Info);
    let is_free = |short: &&str| {
        let first = taken.partition_point(|name| name < short);
        taken.get(first + most) != Some(short)
    };
    let short = without_suffix(name, kind).filter(is_free);
    let (name, kind) = match (kind, short) {
        (kind, Some(short)) => (short, kind),
        (Kind::Counter | Kind::Info, None) => (name, Kind::Untyped),
        (kind, None) => (name, kind),
    };
    label_text::push_value(&mut escaped, help);
    line("HELP", name, &escaped);
    line("TYPE", name, type_name(kind, true));
    line("UNIT", name, unit(name).unwrap_or_default());
    kind
}

fn type_name(kind: Kind, is_open_metrics: bool) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        Kind::Summary => "summary",
        Kind::Untyped if is_open_metrics => "unknown",
        Kind::Untyped => "untyped",
        Kind::Info if is_open_metrics => "info",
        // Only OpenMetrics has the type `info`; its series is a gauge that is 1.
        Kind::Info => "gauge",
    }
}

/// The end of the page, where the lines of one series are appended.
struct Lines<'a> {
    page: &'a mut Vec<u8>,
    name: &'a str,
    labels: &'a str,
    prefix: &'a mut Vec<u8>,
    has_exemplars: bool,
}

impl Lines<'_> {
    /// Appends a line with the metric's name, `suffix` and the labels of the series.
    fn line(&mut self, suffix: &str, value: Number) {
        self.line_with_exemplar(suffix, value, None);
    }

    fn line_with_exemplar(&mut self, suffix: &str, value: Number, exemplar: Option<&Exemplar>) {
        self.page.extend_from_slice(self.name.as_bytes());
        self.page.extend_from_slice(suffix.as_bytes());
        if !self.labels.is_empty() {
            self.page.push(b'{');
            self.page.extend_from_slice(self.labels.as_bytes());
            self.page.push(b'}');
        }
        self.value(value, exemplar);
    }

    fn histogram(&mut self, histogram: &HistogramPoint<'_>, labels: &[String]) {
        let mut total = 0_u64;
        self.set_prefix("_bucket");
        for (index, (label, count)) in labels.iter().zip(&histogram.counts).enumerate() {
            total = total.wrapping_add(*count);
            let exemplar = histogram.exemplars.get(index).and_then(Option::as_ref);
            self.line_with(label, Number::U64(total), exemplar);
        }
        self.line("_sum", histogram.sum);
        self.line("_count", Number::U64(total));
    }

    fn summary(&mut self, summary: &SummaryPoint<'_>) {
        self.set_prefix("");
        for (quantile, value) in summary.quantiles {
            let label = format!("quantile=\"{}\"", canonical(*quantile));
            self.line_with(&label, *value, None);
        }
        self.line("_sum", summary.sum);
        self.line("_count", Number::U64(summary.count));
    }

    /// Sets the start of lines that differ only in their last label.
    fn set_prefix(&mut self, suffix: &str) {
        self.prefix.clear();
        for part in [self.name, suffix, "{", self.labels] {
            self.prefix.extend_from_slice(part.as_bytes());
        }
        if !self.labels.is_empty() {
            self.prefix.push(b',');
        }
    }

    /// Appends a line with the prefix and one more label, which is already escaped.
    fn line_with(&mut self, label: &str, value: Number, exemplar: Option<&Exemplar>) {
        self.page.extend_from_slice(self.prefix);
        self.page.extend_from_slice(label.as_bytes());
        self.page.push(b'}');
        self.value(value, exemplar);
    }

    /// Ends a line with its value, and with its exemplar if the format allows it.
    fn value(&mut self, value: Number, exemplar: Option<&Exemplar>) {
        self.page.push(b' ');
        push_number(self.page, value);
        if self.has_exemplars
            && let Some(exemplar) = exemplar
        {
            push_exemplar(self.page, exemplar);
        }
        self.page.push(b'\n');
    }
}

/// Appends ` # {labels} value timestamp`.
fn push_exemplar(page: &mut Vec<u8>, exemplar: &Exemplar) {
    let Exemplar { trace, value, at } = exemplar;
    let [(trace_name, trace), (span_name, span)] = trace.labels();
    // Writing to a vector does not fail.
    let _ = write!(
        page,
        " # {{{trace_name}=\"{trace}\",{span_name}=\"{span}\"}} "
    );
    push_number(page, *value);
    let UnixTime(since_epoch) = at;
    let (seconds, millis) = (since_epoch.as_secs(), since_epoch.subsec_millis());
    let _ = write!(page, " {seconds}.{millis:03}");
}

fn push_number(page: &mut Vec<u8>, value: Number) {
    match value {
        Number::U64(value) => push_u64(page, value),
        Number::Nanos(nanos) => page.extend_from_slice(seconds(nanos).as_bytes()),
        Number::F64(f64::INFINITY) => page.extend_from_slice(b"+Inf"),
        Number::F64(f64::NEG_INFINITY) => page.extend_from_slice(b"-Inf"),
        // Rust and the format both write NaN as `NaN`. Writing to a vector does not fail.
        Number::F64(value) => {
            let _ = write!(page, "{value}");
        }
    }
}

/// Appends an integer. Most values on a page are small counts, so this function is
/// written by hand: it takes half the time of `write!`.
fn push_u64(page: &mut Vec<u8>, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    page.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: Number) -> String {
        let mut page = Vec::new();
        push_number(&mut page, value);
        String::from_utf8(page).expect("text")
    }

    #[test]
    fn integers_are_written_as_the_standard_library_does() {
        for value in [0, 1, 9, 10, 99, 100, 1 << 53, u64::MAX] {
            assert_eq!(number(Number::U64(value)), value.to_string());
        }
    }

    #[test]
    fn floats_are_written_as_the_format_says() {
        for (value, text) in [
            (0.0, "0"),
            (-3.0, "-3"),
            (0.25, "0.25"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(number(Number::F64(value)), text);
        }
    }

    #[test]
    fn open_metrics_names_a_counter_without_its_suffix() {
        let written = |name, kind, metadata: &Metadata<'_>| {
            let help = "a \"b\"\\\n";
            let mut page = Vec::new();
            write_head(&mut page, &Head { name, help, kind }, metadata, false);
            String::from_utf8(page).expect("text")
        };
        let open_metrics = Metadata::OpenMetrics(vec!["taken", "taken_total"]);
        for (name, kind, expected) in [
            (
                "a_total",
                Kind::Counter,
                "# HELP a a \\\"b\\\"\\\\\\n\n# TYPE a counter\n",
            ),
            (
                "a",
                Kind::Counter,
                "# HELP a a \\\"b\\\"\\\\\\n\n# TYPE a unknown\n",
            ),
            (
                "taken_total",
                Kind::Counter,
                "# HELP taken_total a \\\"b\\\"\\\\\\n\n# TYPE taken_total unknown\n",
            ),
            (
                "a_seconds",
                Kind::Histogram,
                "# HELP a_seconds a \\\"b\\\"\\\\\\n\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n",
            ),
        ] {
            assert_eq!(written(name, kind, &open_metrics), expected);
        }
        assert_eq!(
            written("a_total", Kind::Counter, &Metadata::Prometheus),
            "# HELP a_total a \"b\"\\\\\\n\n# TYPE a_total counter\n"
        );
    }
}
