//! The candidates. All of them have the same body, which takes an argument and returns a
//! `Result` without waiting.

use std::hint::black_box;
use std::num::TryFromIntError;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, Result};
use instrument_benches::buckets::BUCKETS;
use instrument_benches::measure::{Batch, Candidate, Running};
use instrument_runtime::TraceContext;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::call_limit::{Cells, Sharded};

pub(crate) const CANDIDATES: &[Candidate] = &[
    Candidate {
        name: "bare async fn",
        start: || running(bare),
    },
    Candidate {
        name: "limit, std clock",
        start: || running(limit_std),
    },
    Candidate {
        name: "limit, quanta",
        start: || running(limit_quanta),
    },
    Candidate {
        name: "limit, quanta, cells for each thread",
        start: || running(limit_sharded),
    },
    Candidate {
        name: "ours, no labels",
        start: || ours(drives(ours_no_labels)),
    },
    Candidate {
        name: "ours, literal labels",
        start: || ours(drives(ours_literal_labels)),
    },
    Candidate {
        name: "ours, dynamic labels",
        start: || ours(drives(|n| ours_dynamic_labels(n, tenant(n)))),
    },
    Candidate {
        name: "bare fn",
        start: || Ok(Running::without_page(calls(bare_plain))),
    },
    Candidate {
        name: "ours, fn, no labels",
        start: || ours(calls(ours_plain_no_labels)),
    },
    Candidate {
        name: "ours, fn, dynamic labels",
        start: || ours(calls(|n| ours_plain_dynamic_labels(n, tenant(n)))),
    },
    Candidate {
        name: "ours, fn, track_caller",
        start: || ours(calls(ours_tracked)),
    },
    Candidate {
        name: "ours, native histograms",
        start: || {
            let builder = instrument_runtime::builder("bench").native_histograms();
            Running::ours(builder, drives(ours_no_labels))
        },
    },
    Candidate {
        name: "ours, exemplars, no trace",
        start: || {
            let builder = instrument_runtime::builder("bench").exemplars(|| None);
            Running::ours(builder, drives(ours_no_labels))
        },
    },
    Candidate {
        name: "ours, exemplars, a trace",
        start: || {
            let trace = TraceContext::new([1; 16], [2; 8]);
            let builder = instrument_runtime::builder("bench").exemplars(move || Some(trace));
            Running::ours(builder, drives(ours_no_labels))
        },
    },
    Candidate {
        name: "ours, native histograms and exemplars",
        start: || {
            let trace = TraceContext::new([1; 16], [2; 8]);
            let builder = instrument_runtime::builder("bench")
                .native_histograms()
                .exemplars(move || Some(trace));
            Running::ours(builder, drives(ours_no_labels))
        },
    },
    Candidate {
        name: "ours, oldest call",
        start: || {
            let builder = instrument_runtime::builder("bench").oldest_in_progress();
            Running::ours(builder, drives(ours_no_labels))
        },
    },
    Candidate {
        name: "metrics cached, std clock",
        start: || stock(drives(cached_std)),
    },
    Candidate {
        name: "metrics cached, quanta",
        start: || stock(drives(cached_quanta)),
    },
    Candidate {
        name: "metrics macros at each call",
        start: || stock(drives(facade)),
    },
    Candidate {
        name: "metrics macros, dynamic label",
        start: || stock(drives(|n| facade_dynamic(n, tenant(n)))),
    },
    Candidate {
        name: "prometheus-client cached",
        start: || running(with_prometheus_client),
    },
    Candidate {
        name: "prometheus cached",
        start: || running(with_prometheus),
    },
    Candidate {
        name: "metered",
        start: || running(|n| METERED.call(n)),
    },
    Candidate {
        name: "autometrics",
        start: || with_autometrics_exporter(drives(with_autometrics)),
    },
    Candidate {
        name: "autometrics, with the gauge",
        start: || with_autometrics_exporter(drives(with_autometrics_gauge)),
    },
    Candidate {
        name: "tracing::instrument, no subscriber",
        start: || running(with_tracing),
    },
    Candidate {
        name: "fastrace::trace, no root span",
        start: || running(with_fastrace),
    },
];

