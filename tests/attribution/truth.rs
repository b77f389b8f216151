//! What really happened: each annotated function notes its own start and its own
//! end, without a word from the library under test.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;

use crate::plan::Request;

/// What is known of a function before it runs.
#[derive(Debug)]
pub(crate) struct About {
    /// The labels of a call that is counted by itself.
    pub(crate) alone: &'static str,
    /// What a call that returned well adds to them.
    pub(crate) ok: &'static str,
    pub(crate) protocol: Protocol,
    pub(crate) handler: Handler,
    /// The labels of a request whose handler this is, in place of its route.
    pub(crate) endpoint: Option<&'static str>,
    /// The labels that it adds to such a request.
    pub(crate) labels: &'static str,
}

/// Which kind of status the return type tells.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    None,
    Http,
    Grpc,
}

/// How the library can know that a function is the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handler {
    /// It is not, or it says that it is not, or it stays in doubt.
    Never,
    /// By evidence: only if it has ended by the time the head goes out.
    Inferred,
    /// It says so, or its method and endpoint do.
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
    /// In the course of which request.
    pub(crate) request: usize,
    pub(crate) end: Option<End>,
    /// When it ended, as a number that rises with each event.
    pub(crate) ended: u32,
}

thread_local! {
    static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
    static EVENTS: Cell<u32> = const { Cell::new(0) };
}

/// The number of the next event.
pub(crate) fn event() -> u32 {
    EVENTS.set(EVENTS.get() + 1);
    EVENTS.get()
}

/// All calls since the last look, in the order in which they started.
pub(crate) fn calls() -> Vec<Call> {
    CALLS.take()
}

/// A call that has started; its end is noted when it is known, or when it is dropped.
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

/// Runs `body`, which is all of an annotated function.
pub(crate) async fn track<T>(
    about: &'static About,
    end: impl FnOnce(&T) -> End,
    body: impl Future<Output = T>,
) -> T {
    let mut note = Note::start(about);
    // Dropped before the note.
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
    /// The line of `requests_total` for a call that is counted by itself.
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

    /// The outcome and the status of an answer.
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

    /// What a request has instead of a status that went out.
    pub(crate) fn request(self, seen: &str, status: u16) -> String {
        format!("outcome={seen}{}", self.unanswered(status))
    }
}

/// The gRPC codes that stand for the statuses of a plan, by their names.
fn grpc_code(status: u16) -> (&'static str, &'static str) {
    match status {
        200 => ("ok", "OK"),
        401 => ("client_error", "UNAUTHENTICATED"),
        404 => ("client_error", "NOT_FOUND"),
        408 => ("client_error", "DEADLINE_EXCEEDED"),
        499 => ("client_error", "CANCELLED"),
        500 => ("error", "INTERNAL"),
        other => unreachable!("no plan answers {other}"),
    }
}
