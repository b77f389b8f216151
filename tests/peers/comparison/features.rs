//! The rows of features.

use std::convert::Infallible;
use std::thread;

use axum_prometheus::PrometheusMetricLayer;
use opentelemetry_instrumentation_tower::http::server::LayerBuilder;
use tower::ServiceExt as _;
use ureq::http::{Request, Response};

use crate::figures::FIGURES;
use crate::peer::{Kind, Peer};
use crate::properties::PROPERTIES;
use crate::table::{Table, read};

/// A column of the table.
pub(crate) struct Column {
    /// The package, or `this crate`.
    pub(crate) name: &'static str,
    /// The title, with `{}` for the version of the package.
    title: &'static str,
    pub(crate) servers: &'static [Kind],
}

pub(crate) const COLUMNS: &[Column] = &[
    Column {
        name: "this crate",
        title: "this crate",
        servers: &[
            Kind {
                name: "ours on axum",
                counter: "requests_total",
                gauge: Some("requests_in_progress"),
            },
            Kind {
                name: "ours on actix-web",
                counter: "requests_total",
                gauge: Some("requests_in_progress"),
            },
        ],
    },
    Column {
        name: "axum-prometheus",
        title: "axum-prometheus {}",
        servers: &[Kind {
            name: "axum-prometheus",
            counter: "axum_http_requests_total",
            gauge: Some("axum_http_requests_pending"),
        }],
    },
    Column {
        name: "actix-web-prom",
        title: "actix-web-prom {}",
        servers: &[Kind {
            name: "actix-web-prom",
            counter: "peer_http_requests_total",
            gauge: None,
        }],
    },
    Column {
        name: "opentelemetry-instrumentation-tower",
        title: "opentelemetry-instrumentation-tower {}",
        servers: &[Kind {
            name: "opentelemetry-instrumentation-tower",
            counter: "http_server_request_duration_seconds_count",
            gauge: Some("http_server_active_requests"),
        }],
    },
    Column {
        name: "autometrics",
        title: "autometrics {}",
        servers: &[Kind {
            name: "autometrics",
            counter: "function_calls_total",
            gauge: Some("function_calls_concurrent"),
        }],
    },
    Column {
        name: "metrics",
        title: "`metrics` {} by hand",
        servers: &[Kind {
            name: "metrics",
            counter: "http_requests_total",
            gauge: Some("http_requests_in_flight"),
        }],
    },
];

/// Cells that a running server does not show: the row, the column, the cell.
const FROM_SOURCES: &[(&str, &str, &str)] = &[
    // metrics-exporter-prometheus 0.18.3 has native histograms, but only in protobuf, whose
    // feature needs `protoc` to compile, and instead of the buckets. They are set for each
    // metric (`set_native_histogram_for_metric` in src/exporter/builder.rs, build.rs).
    // axum-prometheus 0.10.1 takes a recorder that is set up like this
    // (`with_metrics_from_fn` in src/builder.rs).
    ("native histograms", "axum-prometheus", "partly"),
    ("native histograms", "metrics", "partly"),
    // A view makes the SDK aggregate into exponential histograms. opentelemetry-prometheus
    // 0.33.1 leaves them out (better.rs); OTLP has them.
    (
        "native histograms",
        "opentelemetry-instrumentation-tower",
        "partly (OTLP only)",
    ),
];

/// Returns what a cell says: `None` if it is empty.
fn answer(cell: &str) -> Option<bool> {
    let says_no = cell == "no" || cell.starts_with("no ");
    (!cell.is_empty()).then_some(!says_no)
}

#[test]
fn each_cell_is_what_the_servers_do() {
    let table = Table::of_readme();
    let mut wrong: Vec<String> = Vec::new();
    for (row, cells) in &table.rows {
        let Some((_, property)) = PROPERTIES.iter().find(|(name, _)| name == row) else {
            continue;
        };
        // The servers of a row run at the same time.
        thread::scope(|scope| {
            let mut asked = Vec::new();
            for (cell, column) in cells.iter().zip(COLUMNS) {
                if FROM_SOURCES.contains(&(row, column.name, cell)) {
                    continue;
                }
                for server in column.servers {
                    let asking = scope.spawn(|| property(&Peer::start(server)));
                    asked.push((cell, server.name, asking));
                }
            }
            for (cell, server, asking) in asked {
                let found = asking.join().expect("an answer");
                if found != answer(cell) {
                    wrong.push(format!("{row}, {server}: {cell:?}, but {found:?}"));
                }
            }
        });
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The README names tower in the cells of these two libraries, so a service without axum can
/// have their layers.
#[tokio::test]
async fn two_other_layers_take_any_tower_service() {
    let (axum_prometheus, _) = PrometheusMetricLayer::pair();
    // Another test looks at the metrics and the spans of the whole process.
    let opentelemetry = LayerBuilder::builder()
        .with_metrics(false)
        .with_tracing(false);
    let service = tower::ServiceBuilder::new()
        .layer(axum_prometheus)
        .layer(opentelemetry.build().expect("a layer"))
        .service_fn(async |_: Request<String>| {
            Ok::<_, Infallible>(Response::new("hello".to_owned()))
        });
    let request = Request::new(String::new());
    let response = service.oneshot(request).await.expect("a response");
    assert_eq!(response.status(), 200);
}

#[test]
fn each_row_is_asked_for_or_measured() {
    let table = Table::of_readme();
    let rows: Vec<&str> = table.rows.iter().map(|(name, _)| name.as_str()).collect();
    let asked = PROPERTIES.iter().map(|(name, _)| *name);
    let measured = FIGURES.iter().map(|figures| figures.row);
    let shown: Vec<&str> = asked.chain(measured).collect();
    assert_eq!(rows, shown);
    for (row, column, cell) in FROM_SOURCES {
        let column = COLUMNS.iter().position(|other| other.name == *column);
        let (_, cells) = table
            .rows
            .iter()
            .find(|(name, _)| name == row)
            .expect("the row");
        assert_eq!(&cells[column.expect("the column")], cell, "{row}");
    }
}

#[test]
fn the_titles_are_the_versions_that_are_asked() {
    let lock = read("Cargo.lock");
    let titles = COLUMNS.iter().map(|column| {
        if !column.title.contains("{}") {
            return column.title.to_owned();
        }
        let package = format!("name = \"{}\"\nversion = \"", column.name);
        let (_, after) = lock.split_once(&package).expect("the package");
        let (version, _) = after.split_once('"').expect("a version");
        column.title.replace("{}", version)
    });
    assert_eq!(Table::of_readme().columns, titles.collect::<Vec<_>>());
}
