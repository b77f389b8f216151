//! The ground truth: each annotated function records its own start and end, independently
//! of the library under test.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;

use crate::plan::Request;

/// What is known of a function before it runs.
#[derive(Debug)]
pub(crate) struct About {
    /// The labels of a call that is counted by itself.
    pub(crate) alone: &'static str,
    /// The labels that a successful call adds to `alone`.
    pub(crate) ok: &'static str,
    pub(crate) protocol: Protocol,
    pub(crate) handler: Handler,
    /// The endpoint of a request that this function handles, instead of its route.
    pub(crate) endpoint: Option<&'static str>,
    /// The labels that the function adds to a request that it handles.
    pub(crate) labels: &'static str,
}

/// The kind of status that the return type has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    None,
    Http,
    Grpc,
}

/// How the library can know that a function is the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handler {
    /// The library cannot know it: the function is not a handler, has `handler = false`,
    /// or remains in doubt.
    Never,
    /// By evidence. The call must have ended when the response head is sent.
    Inferred,
    /// By the attribute of the function, or by its method and endpoint.
    Certain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Ok,
    Status(u16),
    Panicked,
    Cancelled,
}

/// One call of an annotated function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) about: &'static About,
    /// The number of the request during which the call ran.
    pub(crate) request: usize,
    pub(crate) end: Option<End>,
    /// The number of the event at which the call started.
    pub(crate) started: u32,
    pub(crate) ended: u32,
}

thread_local! {
    static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
    static EVENTS: Cell<u32> = const { Cell::new(0) };
}

/// Returns the number of the next event. Numbers increase.
pub(crate) fn event() -> u32 {
    EVENTS.set(EVENTS.get() + 1);
    EVENTS.get()
}

/// Returns the recorded calls in the order in which they started, and clears them.
pub(crate) fn calls() -> Vec<Call> {
    CALLS.take()
}

/// A call that has started. The end is recorded when the call returns, or when this note
/// is dropped.
struct Note {
    index: usize,
    is_polled: bool,
}

impl Note {
    fn start(about: &'static About) -> Self {
        let request = Request::current().number;
        let index = CALLS.with_borrow_mut(|calls| {
            calls.push(Call {
                about,
                request,
                end: None,
                started: event(),
                ended: 0,
            });
            calls.len() - 1
        });
        Self {
            index,
            is_polled: false,
        }
    }

    fn end(&self, end: End) {
        CALLS.with_borrow_mut(|calls| {
            let call = &mut calls[self.index];
            if call.end.is_none() {
                call.end = Some(end);
                call.ended = event();
            }
        });
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        self.end(if self.is_polled {
            End::Panicked
        } else {
            End::Cancelled
        });
    }
}

/// Runs `body`, the whole body of an annotated function, and records its call.
pub(crate) async fn track<T>(
    about: &'static About,
    end: impl FnOnce(&T) -> End,
    body: impl Future<Output = T>,
) -> T {
    let mut note = Note::start(about);
    // `body` is declared after `note`, so `body` is dropped first.
    let mut body = pin!(body);
    let value = poll_fn(|context| {
        note.is_polled = true;
        let polled = body.as_mut().poll(context);
        note.is_polled = false;
        polled
    })
    .await;
    note.end(end(&value));
    value
}

impl About {
    /// Returns the line of `requests_total` for a call that is counted by itself.
    pub(crate) fn line(&self, end: End) -> String {
        let end = match end {
            End::Ok => self.ok.to_owned(),
            End::Status(status) => self.protocol.status(status),
            End::Panicked => format!("outcome=panicked{}", self.protocol.unanswered(500)),
            End::Cancelled => format!("outcome=cancelled{}", self.protocol.unanswered(499)),
        };
        format!("{} {end}", self.alone)
    }
}

impl Protocol {
    fn unanswered(self, status: u16) -> String {
        match self {
            Self::None => String::new(),
            Self::Http => format!(" http_status={status}"),
            Self::Grpc => format!(" grpc_status={}", grpc_code(status).1),
        }
    }

    /// Returns the outcome and the status labels of an answer.
    pub(crate) fn status(self, status: u16) -> String {
        match self {
            Self::None => "outcome=error".to_owned(),
            Self::Http => {
                let outcome = match status {
                    ..400 => "ok",
                    400..500 => "client_error",
                    _ => "error",
                };
                format!("outcome={outcome} http_status={status}")
            }
            Self::Grpc => {
                let (outcome, code) = grpc_code(status);
                format!("outcome={outcome} grpc_status={code}")
            }
        }
    }

    /// Returns the labels of a request whose response was not sent.
    pub(crate) fn request(self, seen: &str, status: u16) -> String {
        format!("outcome={seen}{}", self.unanswered(status))
    }
}

/// Returns the outcome and the name of the gRPC code for an HTTP status of a plan.
fn grpc_code(status: u16) -> (&'static str, &'static str) {
    match status {
        200 => ("ok", "OK"),
        401 => ("client_error", "UNAUTHENTICATED"),
        404 => ("client_error", "NOT_FOUND"),
        408 => ("error", "DEADLINE_EXCEEDED"),
        499 => ("client_error", "CANCELLED"),
        500 => ("error", "INTERNAL"),
        other => unreachable!("no plan answers {other}"),
    }
}