type Answer = Result<u32, TryFromIntError>;

/// The body of every candidate.
#[inline(always)]
fn body(n: u64) -> Answer {
    u32::try_from(n)
}

fn tenant(n: u64) -> &'static str {
    const TENANTS: [&str; 16] = [
        "acme", "bolt", "core", "dune", "echo", "flux", "gale", "halo", "iris", "jade", "kite",
        "lime", "mint", "nova", "opal", "pine",
    ];
    TENANTS[n as usize % TENANTS.len()]
}

/// Returns a batch that polls each call to its end on the current thread.
fn drives<F: Future>(call: impl Fn(u64) -> F + Sync + 'static) -> Batch {
    Box::new(move |calls| {
        let mut context = Context::from_waker(Waker::noop());
        for n in 0..calls {
            let mut future = pin!(call(black_box(n)));
            match future.as_mut().poll(&mut context) {
                Poll::Ready(output) => {
                    black_box(&output);
                }
                Poll::Pending => unreachable!("the body never waits"),
            }
        }
    })
}

/// The same for functions that are not async.
fn calls<R>(call: impl Fn(u64) -> R + Sync + 'static) -> Batch {
    Box::new(move |calls| {
        for n in 0..calls {
            black_box(&call(black_box(n)));
        }
    })
}

fn running<F: Future>(call: impl Fn(u64) -> F + Sync + 'static) -> Result<Running> {
    Ok(Running::without_page(drives(call)))
}

fn ours(batch: Batch) -> Result<Running> {
    Running::ours(instrument_runtime::builder("bench"), batch)
}

fn stock(batch: Batch) -> Result<Running> {
    let handle: PrometheusHandle = PrometheusBuilder::new()
        .set_buckets(&BUCKETS)?
        .install_recorder()
        .context("cannot install the stock recorder")?;
    Ok(Running {
        batch,
        page: Box::new(move || handle.render()),
    })
}

fn with_autometrics_exporter(batch: Batch) -> Result<Running> {
    autometrics::prometheus_exporter::try_init()?;
    Ok(Running {
        batch,
        page: Box::new(|| autometrics::prometheus_exporter::encode_to_string().unwrap_or_default()),
    })
}

async fn bare(n: u64) -> Answer {
    body(n)
}

static CELLS: Cells = Cells::new();
static SHARDED: Sharded = Sharded::new();

async fn limit_std(n: u64) -> Answer {
    let start = std::time::Instant::now();
    CELLS.started();
    let answer = body(n);
    CELLS.ended(start.elapsed().as_nanos() as u64);
    answer
}

async fn limit_quanta(n: u64) -> Answer {
    let start = quanta::Instant::now();
    CELLS.started();
    let answer = body(n);
    CELLS.ended(start.elapsed().as_nanos() as u64);
    answer
}

async fn limit_sharded(n: u64) -> Answer {
    let start = quanta::Instant::now();
    let cells = SHARDED.mine();
    cells.started();
    let answer = body(n);
    cells.ended(start.elapsed().as_nanos() as u64);
    answer
}

#[instrument_runtime::instrumented(endpoint = "/test", method = "GET")]
async fn ours_no_labels(n: u64) -> Answer {
    body(n)
}

#[instrument_runtime::instrumented(endpoint = "/test", method = "GET", labels(region = "eu"))]
async fn ours_literal_labels(n: u64) -> Answer {
    body(n)
}

#[instrument_runtime::instrumented(endpoint = "/test", method = "GET", labels(tenant = tenant))]
async fn ours_dynamic_labels(n: u64, tenant: &str) -> Answer {
    body(n)
}

fn bare_plain(n: u64) -> Answer {
    body(n)
}

