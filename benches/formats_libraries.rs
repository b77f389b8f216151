//! The compared libraries, each filled with a given number of label sets.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use instrument_benches::buckets::BUCKETS;
use instrument_benches::peers::{self, tenant};
use instrument_runtime::{Builder, instrumented};
use prometheus_client::encoding::{prometheus_protobuf, text};
use prometheus_client::metrics::histogram::{
    DEFAULT_NATIVE_HISTOGRAM_BUCKET_FACTOR, Histogram, NativeHistogramConfig,
};
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;

use crate::Format;
use crate::formats_server::{self, Render};

/// A library that serves a page.
pub(crate) struct Library {
    pub(crate) name: &'static str,
    pub(crate) formats: &'static [Format],
    /// Creates the label sets, and starts to serve the page.
    pub(crate) start: fn(usize) -> Result<Serving>,
}

pub(crate) struct Serving {
    pub(crate) port: u16,
    /// Renders the page in this process. Returns `None` if the library renders this format
    /// only for its endpoint.
    pub(crate) render: RenderHere,
}

type RenderHere = Box<dyn Fn(Format) -> Result<Option<Vec<u8>>>>;

pub(crate) const LIBRARIES: &[Library] = &[
    Library {
        name: "ours",
        formats: &[Format::Text, Format::OpenMetrics, Format::Protobuf],
        start: |sets| ours(sets, instrument_runtime::builder("bench")),
    },
    Library {
        name: "ours with native histograms",
        formats: &[Format::Protobuf],
        start: |sets| {
            ours(
                sets,
                instrument_runtime::builder("bench").native_histograms(),
            )
        },
    },
    // Its protobuf encoder is behind a feature that needs `protoc`.
    Library {
        name: "stock exporter",
        formats: &[Format::Text],
        start: stock,
    },
    Library {
        name: "prometheus-client",
        formats: &[Format::OpenMetrics, Format::Protobuf],
        start: |sets| prometheus_client(sets, || Histogram::new(BUCKETS)),
    },
    Library {
        name: "prometheus-client with native histograms",
        formats: &[Format::Protobuf],
        start: |sets| {
            prometheus_client(sets, || {
                Histogram::new_classic_and_native(BUCKETS, native_histogram())
            })
        },
    },
    Library {
        name: "prometheus-client with native histograms only",
        formats: &[Format::Protobuf],
        start: |sets| prometheus_client(sets, || Histogram::new_native(native_histogram())),
    },
    Library {
        name: "fastmetrics",
        formats: &[Format::Text, Format::OpenMetrics, Format::Protobuf],
        start: with_fastmetrics::start,
    },
    Library {
        name: "prometheus",
        formats: &[Format::Text, Format::Protobuf],
        start: with_prometheus::start,
    },
];

/// Returns the latencies of the calls of label set number `n`, in seconds.
///
/// The sets differ in the number of calls, 16 to 47, and in the median latency, 5 ms to 80 ms:
/// equal numbers in all sets would be compressed far better than real ones. The latencies of
/// a set follow a log-logistic distribution, cut off at 0.5 s. They are the same in every run.
fn latencies(n: usize) -> Vec<f64> {
    // SplitMix64.
    let mut state = n as u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    let calls = 16 + next() % 32;
    let median = 0.005 * 16_f64.powf(unit(next()));
    let mut latencies = Vec::new();
    for _ in 0..calls {
        let p = unit(next());
        let seconds = (median * (p / (1.0 - p)).sqrt()).clamp(1e-6, 0.5);
        // A clock has a resolution of a nanosecond.
        latencies.push((seconds * 1e9).round() / 1e9);
    }
    latencies
}

