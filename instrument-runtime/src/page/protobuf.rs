//! Prometheus's [protobuf format]: a sequence of `io.prometheus.client.MetricFamily`
//! messages, each with its length in front.
//!
//! The messages are written directly, without generated types: a page would otherwise be
//! built in memory as a tree of messages before its first byte is written.
//!
//! [protobuf format]: https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto

use crate::page::encoder::{Encoder, PIECE, Sink, empty_piece, unit, without_suffix};
use crate::page::escaping::push_name;
use crate::page::wire::{
    push_double, push_message, push_sint, push_string, push_uint, push_varint,
};
use crate::recorder::exemplars::Exemplar;
use crate::recorder::label_text::{pairs, unescape};
use crate::recorder::native::ZERO_THRESHOLD;
use crate::recorder::number::{Number, UnixTime};
use crate::recorder::point::{
    Head, HistogramPoint, Kind, NativePoint, Point, Series, SummaryPoint,
};

/// The fields of `io.prometheus.client` messages.
mod fields {
    pub(super) mod metric_family {
        pub(crate) const NAME: u64 = 1;
        pub(crate) const HELP: u64 = 2;
        pub(crate) const TYPE: u64 = 3;
        pub(crate) const METRIC: u64 = 4;
        pub(crate) const UNIT: u64 = 5;
    }
    pub(super) mod metric {
        pub(crate) const LABEL: u64 = 1;
        pub(crate) const GAUGE: u64 = 2;
        pub(crate) const COUNTER: u64 = 3;
        pub(crate) const SUMMARY: u64 = 4;
        pub(crate) const UNTYPED: u64 = 5;
        pub(crate) const HISTOGRAM: u64 = 7;
    }
    pub(super) mod label_pair {
        pub(crate) const NAME: u64 = 1;
        pub(crate) const VALUE: u64 = 2;
    }
    /// `Gauge`, `Counter` and `Untyped`.
    pub(super) mod number {
        pub(crate) const VALUE: u64 = 1;
    }
    pub(super) mod counter {
        pub(crate) const EXEMPLAR: u64 = 2;
        pub(crate) const CREATED_TIMESTAMP: u64 = 3;
    }
    pub(super) mod summary {
        pub(crate) const SAMPLE_COUNT: u64 = 1;
        pub(crate) const SAMPLE_SUM: u64 = 2;
        pub(crate) const QUANTILE: u64 = 3;
        pub(crate) const CREATED_TIMESTAMP: u64 = 4;
    }
    pub(super) mod quantile {
        pub(crate) const QUANTILE: u64 = 1;
        pub(crate) const VALUE: u64 = 2;
    }
    pub(super) mod histogram {
        pub(crate) const SAMPLE_COUNT: u64 = 1;
        pub(crate) const SAMPLE_SUM: u64 = 2;
        pub(crate) const BUCKET: u64 = 3;
        pub(crate) const SCHEMA: u64 = 5;
        pub(crate) const ZERO_THRESHOLD: u64 = 6;
        pub(crate) const ZERO_COUNT: u64 = 7;
        pub(crate) const POSITIVE_SPAN: u64 = 12;
        pub(crate) const POSITIVE_DELTA: u64 = 13;
        pub(crate) const CREATED_TIMESTAMP: u64 = 15;
        pub(crate) const EXEMPLARS: u64 = 16;
    }
    pub(super) mod bucket_span {
        pub(crate) const OFFSET: u64 = 1;
        pub(crate) const LENGTH: u64 = 2;
    }
    pub(super) mod bucket {
        pub(crate) const CUMULATIVE_COUNT: u64 = 1;
        pub(crate) const UPPER_BOUND: u64 = 2;
        pub(crate) const EXEMPLAR: u64 = 3;
    }
    pub(super) mod exemplar {
        pub(crate) const LABEL: u64 = 1;
        pub(crate) const VALUE: u64 = 2;
        pub(crate) const TIMESTAMP: u64 = 3;
    }
    /// `google.protobuf.Timestamp`.
    pub(super) mod timestamp {
        pub(crate) const SECONDS: u64 = 1;
        pub(crate) const NANOS: u64 = 2;
    }
}

/// Writes a page of delimited messages.
pub(super) struct Protobuf<'a> {
    sink: &'a mut dyn Sink,
    /// Names are written in the escaping scheme `dots`.
    dots: bool,
    /// Complete families that were not passed to the sink yet.
    piece: Vec<u8>,
    /// Complete pieces of the current family. They are buffered until it ends, because the
    /// length prefix comes first.
    family: Vec<Vec<u8>>,
    /// The piece of the current family that is being filled.
    end: Vec<u8>,
    has_series: bool,
}

