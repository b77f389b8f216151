//! Measures what a page costs in each format: the time to render it, the time to scrape it
//! with and without gzip, and its size, for growing numbers of label sets up to `--most`.
//!
//! Each label set has a counter, a gauge and a histogram. Names, labels, buckets and
//! latencies are the same for all libraries.
//!
//! Each library runs in a process of its own and serves its page over loopback: ours with
//! its exporter, the others with a small hyper server that works as the exporter does. The
//! libraries take turns for `--rounds` rounds.

mod formats_client;
mod formats_libraries;
mod formats_server;

use std::io::Read;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use instrument_benches::args::Args;
use instrument_benches::child::{self, Child};
use instrument_benches::stats::Samples;
use instrument_benches::table::{Table, digits};

use crate::formats_client::Client;
use crate::formats_libraries::{LIBRARIES, Serving};

const SIZES: [usize; 3] = [10, 1_000, 10_000];

/// The format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    OpenMetrics,
    Protobuf,
}

impl Format {
    const ALL: [Self; 3] = [Self::Text, Self::OpenMetrics, Self::Protobuf];

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text 0.0.4",
            Self::OpenMetrics => "OpenMetrics",
            Self::Protobuf => "protobuf",
        }
    }

    /// Returns the media type without parameters.
    fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::OpenMetrics => "application/openmetrics-text",
            Self::Protobuf => "application/vnd.google.protobuf",
        }
    }

    /// Returns the value of the header `Accept` that asks for this format.
    fn accept(self) -> String {
        let parameters = match self {
            Self::Text => "version=0.0.4",
            Self::OpenMetrics => "version=1.0.0",
            Self::Protobuf => "proto=io.prometheus.client.MetricFamily;encoding=delimited",
        };
        format!("{};{parameters}", self.media_type())
    }

    /// Returns the number of times that the labels of a label set are on the page.
    ///
    /// In the text formats, each of the 22 series repeats the labels: the counter, the
    /// gauge, and the buckets, sum and count of the histogram. In protobuf, each of the 3
    /// metrics has them once.
    fn labels_per_set(self) -> usize {
        match self {
            Self::Text | Self::OpenMetrics => 22,
            Self::Protobuf => 3,
        }
    }
}

/// The figures of one format of one library.
struct Row {
    library: usize,
    format: Format,
    /// The `Content-Type` of the response, if it is not of `format`.
    refused: Option<String>,
    bytes: Samples,
    gzip_bytes: Samples,
    render: Samples,
    scrape: Samples,
    gzip_scrape: Samples,
}

impl Row {
    fn name(&self) -> String {
        format!("{}, {}", LIBRARIES[self.library].name, self.format.name())
    }
}

fn main() -> Result<()> {
    let args = Args::of_process(&["--rounds", "--most", "--child"])?;
    if args.has("--child") {
        let name = args
            .word("--child", 0)
            .context("--child needs the name of a library")?;
        let sets = args
            .word("--child", 1)
            .context("--child needs a number of label sets")?;
        return serve(name, sets.parse()?);
    }
    let rounds: usize = args.value("--rounds", 9)?;
    let most: usize = args.value("--most", SIZES[SIZES.len() - 1])?;

    println!("Medians of {rounds} interleaved rounds.\n");
    for sets in SIZES.into_iter().filter(|&sets| sets <= most) {
        println!("{sets} label sets:\n");
        let rows = measure(sets, rounds)?;
        println!("{}", table(&rows));
        for row in &rows {
            if let Some(content_type) = &row.refused {
                println!("{}: the response is {content_type}.\n", row.name());
            }
        }
    }
    Ok(())
}

/// Measures every format of every library.
fn measure(sets: usize, rounds: usize) -> Result<Vec<Row>> {
    let mut servers = Vec::new();
    let mut rows = Vec::new();
    for (n, library) in LIBRARIES.iter().enumerate() {
        let mut child = Child::start(&["--child", library.name, &sets.to_string()])?;
        let port: u16 = child.hear()?.parse()?;
        servers.push((child, Client::new(port)));
        rows.extend(library.formats.iter().map(|&format| Row {
            library: n,
            format,
            refused: None,
            bytes: Samples::default(),
            gzip_bytes: Samples::default(),
            render: Samples::default(),
            scrape: Samples::default(),
            gzip_scrape: Samples::default(),
        }));
    }
    for row in &mut rows {
        let (child, client) = &mut servers[row.library];
        warm_up(row, child, client, sets)?;
    }
    // A single measurement of a small page depends too much on when the server's thread
    // wakes up.
    let repeats = (10_000 / sets).clamp(1, 20);
    for round in 0..rounds {
        for n in 0..rows.len() {
            // Rotate the order, so that each row takes each place equally often.
            let at = (n + round) % rows.len();
            let row = &mut rows[at];
            if row.refused.is_none() {
                let (child, client) = &mut servers[row.library];
                take_turn(row, child, client, repeats)?;
            }
        }
    }
    Ok(rows)
}