#[instrument_runtime::instrumented(endpoint = "/test", method = "GET")]
fn ours_plain_no_labels(n: u64) -> Answer {
    body(n)
}

#[instrument_runtime::instrumented(endpoint = "/test", method = "GET", labels(tenant = tenant))]
fn ours_plain_dynamic_labels(n: u64, tenant: &str) -> Answer {
    body(n)
}

#[instrument_runtime::instrumented(endpoint = "/test", method = "GET")]
#[track_caller]
fn ours_tracked(n: u64) -> Answer {
    body(n)
}

/// The handles that users of the `metrics` facade would cache by hand: a gauge, and a counter
/// and a histogram for each outcome.
struct Handles {
    in_progress: metrics::Gauge,
    ok: (metrics::Counter, metrics::Histogram),
    error: (metrics::Counter, metrics::Histogram),
}

static HANDLES: LazyLock<Handles> = LazyLock::new(|| {
    let of = |outcome| {
        (
            metrics::counter!("requests_total", "method" => "GET", "endpoint" => "/test", "outcome" => outcome),
            metrics::histogram!("request_latency_seconds", "method" => "GET", "endpoint" => "/test", "outcome" => outcome),
        )
    };
    Handles {
        in_progress: metrics::gauge!("requests_in_progress", "method" => "GET", "endpoint" => "/test"),
        ok: of("ok"),
        error: of("error"),
    }
});

impl Handles {
    fn ended(&self, answer: &Answer, seconds: f64) {
        let (requests, latency) = if answer.is_ok() {
            &self.ok
        } else {
            &self.error
        };
        requests.increment(1);
        latency.record(seconds);
        self.in_progress.decrement(1.0);
    }
}

async fn cached_std(n: u64) -> Answer {
    let handles = &*HANDLES;
    handles.in_progress.increment(1.0);
    let start = std::time::Instant::now();
    let answer = body(n);
    handles.ended(&answer, start.elapsed().as_secs_f64());
    answer
}

async fn cached_quanta(n: u64) -> Answer {
    let handles = &*HANDLES;
    handles.in_progress.increment(1.0);
    let start = quanta::Instant::now();
    let answer = body(n);
    handles.ended(&answer, start.elapsed().as_secs_f64());
    answer
}

fn outcome(answer: &Answer) -> &'static str {
    if answer.is_ok() { "ok" } else { "error" }
}

async fn facade(n: u64) -> Answer {
    metrics::gauge!("requests_in_progress", "method" => "GET", "endpoint" => "/test")
        .increment(1.0);
    let start = std::time::Instant::now();
    let answer = body(n);
    let seconds = start.elapsed().as_secs_f64();
    let outcome = outcome(&answer);
    metrics::counter!("requests_total", "method" => "GET", "endpoint" => "/test", "outcome" => outcome).increment(1);
    metrics::histogram!("request_latency_seconds", "method" => "GET", "endpoint" => "/test", "outcome" => outcome).record(seconds);
    metrics::gauge!("requests_in_progress", "method" => "GET", "endpoint" => "/test")
        .decrement(1.0);
    answer
}

async fn facade_dynamic(n: u64, tenant: &str) -> Answer {
    metrics::gauge!("requests_in_progress", "method" => "GET", "endpoint" => "/test", "tenant" => tenant.to_owned()).increment(1.0);
    let start = std::time::Instant::now();
    let answer = body(n);
    let seconds = start.elapsed().as_secs_f64();
    let outcome = outcome(&answer);
    metrics::counter!("requests_total", "method" => "GET", "endpoint" => "/test", "outcome" => outcome, "tenant" => tenant.to_owned()).increment(1);
    metrics::histogram!("request_latency_seconds", "method" => "GET", "endpoint" => "/test", "outcome" => outcome, "tenant" => tenant.to_owned()).record(seconds);
    metrics::gauge!("requests_in_progress", "method" => "GET", "endpoint" => "/test", "tenant" => tenant.to_owned()).decrement(1.0);
    answer
}

