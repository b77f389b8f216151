//! A real Prometheus scrapes the application and answers queries like those in the README.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use instrument_runtime::instrumented;
use instrument_tests::program::{Program, is_installed};
use instrument_tests::wait_for;
use serde_json::Value;

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
    if !is_installed("prometheus") {
        return;
    }
    let exporter = instrument_runtime::builder("webapp_1")
        .listen(([127, 0, 0, 1], 0))
        .install()
        .expect("installs");
    let app = exporter.local_addr().expect("a TCP listener");
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("prometheus.yml"),
        format!(
            "global: {{scrape_interval: 1s}}\n\
             scrape_configs:\n\
             - job_name: webapp\n\
             \x20 static_configs: [{{targets: ['{app}']}}]\n"
        ),
    )
    .expect("a configuration");
    let server = free_port();
    let _prometheus = Program::start(
        Command::new("prometheus")
            .arg(format!(
                "--config.file={}",
                folder.path().join("prometheus.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={server}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );

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
            wait_for("up", || {
                (query(server, "up{job='webapp'}")?.first()?.1 == 1.0).then_some(())
            });
            // `rate` needs several scrapes.
            wait_for("four scrapes", || {
                let scrapes = query(server, "count_over_time(up{job='webapp'}[1m])")?;
                (scrapes.first()?.1 >= 4.0).then_some(())
            });
            let rates = query(server, "sum by (endpoint) (rate(requests_total[1m]))");
            let quantile = "histogram_quantile(0.95, sum by (le, endpoint) \
                            (rate(request_latency_seconds_bucket[1m])))";
            (rates, query(server, quantile))
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
    let of = |answer: &[(String, f64)], endpoint: &str| {
        answer
            .iter()
            .find(|(found, _)| found == endpoint)
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

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

/// Returns the answer to an instant query, by endpoint, or `None` while it is empty.
fn query(server: SocketAddr, query: &str) -> Option<Vec<(String, f64)>> {
    let text = ureq::get(&format!("http://{server}/api/v1/query"))
        .query("query", query)
        .call()
        .ok()?
        .body_mut()
        .read_to_string()
        .ok()?;
    let answer: Value = serde_json::from_str(&text).ok()?;
    let series = answer["data"]["result"].as_array()?;
    let read = |series: &Value| {
        let endpoint = series["metric"]["endpoint"].as_str().unwrap_or_default();
        let value = series["value"][1].as_str()?.parse().ok()?;
        Some((endpoint.to_owned(), value))
    };
    series.iter().map(read).collect()
}
