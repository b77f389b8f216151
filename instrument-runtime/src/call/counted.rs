//! [`Counted`]: what a series counts, and the keys of its metrics.

use metrics::{Key, Label};

use crate::conventions::{self, OTHER};
use crate::names::{MetricNames, label};
use crate::outcome::{End, Protocol};
use crate::settings;

/// The label `endpoint` of a request that matched no route.
pub(crate) const UNMATCHED: &str = "unmatched";

/// What a series counts, which decides its metrics. Without OpenTelemetry's conventions,
/// everything is a [`Call`](Self::Call).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Calls: the three metrics.
    Call,
    /// Calls of a function that are RPCs if they end with a gRPC status.
    CallOrRpc,
    /// HTTP requests. They are RPCs if they end with a gRPC status.
    Http,
    /// RPCs.
    Rpc,
}

impl Subject {
    /// Returns the subject of the requests that a layer counts.
    pub(crate) fn of_requests(protocol: Protocol) -> Self {
        match protocol {
            _ if !settings::names().has_conventions => Self::Call,
            Protocol::Http => Self::Http,
            Protocol::Grpc => Self::Rpc,
            Protocol::None => Self::Call,
        }
    }

    /// Returns the subject of the calls of a function that are counted by themselves.
    /// `is_handler` is whether the attribute gives an endpoint, or says that the function is
    /// a handler.
    ///
    /// A function without a method is not an HTTP request, even if it returns an HTTP status:
    /// it may be a helper, and the conventions require the method.
    pub(crate) fn of_calls(names: &MetricNames, has_method: bool, is_handler: bool) -> Self {
        match (has_method, is_handler) {
            _ if !names.has_conventions => Self::Call,
            (true, _) => Self::Http,
            (false, true) => Self::CallOrRpc,
            (false, false) => Self::Call,
        }
    }
}

/// What a series counts, and the labels that are known before the end.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) subject: Subject,
    /// Named as in the three metrics: `method`, `endpoint`, and own labels. The labels of an
    /// HTTP request's scheme and version are named as in the conventions.
    pub(crate) labels: Vec<Label>,
}

/// The keys of the metrics in which the end of a call is counted.
#[derive(Debug)]
pub(crate) struct EndKeys {
    /// `None` if the count of the histogram is the number of calls.
    pub(crate) requests: Option<Key>,
    pub(crate) latency: Key,
}

/// Returns the labels of an objective of the requests of a route. Their method is not known
/// before the first request.
pub(crate) fn labels_of_route(names: &MetricNames, route: &str) -> Vec<Label> {
    let name = if names.has_conventions {
        conventions::HTTP_ROUTE
    } else {
        label::ENDPOINT
    };
    vec![Label::new(name, route.to_owned())]
}

impl Counted {
    /// Returns the key of the gauge.
    pub(crate) fn in_progress(&self) -> Key {
        match self.subject {
            Subject::Call | Subject::CallOrRpc | Subject::Rpc => Key::from_parts(
                settings::names().requests_in_progress.clone(),
                self.labels.clone(),
            ),
            Subject::Http => {
                let labels = self.labels_with(|name, _| match name {
                    label::METHOD => Some(conventions::HTTP_METHOD),
                    _ => None,
                });
                Key::from_parts(conventions::HTTP_ACTIVE, without_version(labels))
            }
        }
    }

    /// Returns the key of the age of the oldest call in progress. It has the labels of the
    /// gauge. OpenTelemetry's gauge of HTTP requests has no route. This metric has it anyway,
    /// because it is the label that shows which handler hangs.
    pub(crate) fn oldest(&self) -> Key {
        let labels = match self.subject {
            Subject::Call | Subject::CallOrRpc | Subject::Rpc => self.labels.clone(),
            Subject::Http => without_version(self.http_request_labels()),
        };
        let name = settings::names()
            .requests_oldest_in_progress_seconds
            .clone();
        Key::from_parts(name, labels)
    }

    /// Returns the keys of the counter and the histogram.
    pub(crate) fn ended(&self, end: End) -> EndKeys {
        match self.subject {
            Subject::Call => self.call_ended(end),
            Subject::Rpc => self.rpc_ended(end),
            _ if end.grpc_status().is_some() => self.rpc_ended(end),
            Subject::CallOrRpc => self.call_ended(end),
            Subject::Http => {
                EndKeys::of_histogram(conventions::HTTP_DURATION, self.http_labels(end))
            }
        }
    }

    /// Returns the key of the histogram of response sizes. Its labels are those of the latency
    /// histogram.
    pub(crate) fn response_size(&self, end: End) -> Key {
        match self.subject {
            Subject::Http if end.grpc_status().is_none() => {
                Key::from_parts(conventions::HTTP_RESPONSE_SIZE, self.http_labels(end))
            }
            // The conventions have no metric of the sizes of RPCs.
            _ => {
                let name = settings::names().response_size_bytes.clone();
                Key::from_parts(name, self.call_labels(end))
            }
        }
    }

    /// Returns the labels of an objective of these calls: their method and their endpoint,
    /// named as in the metrics that count them. There are two sets if only the end of a call
    /// decides which metrics these are.
    ///
    /// Without an endpoint, there is no set. Otherwise, all requests without a route would
    /// have the objective.
    pub(crate) fn of_objective(&self) -> impl Iterator<Item = Vec<Label>> {
        let (as_call, as_rpc) = match self.subject {
            Subject::Call => (self.of_objective_as(label::METHOD, label::ENDPOINT), None),
            Subject::CallOrRpc => (
                self.of_objective_as(label::METHOD, label::ENDPOINT),
                self.of_objective_as_rpc(),
            ),
            Subject::Http => (
                self.of_objective_as(conventions::HTTP_METHOD, conventions::HTTP_ROUTE),
                None,
            ),
            Subject::Rpc => (None, self.of_objective_as_rpc()),
        };
        as_call.into_iter().chain(as_rpc)
    }