impl<'a> Protobuf<'a> {
    pub(super) fn new(dots: bool, sink: &'a mut dyn Sink) -> Self {
        Self {
            sink,
            dots,
            piece: Vec::new(),
            family: Vec::new(),
            end: empty_piece(),
            has_series: false,
        }
    }

    fn end_family(&mut self) {
        if !std::mem::take(&mut self.has_series) {
            self.end.clear();
            return;
        }
        let length = self.family.iter().map(Vec::len).sum::<usize>() + self.end.len();
        push_varint(&mut self.piece, length as u64);
        if !self.family.is_empty() {
            self.sink.take(&mut self.piece);
            for mut piece in self.family.drain(..) {
                self.sink.take(&mut piece);
            }
        }
        self.piece.append(&mut self.end);
        if self.piece.len() >= PIECE {
            self.sink.take(&mut self.piece);
        }
    }
}

impl Encoder for Protobuf<'_> {
    fn family(&mut self, head: &Head<'_>) {
        use fields::metric_family as field;

        self.end_family();
        let Head { name, help, kind } = *head;
        let mut escaped = String::new();
        push_name(&mut escaped, name, self.dots);
        push_string(&mut self.end, field::NAME, &escaped);
        if !help.is_empty() {
            push_string(&mut self.end, field::HELP, help);
        }
        push_uint(&mut self.end, field::TYPE, metric_type(kind));
        if let Some(unit) = unit(without_suffix(name, kind).unwrap_or(name)) {
            push_string(&mut self.end, field::UNIT, unit);
        }
    }

    fn series(&mut self, series: &Series<'_>) {
        self.has_series = true;
        push_message(&mut self.end, fields::metric_family::METRIC, |metric| {
            push_metric(metric, series, self.dots);
        });
        if self.end.len() >= PIECE {
            self.family
                .push(std::mem::replace(&mut self.end, empty_piece()));
        }
    }

    fn finish(&mut self) {
        self.end_family();
        self.sink.take(&mut self.piece);
    }
}

/// Returns the value of the enumeration `MetricType`.
fn metric_type(kind: Kind) -> u64 {
    match kind {
        Kind::Counter => 0,
        Kind::Gauge | Kind::Info => 1,
        Kind::Summary => 2,
        Kind::Untyped => 3,
        Kind::Histogram => 4,
    }
}

fn push_metric(metric: &mut Vec<u8>, series: &Series<'_>, dots: bool) {
    use fields::{counter, metric as field, number};

    for (name, value) in pairs(series.labels) {
        let value = unescape(value);
        if dots {
            let mut escaped = String::new();
            push_name(&mut escaped, name, dots);
            push_label(metric, field::LABEL, &escaped, &value);
        } else {
            push_label(metric, field::LABEL, name, &value);
        }
    }
    let plain = |metric: &mut Vec<u8>, field, value: Number| {
        push_message(metric, field, |message| {
            push_double(message, number::VALUE, value.to_f64());
        });
    };
    match &series.point {
        Point::Gauge(value) => plain(metric, field::GAUGE, *value),
        Point::Untyped(value) => plain(metric, field::UNTYPED, *value),
        Point::Counter { value, exemplar } => push_message(metric, field::COUNTER, |message| {
            push_double(message, number::VALUE, value.to_f64());
            push_exemplar(message, counter::EXEMPLAR, exemplar.as_ref());
            push_time(message, counter::CREATED_TIMESTAMP, series.started);
        }),
        Point::Histogram(histogram) => push_message(metric, field::HISTOGRAM, |message| {
            push_histogram(message, histogram, series.started);
        }),
        Point::Summary(summary) => push_message(metric, field::SUMMARY, |message| {
            push_summary(message, summary, series.started);
        }),
    }
}

fn push_histogram(
    message: &mut Vec<u8>,
    histogram: &HistogramPoint<'_>,
    started: Option<UnixTime>,
) {
    use fields::{bucket, histogram as field};

    push_uint(message, field::SAMPLE_COUNT, histogram.total());
    push_double(message, field::SAMPLE_SUM, histogram.sum.to_f64());
    let mut cumulative = 0_u64;
    let bounds = histogram.bounds.iter().chain([&f64::INFINITY]);
    for (index, (bound, count)) in bounds.zip(&histogram.counts).enumerate() {
        cumulative = cumulative.wrapping_add(*count);
        let exemplar = histogram.exemplars.get(index).and_then(Option::as_ref);
        // Omits the bucket `+Inf` unless it has an exemplar: its count equals `sample_count`.
        if bound.is_finite() || exemplar.is_some() {
            push_message(message, field::BUCKET, |message| {
                push_uint(message, bucket::CUMULATIVE_COUNT, cumulative);
                push_double(message, bucket::UPPER_BOUND, *bound);
                push_exemplar(message, bucket::EXEMPLAR, exemplar);
            });
        }
    }
    if let Some(native) = &histogram.native {
        push_native(message, native);
        for exemplar in histogram.exemplars.iter().flatten() {
            push_exemplar(message, field::EXEMPLARS, Some(exemplar));
        }
    }
    push_time(message, field::CREATED_TIMESTAMP, started);
}