struct PrometheusClient {
    in_progress: prometheus_client::metrics::gauge::Gauge,
    ok: prometheus_client::metrics::counter::Counter,
    error: prometheus_client::metrics::counter::Counter,
    latency_ok: prometheus_client::metrics::histogram::Histogram,
    latency_error: prometheus_client::metrics::histogram::Histogram,
}

static PROMETHEUS_CLIENT: LazyLock<PrometheusClient> = LazyLock::new(|| {
    let latency = || prometheus_client::metrics::histogram::Histogram::new(BUCKETS);
    PrometheusClient {
        in_progress: Default::default(),
        ok: Default::default(),
        error: Default::default(),
        latency_ok: latency(),
        latency_error: latency(),
    }
});

async fn with_prometheus_client(n: u64) -> Answer {
    let handles = &*PROMETHEUS_CLIENT;
    handles.in_progress.inc();
    let start = std::time::Instant::now();
    let answer = body(n);
    let seconds = start.elapsed().as_secs_f64();
    let (requests, latency) = match &answer {
        Ok(_) => (&handles.ok, &handles.latency_ok),
        Err(_) => (&handles.error, &handles.latency_error),
    };
    requests.inc();
    latency.observe(seconds);
    handles.in_progress.dec();
    answer
}

struct Prometheus {
    in_progress: prometheus::IntGauge,
    ok: (prometheus::IntCounter, prometheus::Histogram),
    error: (prometheus::IntCounter, prometheus::Histogram),
}

static PROMETHEUS: LazyLock<Prometheus> = LazyLock::new(|| {
    let made = || -> prometheus::Result<Prometheus> {
        let labels = ["method", "endpoint", "outcome"];
        let requests = prometheus::register_int_counter_vec!("requests_total", "help", &labels)?;
        let latency = prometheus::register_histogram_vec!(
            "request_latency_seconds",
            "help",
            &labels,
            BUCKETS.to_vec()
        )?;
        let in_progress =
            prometheus::register_int_gauge_vec!("requests_in_progress", "help", &labels[..2])?;
        let of = |outcome| {
            let values = ["GET", "/test", outcome];
            (
                requests.with_label_values(&values),
                latency.with_label_values(&values),
            )
        };
        Ok(Prometheus {
            in_progress: in_progress.with_label_values(&["GET", "/test"]),
            ok: of("ok"),
            error: of("error"),
        })
    };
    made().expect("each metric is registered once")
});

async fn with_prometheus(n: u64) -> Answer {
    let handles = &*PROMETHEUS;
    handles.in_progress.inc();
    let start = std::time::Instant::now();
    let answer = body(n);
    let seconds = start.elapsed().as_secs_f64();
    let (requests, latency) = if answer.is_ok() {
        &handles.ok
    } else {
        &handles.error
    };
    requests.inc();
    latency.observe(seconds);
    handles.in_progress.dec();
    answer
}

static METERED: LazyLock<Metered> = LazyLock::new(Metered::default);

#[derive(Default)]
struct Metered {
    metrics: MeteredMetrics,
}

#[metered::metered(registry = MeteredMetrics)]
impl Metered {
    #[measure([metered::HitCount, metered::ErrorCount, metered::InFlight, metered::ResponseTime])]
    async fn call(&self, n: u64) -> Answer {
        body(n)
    }
}

#[autometrics::autometrics]
async fn with_autometrics(n: u64) -> Answer {
    body(n)
}

#[autometrics::autometrics(track_concurrency)]
async fn with_autometrics_gauge(n: u64) -> Answer {
    body(n)
}

#[tracing::instrument]
async fn with_tracing(n: u64) -> Answer {
    body(n)
}

#[fastrace::trace]
async fn with_fastrace(n: u64) -> Answer {
    body(n)
}
