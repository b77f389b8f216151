//! Takes the picture of the live view in `deploy/`. `deploy/live-view.sh` runs this test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use instrument_browser::Browser;
use instrument_tests::program::Program;

/// Starts the example `webapp` with the metrics of its process. Returns the addresses of the
/// application and of the metrics.
fn webapp() -> (Program, SocketAddr, SocketAddr) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--package", "webapp"]);
    cargo.args(["--features", "instrument-runtime/process"]);
    // Cargo replaces itself by the program.
    let mut webapp = Program::start(
        cargo
            .env("WEBAPP_ADDR", "127.0.0.1:0")
            .env("OTEL_EXPORTER_PROMETHEUS_PORT", "0")
            .stdout(Stdio::piped()),
    );
    let mut lines = webapp.lines();
    let mut address = |path: &str| {
        let address = lines.find_map(|line| {
            let (_, url) = line.split_once("curl http://")?;
            url.split_once(path)?.0.parse().ok()
        });
        address.expect("the address is printed")
    };
    let (app, metrics) = (address("/test "), address("/metrics"));
    // The program could not print any more if nobody read.
    thread::spawn(move || lines.for_each(drop));
    (webapp, app, metrics)
}

/// Sends requests until `end`, about `per_second` of them, in waves.
fn send(url: &str, per_second: f64, patience: Duration, end: Instant) {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(patience))
        .http_status_as_error(false)
        .build()
        .new_agent();
    let start = Instant::now();
    while Instant::now() < end {
        // A request that times out is a client that hangs up.
        let _ = agent.get(url).call();
        let wave = 1.0 + 0.5 * (start.elapsed().as_secs_f64() / 25.0).sin();
        thread::sleep(Duration::from_secs_f64(1.0 / (per_second * wave)));
    }
}

#[test]
#[ignore = "run by deploy/live-view.sh, which needs several minutes"]
fn the_picture_in_deploy() {
    let setting = |name: &str| std::env::var(name).expect("deploy/live-view.sh sets it");
    let seconds = setting("SECONDS_OF_TRAFFIC").parse().expect("a number");
    let picture = PathBuf::from(setting("PICTURE"));
    let (_webapp, app, metrics) = webapp();
    let browser = Browser::start(1120, 610).expect("chromium and chromium-driver");
    browser.open(&format!("http://{metrics}/"));
    let end = Instant::now() + Duration::from_secs(seconds);
    let patient = Duration::from_secs(10);
    let hasty = Duration::from_millis(400);
    thread::scope(|scope| {
        for (path, per_second, patience) in [
            ("/test", 60.0, patient),
            ("/test", 15.0, patient),
            ("/test1", 0.7, patient),
            ("/nowhere", 1.5, patient),
            ("/slow", 2.0, patient),
            ("/slow", 1.0, patient),
            ("/slow", 0.2, hasty),
        ] {
            scope.spawn(move || send(&format!("http://{app}{path}"), per_second, patience, end));
        }
        // The picture is taken while requests are in flight.
        thread::sleep(
            end.saturating_duration_since(Instant::now())
                .saturating_sub(Duration::from_secs(1)),
        );
        let _ = browser
            .run("[...document.querySelectorAll('.open')].find(({ textContent }) => textContent === '/slow').click()");
        std::fs::write(picture, browser.screenshot()).expect("writes the picture");
    });
}
