//! Follows the body of a response whose end is the end of its request.

use std::sync::Arc;

use super::{BodyEnd, Request};

/// The progress of a response body.
///
/// Dropping it before the end counts the request as cancelled: a server drops a body that it
/// cannot send any further, because the client has left.
#[derive(Debug)]
pub(crate) struct BodyWatch {
    slot: BodySlot,
    /// The number of bytes that are still to come, if the length is known. A server does not
    /// ask a body for more once it has all bytes.
    left: Option<u64>,
}

impl BodyWatch {
    pub(super) fn new(request: Arc<Request>, length: Option<u64>) -> Self {
        Self {
            slot: BodySlot(Some(request)),
            left: length,
        }
    }

    /// Records that the body has handed out `bytes`. `is_end` is whether the body itself
    /// says that nothing follows.
    pub(crate) fn sent(&mut self, bytes: usize, is_end: bool) {
        self.left = self.left.map(|left| left.saturating_sub(bytes as u64));
        if is_end || self.left == Some(0) {
            self.slot.end(BodyEnd::Complete);
        }
    }

    /// Records the end of the body.
    pub(crate) fn end(&mut self, end: BodyEnd) {
        self.slot.end(end);
    }

    /// Calls `poll`, and counts the request as panicked if it unwinds.
    pub(crate) fn during<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        or_on_unwind(&mut self.slot, |slot| slot.end(BodyEnd::Panicked), poll)
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
