//! A real Prometheus scrapes the application and answers queries like those in the README.

use std::time::{Duration, Instant};

use fleet::Labels;
use instrument_runtime::instrumented;
use instrument_tests::prometheus_server::{Job, Release, Server};

#[instrumented(endpoint = "/fast", method = "GET")]
async fn fast() -> &'static str {
    "fast"
}

#[instrumented(endpoint = "/slow", method = "GET")]
async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_millis(30)).await;
    "slow"
}

#[test]
fn prometheus_draws_what_was_served() {
    let Some(release) = Release::installed() else {
        return;
    };
    let exporter = instrument_runtime::builder("webapp_1")
        .listen(([127, 0, 0, 1], 0))
        .install()
        .expect("installs");
    let app = exporter.local_addr().expect("a TCP listener");
    let folder = tempfile::tempdir().expect("a folder");
    let prometheus = Server::start(&release, folder.path(), &[], &Job::new(app, "1s"));

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    // The traffic is as steady as possible, because the rates are compared below.
    let traffic = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(40));
        loop {
            ticks.tick().await;
            for _ in 0..3 {
                fast().await;
            }
            slow().await;
        }
    };
    let queries = tokio::task::spawn_blocking;
    let asked = async {
        queries(move || {
            // `rate` needs several scrapes.
            prometheus.wait_until("sum_over_time(up[1m])", |scrapes| {
                scrapes.first().is_some_and(|(_, number)| *number >= 4.0)
            });
            let rates = prometheus.query("sum by (endpoint) (rate(requests_total[1m]))");
            let quantile = "histogram_quantile(0.95, sum by (le, endpoint) \
                            (rate(request_latency_seconds_bucket[1m])))";
            (rates, prometheus.query(quantile))
        })
        .await
        .expect("no panic")
    };
    let started = Instant::now();
    let (rates, quantiles) = runtime.block_on(async {
        tokio::select! {
            () = traffic => unreachable!("the traffic does not end"),
            asked = asked => asked,
        }
    });
    println!("after {:?}: {rates:?} {quantiles:?}", started.elapsed());

    let rates = rates.expect("an answer");
    let of = |answer: &[(Labels, f64)], endpoint: &str| {
        answer
            .iter()
            .find(|(labels, _)| labels["endpoint"] == endpoint)
            .map_or(f64::NAN, |(_, value)| *value)
    };
    let (fast, slow) = (of(&rates, "/fast"), of(&rates, "/slow"));
    assert!(
        slow > 0.0 && (2.5..=3.5).contains(&(fast / slow)),
        "{rates:?}"
    );
    let quantiles = quantiles.expect("an answer");
    assert!(of(&quantiles, "/fast") <= 0.005, "{quantiles:?}");
    assert!(
        (0.025..=0.1).contains(&of(&quantiles, "/slow")),
        "{quantiles:?}"
    );
}
