//! Sends the same requests to the same application on axum, on actix-web and on plain
//! hyper. Each request is counted exactly once, with the same labels, in all three
//! metrics.
//!
//! - `table`: the requests and their expected counts.
//! - `handlers`: the handlers and middleware that the applications share.
//! - `axum_app`, `actix_app`, `tower_app`: the applications.
//! - `client`, `counted`: the HTTP client, and the comparison of counts.
//! - `attribution`, `attribution_actix`: which function a request is attributed to.
//! - `within`: requests inside requests, and nested routers.
//! - `actix_errors`: how actix-web's errors are counted.
//! - `series_bound`: the number of series stays bounded for arbitrary requests.

mod actix_app;
mod actix_errors;
mod attribution;
mod attribution_actix;
mod axum_app;
mod client;
mod counted;
mod handlers;
mod series_bound;
mod table;
mod tower_app;
mod within;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use instrument_runtime::Exporter;
use instrument_tests::wait_for;

use counted::Counted;
use table::KINDS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framework {
    Axum,
    ActixWeb,
    Tower,
}

/// An application that runs in this process, and the counts it should have.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    exporter: Exporter,
    expected: Counted,
}

impl Server {
    fn start(framework: Framework) -> Self {
        let exporter = install();
        let (tell, told) = mpsc::channel();
        let tell = move |addr| tell.send(addr).expect("somebody asks");
        std::thread::spawn(move || match framework {
            Framework::Axum => axum_app::serve(tell),
            Framework::ActixWeb => actix_app::serve(tell),
            Framework::Tower => tower_app::serve(tell),
        });
        Self {
            addr: told.recv().expect("serves"),
            exporter,
            expected: Counted::default(),
        }
    }

    fn page(&self) -> Counted {
        Counted::of(&self.exporter.render())
    }

    /// Waits until every request is counted and none is in progress.
    fn wait_until_counted(&self) {
        let mut last = self.page();
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for("the requests to be counted", || {
                last = self.page();
                last.is(&self.expected).then_some(())
            });
        }));
        if waited.is_err() {
            panic!("{}", last.difference(&self.expected));
        }
    }

    fn reached(&self) -> usize {
        handlers::REACHED.load(Ordering::Relaxed)
    }

    fn wait_for_reached(&self, count: usize) {
        wait_for(
            "the request to reach the point where the client hangs up",
            || (self.reached() == count).then_some(()),
        );
    }
}

fn install() -> Exporter {
    instrument_runtime::builder("requests")
        .without_listener()
        .install()
        .expect("installs")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

fn every_kind_is_counted_once(framework: Framework) {
    let mut server = Server::start(framework);
    for kind in KINDS {
        eprintln!("{framework:?}: {}", kind.name);
        server.expected.add(kind.counted);
        (kind.send)(&server);
        server.wait_until_counted();
    }
}

/// Runs the test `name` in a separate process, which has its own global recorder.
fn alone(name: &str, test: impl FnOnce()) {
    const ALONE: &str = "REQUESTS_ALONE";
    if std::env::var(ALONE).as_deref() == Ok(name) {
        return test();
    }
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args([name, "--exact", "--nocapture"])
        .env(ALONE, name)
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn axum() {
    alone("axum", || every_kind_is_counted_once(Framework::Axum));
}

#[test]
fn actix_web() {
    alone("actix_web", || {
        every_kind_is_counted_once(Framework::ActixWeb)
    });
}

#[test]
fn tower() {
    alone("tower", || every_kind_is_counted_once(Framework::Tower));
}