/// Appends the native buckets to a histogram.
fn push_native(message: &mut Vec<u8>, native: &NativePoint) {
    use fields::{bucket_span, histogram as field};

    push_sint(message, field::SCHEMA, native.schema.into());
    push_double(message, field::ZERO_THRESHOLD, ZERO_THRESHOLD);
    push_uint(message, field::ZERO_COUNT, native.zero_count);
    let (spans, deltas) = spans(&native.buckets);
    for Span { offset, length } in spans {
        push_message(message, field::POSITIVE_SPAN, |message| {
            push_sint(message, bucket_span::OFFSET, offset);
            push_uint(message, bucket_span::LENGTH, length);
        });
    }
    for delta in deltas {
        push_sint(message, field::POSITIVE_DELTA, delta);
    }
}

/// A run of consecutive buckets.
struct Span {
    /// The index of the first bucket of the first span. For other spans, the number of
    /// buckets between the previous span and this one.
    offset: i64,
    length: u64,
}

/// Returns the spans of the buckets and their delta-encoded counts.
fn spans(buckets: &[(i32, u64)]) -> (Vec<Span>, Vec<i64>) {
    /// A gap of up to this many empty buckets takes fewer bytes as zeros in a span than as a
    /// new span.
    const SHORT_GAP: i64 = 2;
    let mut spans: Vec<Span> = Vec::new();
    let mut deltas = Vec::with_capacity(buckets.len());
    let (mut next, mut before) = (0, 0_u64);
    for (index, count) in buckets {
        let gap = i64::from(*index) - next;
        match spans.last_mut() {
            Some(span) if gap <= SHORT_GAP => {
                for _ in 0..gap {
                    deltas.push(
                        0_u64
                            .wrapping_sub(std::mem::take(&mut before))
                            .cast_signed(),
                    );
                }
                span.length += gap.cast_unsigned() + 1;
            }
            _ => spans.push(Span {
                offset: gap,
                length: 1,
            }),
        }
        deltas.push(count.wrapping_sub(before).cast_signed());
        before = *count;
        next = i64::from(*index) + 1;
    }
    (spans, deltas)
}

fn push_summary(message: &mut Vec<u8>, summary: &SummaryPoint<'_>, started: Option<UnixTime>) {
    use fields::{quantile, summary as field};

    push_uint(message, field::SAMPLE_COUNT, summary.count);
    push_double(message, field::SAMPLE_SUM, summary.sum.to_f64());
    for (of, value) in summary.quantiles {
        push_message(message, field::QUANTILE, |message| {
            push_double(message, quantile::QUANTILE, *of);
            push_double(message, quantile::VALUE, value.to_f64());
        });
    }
    push_time(message, field::CREATED_TIMESTAMP, started);
}

fn push_exemplar(message: &mut Vec<u8>, field: u64, exemplar: Option<&Exemplar>) {
    use fields::exemplar as of_exemplar;

    let Some(Exemplar { trace, value, at }) = exemplar else {
        return;
    };
    push_message(message, field, |message| {
        for (name, value) in trace.labels() {
            push_label(message, of_exemplar::LABEL, name, &value);
        }
        push_double(message, of_exemplar::VALUE, value.to_f64());
        push_time(message, of_exemplar::TIMESTAMP, Some(*at));
    });
}

fn push_label(message: &mut Vec<u8>, field: u64, name: &str, value: &str) {
    use fields::label_pair;

    push_message(message, field, |label| {
        push_string(label, label_pair::NAME, name);
        push_string(label, label_pair::VALUE, value);
    });
}

fn push_time(message: &mut Vec<u8>, field: u64, time: Option<UnixTime>) {
    if let Some(UnixTime(since_epoch)) = time {
        push_message(message, field, |message| {
            push_uint(message, fields::timestamp::SECONDS, since_epoch.as_secs());
            push_uint(
                message,
                fields::timestamp::NANOS,
                since_epoch.subsec_nanos().into(),
            );
        });
    }
}