/// Scrapes the page once with gzip and once without, and checks both. The warm-up is not
/// measured, because the stock exporter also moves the recorded samples into their buckets
/// in its first render.
fn warm_up(row: &mut Row, child: &mut Child, client: &mut Client, sets: usize) -> Result<()> {
    let accept = row.format.accept();
    let plain = client.scrape(&accept, false)?;
    let media_type = plain.content_type.split(';').next();
    if media_type.map(str::trim) != Some(row.format.media_type()) {
        row.refused = Some(plain.content_type);
        return Ok(());
    }
    ensure!(
        !plain.is_gzip,
        "{} is compressed without being asked",
        row.name()
    );
    check(client.body(), row, sets)?;
    let compressed = client.scrape(&accept, true)?;
    ensure!(compressed.is_gzip, "{} is not compressed", row.name());
    let mut body = Vec::new();
    GzDecoder::new(client.body()).read_to_end(&mut body)?;
    check(&body, row, sets)?;
    render(row.format, child)?;
    Ok(())
}

/// Catches a page that lacks some of the series.
fn check(page: &[u8], row: &Row, sets: usize) -> Result<()> {
    const LABEL: &[u8] = b"tenant-";
    let found = page
        .windows(LABEL.len())
        .filter(|part| *part == LABEL)
        .count();
    let expected = sets * row.format.labels_per_set();
    ensure!(
        found == expected,
        "the page of {} has {found} series instead of {expected}",
        row.name()
    );
    Ok(())
}

fn take_turn(row: &mut Row, child: &mut Child, client: &mut Client, repeats: usize) -> Result<()> {
    let accept = row.format.accept();
    let mut renders = Samples::default();
    let mut scrapes = Samples::default();
    let mut gzip_scrapes = Samples::default();
    for _ in 0..repeats {
        if let Some(nanos) = render(row.format, child)? {
            renders.push(nanos);
        }
        let plain = client.scrape(&accept, false)?;
        scrapes.push(plain.elapsed.as_nanos() as f64);
        row.bytes.push(plain.bytes as f64);
        let compressed = client.scrape(&accept, true)?;
        gzip_scrapes.push(compressed.elapsed.as_nanos() as f64);
        row.gzip_bytes.push(compressed.bytes as f64);
    }
    row.render.push(renders.median());
    row.scrape.push(scrapes.median());
    row.gzip_scrape.push(gzip_scrapes.median());
    Ok(())
}

/// Asks the child to render the page outside of its server, and returns the nanoseconds.
/// Returns `None` if the library renders this format only for its endpoint.
fn render(format: Format, child: &mut Child) -> Result<Option<f64>> {
    let answer = child.ask(format.name())?;
    Ok(match answer.as_str() {
        NOT_PUBLIC => None,
        nanos => Some(nanos.parse()?),
    })
}

/// The child's answer if the library renders a format only for its endpoint.
const NOT_PUBLIC: &str = "not public";

/// Runs in the child process: serves the page, prints the port, and renders the page for
/// each question.
fn serve(name: &str, sets: usize) -> Result<()> {
    let library = LIBRARIES
        .iter()
        .find(|library| library.name == name)
        .context("there is no library of that name")?;
    let Serving { port, render } = (library.start)(sets)?;
    println!("{port}");
    child::answer(|question| {
        let format = Format::ALL
            .into_iter()
            .find(|format| format.name() == question)
            .context("there is no format of that name")?;
        let start = Instant::now();
        let page = render(format)?;
        let elapsed = start.elapsed();
        Ok(match page {
            Some(_) => elapsed.as_nanos().to_string(),
            None => NOT_PUBLIC.to_owned(),
        })
    })
}

/// Ratios are to the first row, which is our text page.
fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "library and format",
        "page, KB",
        "gzip, KB",
        "render, ms",
        "ratio to ours",
        "scrape, ms",
        "ratio to ours",
        "with gzip, ms",
        "ratio to ours",
    ]);
    // The median of no measurements is NaN.
    let cell = |number: f64, format: fn(f64) -> String| {
        if number.is_nan() {
            "—".to_owned()
        } else {
            format(number)
        }
    };
    let ours = &rows[0];
    for row in rows {
        let mut cells = vec![row.name()];
        for bytes in [&row.bytes, &row.gzip_bytes] {
            cells.push(cell(bytes.median() / 1e3, digits));
        }
        for (nanos, ours) in [
            (&row.render, &ours.render),
            (&row.scrape, &ours.scrape),
            (&row.gzip_scrape, &ours.gzip_scrape),
        ] {
            cells.push(cell(nanos.median() / 1e6, digits));
            cells.push(cell(nanos.ratio_to(ours), |ratio| format!("{ratio:.2}")));
        }
        table.row(cells);
    }
    table
}
