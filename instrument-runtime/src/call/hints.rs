//! The messages that calls and layers write to stderr about mistakes in the setup: a
//! missing recorder, a route outside the layer, a handler without a route, a function
//! that may or may not be a handler.
//!
//! Each message is written at most once per process. [Diagnostics](crate#diagnostics) says when.
//! All functions of this module are on cold paths: they run when a series is new or not
//! cached, or when a call inside a request is in doubt.

use std::fmt::Display;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::call::global;
use crate::diagnostics::Message;

/// The name of a function in a message.
pub(super) type Name = &'static (dyn Display + Sync);

/// Reports a call that is not counted because no recorder is installed. Does nothing if a
/// recorder other than our own is installed, because that recorder counts the call.
///
/// The message is written only at the level `verbose`.
#[cold]
pub(super) fn call_elsewhere(function: &dyn Display) {
    static NO_RECORDER: Message = Message::verbose();
    if NO_RECORDER.is_due() && global::is_none() {
        NO_RECORDER.write(format_args!(
            "`{function}` was called but not counted, because no recorder is installed. Call \
             `instrument_runtime::init(\"…\")` early in `main`"
        ));
    }
}

/// Whether a layer has counted a request in this process.
static LAYERED: AtomicBool = AtomicBool::new(false);
/// A function that ran outside any request and looked like a handler, before a layer had
/// counted a request.
static OUTSIDE: OnceLock<Name> = OnceLock::new();

/// Reports a missing recorder, and the handler in [`OUTSIDE`].
///
/// Called when a layer counts the first request of a series, or handles a request while
/// our own recorder is not the current recorder.
#[cold]
pub(super) fn layer_counts() {
    static NO_RECORDER: Message = Message::new();
    if NO_RECORDER.is_due() && global::is_none() {
        NO_RECORDER.write(format_args!(
            "a layer handled a request but did not count it, because no recorder is installed. \
             Call `instrument_runtime::init(\"…\")` early in `main`, before the server starts"
        ));
    }
    if !LAYERED.swap(true, Ordering::Relaxed)
        && let Some(handler) = OUTSIDE.get()
    {
        outside(*handler);
    }
}

/// Reports a function that looks like a handler and runs outside any request.
///
/// `is_named` says whether the attribute gives the function a method or an endpoint.
#[cold]
pub(super) fn handler_without_request(handler: Name, is_named: bool) {
    if LAYERED.load(Ordering::Relaxed) {
        outside(handler);
    } else if is_named {
        // Keeps only the first handler, because the message is written only once.
        let _ = OUTSIDE.set(handler);
    } else {
        unnamed(handler);
    }
}

fn outside(handler: Name) {
    static OUTSIDE: Message = Message::new();
    OUTSIDE.write(format_args!(
        "the handler `{handler}` ran outside the requests that the layer counts, so its requests \
         are counted only as calls of this function. In axum, add the layer after all routes: \
         `.layer(…)` does not cover routes that are added later. If the function is not a \
         handler, write `#[instrumented(handler = false)]`"
    ));
}

fn unnamed(handler: Name) {
    static UNNAMED: Message = Message::new();
    UNNAMED.write(format_args!(
        "the handler `{handler}` is counted without the label `method`, and its `endpoint` is the \
         path of the function, because neither its attribute nor a layer knows the route. Put \
         `#[instrumented]` above the route attribute, such as `#[get(…)]`; or add the \
         framework's layer around all routes; or set `endpoint` and `method`. If the function is \
         not a handler, write `#[instrumented(handler = false)]`"
    ));
}

/// Reports a function with its own labels that may be a request's handler, although
/// nothing proves that it is.
#[cold]
pub(super) fn labels_in_doubt(function: &dyn Display) {
    static IN_DOUBT: Message = Message::new();
    IN_DOUBT.write(format_args!(
        "`{function}` may be the handler of the request in which it ran, but nothing proves it. \
         The function is counted separately, and the request lacks the labels of the function. \
         If the function is the handler, write `#[instrumented(handler, …)]`. Otherwise write \
         `#[instrumented(handler = false, …)]`"
    ));
}
