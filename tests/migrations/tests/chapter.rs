//! Reads the tables, the queries and the code of a page.

use instrument_tests::markdown::{blocks, codes, section, table};

use crate::program::Built;

/// A page about one library.
pub(crate) struct Chapter {
    pub(crate) text: &'static str,
    /// The program before the change, and the one after it.
    pub(crate) programs: [Built; 2],
}

/// The metrics of one program, from the table "The metrics".
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) requests: Metric,
    pub(crate) latency: Metric,
    pub(crate) in_flight: Option<Metric>,
    /// The bounds of the histogram as they are on the page, without `+Inf`.
    pub(crate) bounds: Vec<&'static str>,
}

#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) labels: Vec<&'static str>,
}

/// A row of the table "The same requests".
#[derive(Debug)]
pub(crate) struct Request {
    /// The method and the path.
    pub(crate) line: &'static str,
    pub(crate) end: End,
    /// How it is counted by each program.
    pub(crate) counted: [Counted; 2],
}

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Response,
    /// The client leaves while the handler runs.
    Left,
    /// The client leaves while the body is sent.
    LeftBody,
    Panic,
}

/// How a request is counted.
#[derive(Debug)]
pub(crate) struct Counted {
    /// The values of the labels in the title of the column, or `None` if the request is not
    /// counted. A missing label has an empty value, as in PromQL.
    pub(crate) values: Option<Vec<&'static str>>,
    /// The request stays in the gauge forever.
    pub(crate) stays_in_flight: bool,
}

/// The table "The same requests".
pub(crate) struct Requests {
    /// The labels in the titles of the two columns.
    pub(crate) labels: [Vec<&'static str>; 2],
    pub(crate) rows: Vec<Request>,
}

/// A query before the change and after it.
#[derive(Debug)]
pub(crate) struct Queries {
    /// `None` if the value is new.
    pub(crate) before: Option<&'static str>,
    pub(crate) after: &'static str,
}

impl Chapter {
    pub(crate) fn metrics(&self) -> [Metrics; 2] {
        let rows = table(self.text, "The metrics");
        let titles: Vec<_> = rows.iter().map(|row| row[0]).collect();
        let expected = ["", "Requests", "Latency", "In flight", "Bounds (`le`)"];
        assert_eq!(titles, expected);
        let metric = |cell| {
            let mut codes = codes(cell);
            let name = codes.next()?;
            let labels = codes.collect();
            Some(Metric { name, labels })
        };
        [1, 2].map(|column| Metrics {
            requests: metric(rows[1][column]).expect("a metric"),
            latency: metric(rows[2][column]).expect("a metric"),
            in_flight: metric(rows[3][column]),
            bounds: rows[4][column].split(", ").collect(),
        })
    }

    pub(crate) fn requests(&self) -> Requests {
        let mut rows = table(self.text, "The same requests").into_iter();
        let titles = rows.next().expect("titles");
        Requests {
            labels: [1, 2].map(|column| codes(titles[column]).collect()),
            rows: rows.map(|row| request(&row)).collect(),
        }
    }

    /// Returns, for each program, whether the latency and the time in flight include the
    /// body, from the table "When a request ends".
    pub(crate) fn includes_body(&self) -> [[bool; 2]; 2] {
        let rows = table(self.text, "When a request ends");
        let titles = ["The latency ends with", "A request is in flight until"];
        assert_eq!([rows[1][0], rows[2][0]], titles);
        [1, 2].map(|column| [1, 2].map(|row: usize| rows[row][column].contains("body")))
    }

    /// Returns the queries.
    pub(crate) fn queries(&self) -> Vec<Queries> {
        let pair = |block: &'static str| {
            let (mut before, mut after) = (None, None);
            for line in block.lines() {
                let (query, when) = line.split_once(" # ").expect("a comment");
                match when {
                    "before" => before = Some(query),
                    "after" => after = Some(query),
                    "before and after" => (before, after) = (Some(query), Some(query)),
                    other => panic!("{other:?}"),
                }
            }
            let after = after.expect("a query after the change");
            Queries { before, after }
        };
        let blocks = blocks(section(self.text, "Queries"), "promql");
        blocks.into_iter().map(pair).collect()
    }
}

fn request(row: &[&'static str]) -> Request {
    let end = match row[0] {
        text if text.ends_with("the client leaves") => End::Left,
        text if text.ends_with("the client leaves within the body") => End::LeftBody,
        text if text.ends_with("which panics") => End::Panic,
        _ => End::Response,
    };
    let counted = |cell: &'static str| Counted {
        values: (!cell.starts_with("not counted"))
            .then(|| codes(cell).map(|value| value.trim_matches('–')).collect()),
        stays_in_flight: cell.ends_with("stays in flight"),
    };
    Request {
        line: codes(row[0]).next().expect("a request"),
        end,
        counted: [counted(row[1]), counted(row[2])],
    }
}
