//! Follows the body of a response: to its end, if that is the end of its request, and to
//! measure its size.

use std::sync::Arc;

use super::current::apart;
use super::{BodyEnd, Request};

/// What a layer follows the bodies of responses for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BodySettings {
    /// Requests end with the body of their response, instead of its head.
    pub(crate) until_end: bool,
    /// The size of the body is measured.
    pub(crate) sizes: bool,
}

/// The progress of a response body.
///
/// If the request ends with its body, dropping this before the end counts the request as
/// cancelled: a server drops a body that it cannot send any further, because the client has
/// left.
#[derive(Debug)]
pub(crate) struct BodyWatch {
    // Declared first, so that the size is known when the request ends.
    size: Option<SizeWatch>,
    /// Empty if the request ends with the head.
    slot: BodySlot,
    /// The number of bytes that are still to come, if the length is known. A server does not
    /// ask a body for more once it has all bytes.
    left: Option<u64>,
}

impl BodyWatch {
    pub(super) fn new(
        request: Option<Arc<Request>>,
        size: Option<SizeWatch>,
        length: Option<u64>,
    ) -> Self {
        Self {
            size,
            slot: BodySlot(request),
            left: length,
        }
    }

    /// Records that the body has handed out `bytes`. `is_end` is whether the body itself
    /// says that nothing follows.
    pub(crate) fn sent(&mut self, bytes: usize, is_end: bool) {
        if let Some(size) = &mut self.size {
            size.sent(bytes);
        }
        self.left = self.left.map(|left| left.saturating_sub(bytes as u64));
        if is_end || self.left == Some(0) {
            self.end(BodyEnd::Complete);
        }
    }

    /// Records the end of the body.
    pub(crate) fn end(&mut self, end: BodyEnd) {
        self.size = None;
        self.slot.end(end);
    }

    /// Calls `poll`, and counts the request as panicked if it unwinds.
    pub(crate) fn during<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        or_on_unwind(self, |watch| watch.end(BodyEnd::Panicked), poll)
    }
}

/// Measures the size of the response to a request. The size is recorded when this is
/// dropped, if the head of the response has gone out.
#[derive(Debug)]
pub(crate) struct SizeWatch {
    request: Arc<Request>,
    /// The number of bytes so far. `None` until the head goes out.
    bytes: Option<u64>,
}

impl SizeWatch {
    pub(super) fn new(request: Arc<Request>) -> Self {
        Self {
            request,
            bytes: None,
        }
    }

    /// Records that the head of the response goes out.
    pub(crate) fn begin(&mut self) {
        self.bytes = Some(0);
    }

    /// Records that the body has handed out `bytes`.
    pub(crate) fn sent(&mut self, bytes: usize) {
        if let Some(sent) = &mut self.bytes {
            *sent = sent.saturating_add(bytes as u64);
        }
    }
}

impl Drop for SizeWatch {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes {
            apart(|| self.request.body_measured(bytes));
        }
    }
}

/// A layer's handle to a request that ends with the body of its response. Dropping it ends
/// the request as cancelled.
#[derive(Debug)]
struct BodySlot(Option<Arc<Request>>);

impl BodySlot {
    /// Ends the request. Only the first call has an effect.
    fn end(&mut self, end: BodyEnd) {
        if let Some(request) = self.0.take() {
            request.body_ended(end);
        }
    }
}

impl Drop for BodySlot {
    fn drop(&mut self) {
        self.end(BodyEnd::Dropped);
    }
}

/// Calls `run`. If it unwinds, calls `unwound` with `value`.
pub(crate) fn or_on_unwind<V, T>(
    value: &mut V,
    unwound: impl FnOnce(&mut V),
    run: impl FnOnce() -> T,
) -> T {
    struct Unwinding<'a, V, F: FnOnce(&mut V)>(&'a mut V, Option<F>);

    impl<V, F: FnOnce(&mut V)> Drop for Unwinding<'_, V, F> {
        fn drop(&mut self) {
            if let Some(unwound) = self.1.take() {
                unwound(self.0);
            }
        }
    }

    let mut unwinding = Unwinding(value, Some(unwound));
    let returned = run();
    unwinding.1 = None;
    returned
}

/// The head of a response, as it goes out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadSent<'a> {
    /// The method of the request.
    pub(crate) method: &'a str,
    /// The status of the response.
    pub(crate) status: u16,
    /// Whether the body is empty.
    pub(crate) is_empty: bool,
}

impl HeadSent<'_> {
    /// Returns whether a server sends nothing after the head, so that the request ends with
    /// the head.
    ///
    /// That includes upgrades, such as WebSockets: what is sent on the connection afterwards
    /// is not a part of the response.
    pub(super) fn is_all(self) -> bool {
        let Self {
            method,
            status,
            is_empty,
        } = self;
        let is_tunnel = method == "CONNECT" && (200..300).contains(&status);
        is_empty || method == "HEAD" || is_tunnel || matches!(status, 100..=199 | 204 | 304)
    }
}
