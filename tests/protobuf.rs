//! Decodes Prometheus's protobuf format with prost, which shares no code with the encoder.

use std::collections::BTreeMap;

use prost::Message;

use crate::page::Page;

/// The messages of Prometheus's `io/prometheus/client/metrics.proto`, with all fields that
/// have a meaning without float histograms.
#[allow(missing_docs, reason = "the names are those of the messages")]
pub mod client {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct MetricFamily {
        #[prost(string, optional, tag = "1")]
        pub name: Option<String>,
        #[prost(string, optional, tag = "2")]
        pub help: Option<String>,
        #[prost(enumeration = "MetricType", optional, tag = "3")]
        pub r#type: Option<i32>,
        #[prost(message, repeated, tag = "4")]
        pub metric: Vec<Metric>,
        #[prost(string, optional, tag = "5")]
        pub unit: Option<String>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
    #[repr(i32)]
    pub enum MetricType {
        Counter = 0,
        Gauge = 1,
        Summary = 2,
        Untyped = 3,
        Histogram = 4,
        GaugeHistogram = 5,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Metric {
        #[prost(message, repeated, tag = "1")]
        pub label: Vec<LabelPair>,
        #[prost(message, optional, tag = "2")]
        pub gauge: Option<Number>,
        #[prost(message, optional, tag = "3")]
        pub counter: Option<Counter>,
        #[prost(message, optional, tag = "4")]
        pub summary: Option<Summary>,
        #[prost(message, optional, tag = "5")]
        pub untyped: Option<Number>,
        #[prost(message, optional, tag = "7")]
        pub histogram: Option<Histogram>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct LabelPair {
        #[prost(string, optional, tag = "1")]
        pub name: Option<String>,
        #[prost(string, optional, tag = "2")]
        pub value: Option<String>,
    }

    /// `Gauge` and `Untyped`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Number {
        #[prost(double, optional, tag = "1")]
        pub value: Option<f64>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Counter {
        #[prost(double, optional, tag = "1")]
        pub value: Option<f64>,
        #[prost(message, optional, tag = "2")]
        pub exemplar: Option<Exemplar>,
        #[prost(message, optional, tag = "3")]
        pub created_timestamp: Option<Timestamp>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Summary {
        #[prost(uint64, optional, tag = "1")]
        pub sample_count: Option<u64>,
        #[prost(double, optional, tag = "2")]
        pub sample_sum: Option<f64>,
        #[prost(message, repeated, tag = "3")]
        pub quantile: Vec<Quantile>,
        #[prost(message, optional, tag = "4")]
        pub created_timestamp: Option<Timestamp>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Quantile {
        #[prost(double, optional, tag = "1")]
        pub quantile: Option<f64>,
        #[prost(double, optional, tag = "2")]
        pub value: Option<f64>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Histogram {
        #[prost(uint64, optional, tag = "1")]
        pub sample_count: Option<u64>,
        #[prost(double, optional, tag = "2")]
        pub sample_sum: Option<f64>,
        #[prost(message, repeated, tag = "3")]
        pub bucket: Vec<Bucket>,
        #[prost(message, optional, tag = "15")]
        pub created_timestamp: Option<Timestamp>,
        #[prost(sint32, optional, tag = "5")]
        pub schema: Option<i32>,
        #[prost(double, optional, tag = "6")]
        pub zero_threshold: Option<f64>,
        #[prost(uint64, optional, tag = "7")]
        pub zero_count: Option<u64>,
        #[prost(message, repeated, tag = "12")]
        pub positive_span: Vec<BucketSpan>,
        #[prost(sint64, repeated, packed = "false", tag = "13")]
        pub positive_delta: Vec<i64>,
        #[prost(message, repeated, tag = "16")]
        pub exemplars: Vec<Exemplar>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Bucket {
        #[prost(uint64, optional, tag = "1")]
        pub cumulative_count: Option<u64>,
        #[prost(double, optional, tag = "2")]
        pub upper_bound: Option<f64>,
        #[prost(message, optional, tag = "3")]
        pub exemplar: Option<Exemplar>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct BucketSpan {
        #[prost(sint32, optional, tag = "1")]
        pub offset: Option<i32>,
        #[prost(uint32, optional, tag = "2")]
        pub length: Option<u32>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Exemplar {
        #[prost(message, repeated, tag = "1")]
        pub label: Vec<LabelPair>,
        #[prost(double, optional, tag = "2")]
        pub value: Option<f64>,
        #[prost(message, optional, tag = "3")]
        pub timestamp: Option<Timestamp>,
    }

    #[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
    pub struct Timestamp {
        #[prost(int64, tag = "1")]
        pub seconds: i64,
        #[prost(int32, tag = "2")]
        pub nanos: i32,
    }
}

use client::{LabelPair, Metric, MetricFamily};

/// Decodes delimited messages.
///
/// # Panics
///
/// Panics if the page is not a sequence of delimited families.
#[must_use]
pub fn families(page: &[u8]) -> Vec<MetricFamily> {
    let mut rest = page;
    let mut families = Vec::new();
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).expect("a family"));
    }
    families
}

/// Returns labels as a map.
///
/// # Panics
///
/// Panics if a label occurs twice.
#[must_use]
pub fn labels(pairs: &[LabelPair]) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for pair in pairs {
        let before = labels.insert(pair.name().to_owned(), pair.value().to_owned());
        assert_eq!(before, None, "the label {:?} occurs twice", pair.name());
    }
    labels
}

/// Returns the metrics of the family `name`.
pub fn metrics<'a>(
    families: &'a [MetricFamily],
    name: &'a str,
) -> impl Iterator<Item = &'a Metric> + use<'a> {
    let of_name = families.iter().filter(move |family| family.name() == name);
    of_name.flat_map(|family| &family.metric)
}

/// Converts a page into the samples that the text format has for the same metrics.
///
/// # Panics
///
/// Panics if a sample occurs twice.
#[must_use]
pub fn samples(families: &[MetricFamily]) -> Page {
    let mut page = Page::default();
    for family in families {
        let name = family.name();
        for metric in &family.metric {
            let labels = labels(&metric.label);
            let mut add = |suffix: &str, bound: Option<(&str, String)>, value: f64| {
                let mut labels = labels.clone();
                labels.extend(bound.map(|(name, value)| (name.to_owned(), value)));
                page.add(format!("{name}{suffix}"), labels, value);
            };
            for value in [&metric.gauge, &metric.untyped].into_iter().flatten() {
                add("", None, value.value());
            }
            if let Some(counter) = &metric.counter {
                add("", None, counter.value());
            }
            if let Some(summary) = &metric.summary {
                for quantile in &summary.quantile {
                    let bound = canonical(quantile.quantile());
                    add("", Some(("quantile", bound)), quantile.value());
                }
                add("_sum", None, summary.sample_sum());
                add("_count", None, summary.sample_count() as f64);
            }
            if let Some(histogram) = &metric.histogram {
                for bucket in &histogram.bucket {
                    let bound = canonical(bucket.upper_bound());
                    add(
                        "_bucket",
                        Some(("le", bound)),
                        bucket.cumulative_count() as f64,
                    );
                }
                let count = histogram.sample_count() as f64;
                let last = histogram.bucket.last();
                if last.is_none_or(|last| last.upper_bound() != f64::INFINITY) {
                    add("_bucket", Some(("le", "+Inf".to_owned())), count);
                }
                add("_sum", None, histogram.sample_sum());
                add("_count", None, count);
            }
        }
    }
    page
}

/// Writes bounds from 0.0001 to a million as Go does.
fn canonical(bound: f64) -> String {
    if bound == f64::INFINITY {
        "+Inf".to_owned()
    } else if bound == 2e6 {
        "2e+06".to_owned()
    } else if bound == 1e-5 {
        "1e-05".to_owned()
    } else {
        format!("{bound:?}")
    }
}

/// Returns the index and the count of each native bucket that is listed.
///
/// # Panics
///
/// Panics if the spans and the deltas do not fit.
#[must_use]
pub fn native_buckets(histogram: &client::Histogram) -> Vec<(i32, u64)> {
    let mut deltas = histogram.positive_delta.iter();
    let mut buckets = Vec::new();
    let (mut index, mut count) = (0, 0);
    for (number, span) in histogram.positive_span.iter().enumerate() {
        assert!(number == 0 || span.offset() >= 0, "{histogram:?}");
        index += span.offset();
        for _ in 0..span.length() {
            count += deltas.next().expect("a delta for each bucket");
            buckets.push((index, u64::try_from(count).expect("no negative count")));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None, "a bucket for each delta");
    buckets
}