/// Returns a number in the interval from 0 to 1, both excluded.
fn unit(bits: u64) -> f64 {
    ((bits >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// Serves pages of another library.
fn serve(render: impl Fn(Format) -> Result<Vec<u8>> + Send + Sync + 'static) -> Result<Serving> {
    let render: Arc<Render> = Arc::new(render);
    Ok(Serving {
        port: formats_server::start(Arc::clone(&render))?,
        render: Box::new(move |format| render(format).map(Some)),
    })
}

#[instrumented(endpoint = "/test", method = "GET", labels(tenant = tenant))]
async fn handler(tenant: String, latency: Duration) -> &'static str {
    tokio::time::sleep(latency).await;
    "test"
}

fn ours(sets: usize, builder: Builder) -> Result<Serving> {
    /// The number of label sets whose calls run at the same time.
    const AT_ONCE: usize = 1_000;
    let exporter = builder
        .listen((Ipv4Addr::LOCALHOST, 0))
        .max_series(sets + 1)
        .install()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    for first in (0..sets).step_by(AT_ONCE) {
        let mut calls = JoinSet::new();
        for n in first..sets.min(first + AT_ONCE) {
            for latency in latencies(n) {
                let call = handler(tenant(n), Duration::from_secs_f64(latency));
                calls.spawn_on(call, runtime.handle());
            }
        }
        runtime.block_on(calls.join_all());
    }
    let address = exporter.local_addr().context("the exporter has no port")?;
    Ok(Serving {
        port: address.port(),
        render: Box::new(move |format| {
            Ok(match format {
                Format::Text => Some(exporter.render().into_bytes()),
                Format::OpenMetrics | Format::Protobuf => None,
            })
        }),
    })
}

fn stock(sets: usize) -> Result<Serving> {
    let handle = peers::stock(sets, latencies)?.handle();
    serve(move |_| Ok(handle.render().into_bytes()))
}

/// The default bucket factor is that of our native histograms too.
fn native_histogram() -> NativeHistogramConfig {
    NativeHistogramConfig::new(DEFAULT_NATIVE_HISTOGRAM_BUCKET_FACTOR)
}

fn prometheus_client(sets: usize, histogram: fn() -> Histogram) -> Result<Serving> {
    let registry: Registry = peers::prometheus_client(sets, latencies, histogram);
    serve(move |format| {
        if format == Format::Protobuf {
            return Ok(prometheus_protobuf::encode_to_vec(&registry)?);
        }
        let mut page = String::new();
        text::encode(&mut page, &registry)?;
        Ok(page.into_bytes())
    })
}

mod with_fastmetrics {
    use anyhow::anyhow;
    use fastmetrics::derive::LabelSet;
    use fastmetrics::format::protobuf::{self, ProtobufProfile};
    use fastmetrics::format::text::{self, EscapingScheme, TextProfile};
    use fastmetrics::metrics::counter::Counter;
    use fastmetrics::metrics::family::Family;
    use fastmetrics::metrics::gauge::Gauge;
    use fastmetrics::metrics::histogram::Histogram;
    use fastmetrics::registry::Registry;

    use super::*;

    #[derive(Clone, PartialEq, Eq, Hash, LabelSet)]
    struct InProgress {
        method: &'static str,
        endpoint: &'static str,
        tenant: String,
    }

    #[derive(Clone, PartialEq, Eq, Hash, LabelSet)]
    struct Latency {
        method: &'static str,
        endpoint: &'static str,
        tenant: String,
        outcome: &'static str,
    }

    #[derive(Clone, PartialEq, Eq, Hash, LabelSet)]
    struct Requests {
        method: &'static str,
        endpoint: &'static str,
        tenant: String,
        outcome: &'static str,
        http_status: &'static str,
    }

    pub(super) fn start(sets: usize) -> Result<Serving> {
        let registry = fill(sets).map_err(|error| anyhow!("{error}"))?;
        serve(move |format| {
            let mut page = String::new();
            let encoded = match format {
                Format::Protobuf => {
                    let mut page = Vec::new();
                    return protobuf::encode(&mut page, &registry, ProtobufProfile::Prometheus)
                        .map(|()| page)
                        .map_err(|error| anyhow!("{error}"));
                }
                Format::Text => text::encode(&mut page, &registry, TextProfile::PrometheusV0_0_4),
                Format::OpenMetrics => {
                    let escaping_scheme = EscapingScheme::Underscores;
                    let profile = TextProfile::OpenMetricsV1_0_0 { escaping_scheme };
                    text::encode(&mut page, &registry, profile)
                }
            };
            encoded
                .map(|()| page.into_bytes())
                .map_err(|error| anyhow!("{error}"))
        })
    }

    fn fill(sets: usize) -> fastmetrics::error::Result<Registry> {
        let mut registry = Registry::builder()
            .with_const_labels([("app_name", "bench")])
            .build()?;
        let in_progress = Family::<InProgress, Gauge>::default();
        let requests = Family::<Requests, Counter>::default();
        let latency = Family::<Latency, Histogram>::new(|| Histogram::new(BUCKETS));
        registry.register(
            "requests_in_progress",
            "Calls that have not ended yet.",
            in_progress.clone(),
        )?;
        // The OpenMetrics encoder appends `_total`, the others do not. The name `requests_total`
        // would make the OpenMetrics page invalid.
        registry.register("requests", "Calls that have ended.", requests.clone())?;
        registry.register(
            "request_latency_seconds",
            "From start to end.",
            latency.clone(),
        )?;
        let (method, endpoint, outcome) = ("GET", "/test", "ok");
        for n in 0..sets {
            let labels = InProgress {
                method,
                endpoint,
                tenant: tenant(n),
            };
            in_progress.with_or_new(&labels, |gauge| gauge.set(0));
            let labels = Requests {
                method,
                endpoint,
                tenant: tenant(n),
                outcome,
                http_status: "200",
            };
            let latencies = latencies(n);
            requests.with_or_new(&labels, |counter| counter.inc_by(latencies.len() as u64));
            let labels = Latency {
                method,
                endpoint,
                tenant: tenant(n),
                outcome,
            };
            latency.with_or_new(&labels, |histogram| {
                for &seconds in &latencies {
                    histogram.observe(seconds);
                }
            });
        }
        Ok(registry)
    }
}

mod with_prometheus {
    use prometheus::{
        Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, ProtobufEncoder,
        Registry, TextEncoder,
    };

    use super::*;

    pub(super) fn start(sets: usize) -> Result<Serving> {
        let registry = fill(sets)?;
        serve(move |format| {
            let families = registry.gather();
            let mut page = Vec::new();
            match format {
                Format::Text => TextEncoder::new().encode(&families, &mut page)?,
                Format::Protobuf => ProtobufEncoder::new().encode(&families, &mut page)?,
                Format::OpenMetrics => bail!("prometheus has no OpenMetrics encoder"),
            }
            Ok(page)
        })
    }

    fn fill(sets: usize) -> Result<Registry> {
        let app_name = ("app_name".to_owned(), "bench".to_owned());
        let registry = Registry::new_custom(None, Some([app_name].into()))?;
        let in_progress = IntGaugeVec::new(
            Opts::new("requests_in_progress", "Calls that have not ended yet."),
            &["method", "endpoint", "tenant"],
        )?;
        let requests = IntCounterVec::new(
            Opts::new("requests_total", "Calls that have ended."),
            &["method", "endpoint", "tenant", "outcome", "http_status"],
        )?;
        let latency = HistogramVec::new(
            HistogramOpts::new("request_latency_seconds", "From start to end.")
                .buckets(BUCKETS.to_vec()),
            &["method", "endpoint", "tenant", "outcome"],
        )?;
        registry.register(Box::new(in_progress.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(latency.clone()))?;
        let (method, endpoint, outcome) = ("GET", "/test", "ok");
        for n in 0..sets {
            let tenant = &*tenant(n);
            let latencies = latencies(n);
            in_progress
                .with_label_values(&[method, endpoint, tenant])
                .set(0);
            requests
                .with_label_values(&[method, endpoint, tenant, outcome, "200"])
                .inc_by(latencies.len() as u64);
            let latency = latency.with_label_values(&[method, endpoint, tenant, outcome]);
            for seconds in latencies {
                latency.observe(seconds);
            }
        }
        Ok(registry)
    }
}