    /// Returns the method and the endpoint under these names.
    fn of_objective_as(&self, method: &'static str, endpoint: &'static str) -> Option<Vec<Label>> {
        let endpoint = Label::new(endpoint, self.endpoint()?.to_owned());
        let method = self
            .value(label::METHOD)
            .map(|value| Label::new(method, value.to_owned()));
        Some(method.into_iter().chain([endpoint]).collect())
    }

    fn of_objective_as_rpc(&self) -> Option<Vec<Label>> {
        let method = self.rpc_method().filter(|method| *method != OTHER)?;
        Some(vec![Label::new(conventions::RPC_METHOD, method.to_owned())])
    }

    /// Returns the endpoint, unless no route has matched.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        let endpoint = self.value(label::ENDPOINT);
        endpoint.filter(|endpoint| *endpoint != UNMATCHED)
    }

    fn value(&self, name: &str) -> Option<&str> {
        let mut labels = self.labels.iter();
        labels.find(|label| label.key() == name).map(Label::value)
    }

    /// Returns the labels of the histograms of calls.
    fn call_labels(&self, end: End) -> Vec<Label> {
        let mut labels = self.labels.clone();
        labels.push(Label::from_static_parts(
            label::OUTCOME,
            end.outcome_label(),
        ));
        labels
    }

    fn call_ended(&self, end: End) -> EndKeys {
        let names = settings::names();
        let mut labels = self.call_labels(end);
        let latency = Key::from_parts(names.request_latency_seconds.clone(), labels.clone());
        if let Some(status) = end.http_status() {
            labels.push(Label::new(label::HTTP_STATUS, status.to_string()));
        }
        if let Some(status) = end.grpc_status() {
            labels.push(Label::from_static_parts(label::GRPC_STATUS, status));
        }
        EndKeys {
            requests: Some(Key::from_parts(names.requests_total.clone(), labels)),
            latency,
        }
    }

    /// Returns the labels of an HTTP request, named as in OpenTelemetry's conventions.
    fn http_request_labels(&self) -> impl Iterator<Item = Label> {
        self.labels_with(|name, value| match name {
            label::METHOD => Some(conventions::HTTP_METHOD),
            label::ENDPOINT if value != UNMATCHED => Some(conventions::HTTP_ROUTE),
            _ => None,
        })
    }

    /// Returns the labels of the conventions' histograms of HTTP requests.
    fn http_labels(&self, end: End) -> Vec<Label> {
        let mut labels: Vec<Label> = self.http_request_labels().collect();
        if end.is_sent()
            && let Some(status) = end.http_status()
        {
            labels.push(Label::new(conventions::HTTP_STATUS, status.to_string()));
        }
        with_error_type(labels, end)
    }

    fn rpc_ended(&self, end: End) -> EndKeys {
        let is_transport = |name: &str| {
            matches!(
                name,
                conventions::URL_SCHEME | conventions::PROTOCOL_VERSION
            )
        };
        let own = self.labels_with(|_, _| None);
        let mut labels: Vec<Label> = own.filter(|label| !is_transport(label.key())).collect();
        labels.push(Label::from_static_parts(conventions::RPC_SYSTEM, "grpc"));
        if let Some(method) = self.rpc_method() {
            labels.push(Label::new(conventions::RPC_METHOD, method.to_owned()));
        }
        if end.is_sent()
            && let Some(status) = end.grpc_status()
        {
            labels.push(Label::from_static_parts(conventions::RPC_STATUS, status));
        }
        EndKeys::of_histogram(conventions::RPC_DURATION, with_error_type(labels, end))
    }

    /// Returns the name of the RPC's method: the path without its first slash. `None` if the
    /// endpoint is the path of a function.
    fn rpc_method(&self) -> Option<&str> {
        match self.value(label::ENDPOINT) {
            // The path of an HTTP request is not a method of an RPC.
            _ if self.subject == Subject::Http => Some(OTHER),
            Some(UNMATCHED) => Some(OTHER),
            Some(path) if path.contains('/') => Some(path.strip_prefix('/').unwrap_or(path)),
            _ => None,
        }
    }

    /// Returns the labels, with `method` and `endpoint` under other names. `None` as the name
    /// leaves them out.
    fn labels_with(
        &self,
        name: impl Fn(&str, &str) -> Option<&'static str>,
    ) -> impl Iterator<Item = Label> {
        self.labels.iter().filter_map(move |label| {
            if !matches!(label.key(), label::METHOD | label::ENDPOINT) {
                return Some(label.clone());
            }
            let name = name(label.key(), label.value())?;
            Some(Label::new(name, label.value().to_owned()))
        })
    }
}

/// Returns the labels of a gauge: without the version of the protocol, which gauges of
/// OpenTelemetry's conventions do not have.
fn without_version(labels: impl Iterator<Item = Label>) -> Vec<Label> {
    labels
        .filter(|label| label.key() != conventions::PROTOCOL_VERSION)
        .collect()
}

impl EndKeys {
    fn of_histogram(name: &'static str, labels: Vec<Label>) -> Self {
        Self {
            requests: None,
            latency: Key::from_parts(name, labels),
        }
    }
}

/// Adds the label of the conventions that tells errors from successes.
fn with_error_type(mut labels: Vec<Label>, end: End) -> Vec<Label> {
    if let Some(error) = end.error_type() {
        labels.push(Label::new(conventions::ERROR_TYPE, error));
    }
    labels
}
