//! Follows the body of a response whose end is the end of its request.

use super::BodyEnd;
use super::slot::BodySlot;

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
    pub(crate) fn new(slot: BodySlot, length: Option<u64>) -> Self {
        Self { slot, left: length }
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
        struct Unwinding<'a>(&'a mut BodySlot);

        impl Drop for Unwinding<'_> {
            fn drop(&mut self) {
                self.0.end(BodyEnd::Panicked);
            }
        }

        let unwinding = Unwinding(&mut self.slot);
        let polled = poll();
        std::mem::forget(unwinding);
        polled
    }
}

/// Returns whether a response to this request has no body that a server sends: the request
/// ends with the head. `status` is that of the response.
///
/// That includes upgrades, such as WebSockets: what is sent on the connection afterwards is
/// not a part of the response.
pub(crate) fn ends_with_head(method: &str, status: u16) -> bool {
    let is_tunnel = method == "CONNECT" && (200..300).contains(&status);
    method == "HEAD" || is_tunnel || matches!(status, 100..=199 | 204 | 304)
}
