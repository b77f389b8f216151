//! The live view in a real browser.
//!
//! Most tests write the page of metrics themselves. The others make calls, and compare the view
//! with a scrape or with a Prometheus server.

mod controls;
mod faults;
mod large;
mod looks;
mod names;
mod numbers;
mod queries;
mod warnings;

use std::fmt::Write as _;
use std::sync::OnceLock;

use instrument_browser::{Application, Browser};
use instrument_runtime::Exporter;
use serde_json::Value;

/// The name of the application, and the URL of its Prometheus.
const APP: &str = "live";
const PROMETHEUS: &str = "http://prometheus:9090/prefix";

/// Returns the installation of this process, with the default names.
fn installed() -> &'static Exporter {
    static INSTALLED: OnceLock<Exporter> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        instrument_runtime::builder(APP)
            .listen(([127, 0, 0, 1], 0))
            .version("1.2.3")
            .prometheus_url(PROMETHEUS)
            .install()
            .expect("installs")
    })
}

/// Opens the live view of an application with this page of metrics, and waits until the view
/// has read it. Returns `None` if there is no browser.
fn view(metrics: &str) -> Option<(Browser, Application)> {
    installed();
    let browser = Browser::start(1200, 900)?;
    let application = Application::start(metrics);
    browser.open(&application.url());
    browser.wait_for("page >= 0");
    Some((browser, application))
}

/// Waits until the view has read a page that was rendered after this call.
fn wait_for_next_page(browser: &Browser) {
    // A request that is under way may still get the page before.
    let page = browser.run("return page").as_i64().expect("a number");
    browser.wait_for(&format!("page >= {}", page + 2));
}

/// Checks that the browser has reported neither an error nor a violation of the policy.
fn assert_quiet(browser: &Browser) {
    assert_eq!(browser.console(), Vec::<String>::new());
}

/// Returns the text in a column of a row: `("GET /users", "Total")`.
fn number(browser: &Browser, row: &str, column: &str) -> String {
    let text = browser.run(&format!(
        "const head = [...table.tHead.rows[0].cells].map(cell => cell.innerText);
         const line = [...rows.values()].find(row => row.name === {row:?})?.body.rows[0];
         return line?.cells[head.indexOf({column:?})].innerText ?? 'none';"
    ));
    plain(&text)
}

/// Returns the names of the rows, from top to bottom.
fn row_names(browser: &Browser) -> Vec<String> {
    let names = browser.run(
        "return [...table.tBodies].map(({ rows: [line] }) =>
           line.cells[0].innerText + ' ' + line.querySelector('.open').textContent)",
    );
    names.as_array().expect("rows").iter().map(plain).collect()
}

/// Returns the texts of a table in an opened row, line by line.
fn lines(browser: &Browser, row: &str, title: &str) -> Vec<Vec<String>> {
    let lines = browser.run(&format!(
        "const {{ parts }} = [...rows.values()].find(row => row.name === {row:?});
         const part = [...parts.children].find(({{ caption }}) => caption.textContent === {title:?});
         return [...part.tBodies[0].rows].map(line => [...line.cells].map(cell => cell.innerText))"
    ));
    let lines = lines.as_array().expect("lines").iter();
    lines
        .map(|line| line.as_array().expect("cells").iter().map(plain).collect())
        .collect()
}

/// Opens a row.
fn open(browser: &Browser, row: &str) {
    let _ = browser.run(&format!(
        "[...rows.values()].find(row => row.name === {row:?}).opener.click()"
    ));
}

/// Returns the number and the note of a tile, such as `43 of 1,024`.
fn tile(browser: &Browser, name: &str) -> String {
    plain(&browser.run(&format!(
        "const tile = [...document.querySelectorAll('dl div')].find(tile => tile.firstChild.textContent === {name:?});
         return tile?.lastChild.innerText ?? 'none'"
    )))
}

/// Returns the warnings, each with its tone.
fn warnings_of(browser: &Browser) -> Vec<String> {
    let warnings = browser.run(
        "return [...document.querySelectorAll('li')].map(item => `${item.className}: ${item.innerText}`)",
    );
    let warnings = warnings.as_array().expect("a list").iter();
    warnings.map(plain).collect()
}

fn plain(text: &Value) -> String {
    text.as_str().expect("a text").replace('\u{202f}', " ")
}

/// A page of metrics with the default names.
#[derive(Clone, Debug, Default)]
struct Metrics(String);

impl Metrics {
    /// Adds a sample. `labels` are in the text format.
    fn with(mut self, name: &str, labels: &str, value: f64) -> Self {
        let labels = labels.trim_end_matches(',');
        writeln!(self.0, "{name}{{{labels}}} {value}").expect("into a string");
        self
    }

    /// Adds the counter of calls that ended like this.
    fn calls(self, labels: &str, status: &str, outcome: &str, count: u32) -> Self {
        let status = match status {
            "" => String::new(),
            status => format!("http_status=\"{status}\","),
        };
        let labels = format!("app_name=\"{APP}\",{labels},{status}outcome=\"{outcome}\"");
        self.with("requests_total", &labels, f64::from(count))
    }

    /// Adds a histogram with these cumulated buckets.
    fn latency(mut self, labels: &str, buckets: &[(&str, u32)]) -> Self {
        let labels = format!("app_name=\"{APP}\",{labels}");
        for (le, count) in buckets {
            let labels = format!("{labels},outcome=\"ok\",le=\"{le}\"");
            self = self.with("request_latency_seconds_bucket", &labels, f64::from(*count));
        }
        self
    }
}

/// The labels of `GET /a`.
const A: &str = "method=\"GET\",endpoint=\"/a\"";
/// The labels of `POST /b`.
const B: &str = "method=\"POST\",endpoint=\"/b\"";
