//! The series of requests, by method and endpoint: those that no annotated
//! handler with labels of its own took.

use std::sync::LazyLock;

use metrics::Label;

use crate::current;
use crate::diagnostics;
use crate::series::SeriesRef;
use crate::values::{ByValues, Values};

static BY_METHOD_AND_ENDPOINT: LazyLock<ByValues> = LazyLock::new(ByValues::default);

/// `endpoint` must be one of a bounded number: a route, never a raw path.
pub(crate) fn series_of(method: &'static str, endpoint: &str) -> SeriesRef {
    Values::with(&[&method, &endpoint], |values| {
        BY_METHOD_AND_ENDPOINT.series(values, || {
            diagnostics::layer_counts();
            let names = current::names().labels;
            vec![
                Label::from_static_parts(names.method, method),
                Label::new(names.endpoint, endpoint.to_owned()),
            ]
        })
    })
}
