//! A request in the hands of a layer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::current::{Poll, apart, within};
use super::{HandedOver, Request, Route, Start};
use crate::outcome::Outcome;

/// What a layer puts into a request's extensions, so that the request is known
/// again: by a layer within, and by the function that it is handed to. While one
/// lives, the request has not been taken apart.
#[derive(Debug)]
pub(crate) struct Token(Arc<Request>);

impl Token {
    pub(crate) fn request(&self) -> &Arc<Request> {
        &self.0
    }
}

impl Clone for Token {
    fn clone(&self) -> Self {
        self.0.tokens.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if self.0.tokens.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.lock().handed_over = HandedOver::In(Poll::current());
        }
    }
}

/// A request in the future that answers it, from before its first poll to its
/// end. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Slot {
    /// None after the end.
    request: Option<Arc<Request>>,
    /// Whether this is the layer that counts it.
    is_counted_here: bool,
    /// Not started, or with a route to tell.
    is_new: bool,
    /// What a layer within the counting one found out.
    route: Option<Route>,
    /// A drop that meets this is an unwinding.
    is_polled: bool,
    /// The one to come, or the one that it is in.
    poll: Poll,
}

impl Slot {
    /// `found` is what was in the request's extensions.
    pub(crate) fn new(start: Start, found: Option<&Token>) -> Self {
        let (request, is_counted_here, route) = match found {
            Some(token) => (Arc::clone(token.request()), false, start.route),
            None => (Arc::new(Request::new(start)), true, None),
        };
        Self {
            poll: Poll {
                request: Arc::as_ptr(&request).addr(),
                layer: request.layers.fetch_add(1, Ordering::Relaxed),
                number: 0,
            },
            request: Some(request),
            is_counted_here,
            is_new: true,
            route,
            is_polled: false,
        }
    }

    /// For the extensions of a request that had none.
    pub(crate) fn token(&self) -> Option<Token> {
        let request = self.request.as_ref().filter(|_| self.is_counted_here)?;
        request.tokens.fetch_add(1, Ordering::Relaxed);
        Some(Token(Arc::clone(request)))
    }

    /// Of no request.
    pub(crate) fn none() -> Self {
        Self {
            request: None,
            is_counted_here: false,
            is_new: false,
            route: None,
            is_polled: false,
            poll: Poll {
                request: 0,
                layer: 0,
                number: 0,
            },
        }
    }

    /// Calls the service that answers the request: a panic is one of the request.
    pub(crate) fn call<T>(&mut self, call: impl FnOnce() -> T) -> T {
        self.is_polled = true;
        // What is handed over here is so in the first poll.
        let called = self.poll.during(call);
        self.is_polled = false;
        called
    }

    /// Polls what answers the request.
    pub(crate) fn poll<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        let Some(request) = &self.request else {
            return poll();
        };
        if self.is_new {
            self.is_new = false;
            let route = self.route.take();
            apart(|| {
                if self.is_counted_here {
                    request.begin();
                } else {
                    request.refine(route);
                }
            });
        }
        self.is_polled = true;
        let polled = self.poll.during(|| within(&mut self.request, poll));
        self.is_polled = false;
        self.poll.number = self.poll.number.wrapping_add(1);
        polled
    }

    /// The head of a response goes out, or an error in its place.
    pub(crate) fn answered(&mut self, answer: Outcome) {
        if let Some(request) = self.request.take()
            && self.is_counted_here
        {
            apart(|| request.answered(answer));
        }
    }

    /// The request ends without an answer.
    fn over(&mut self, has_panicked: bool) {
        if let Some(request) = self.request.take() {
            if self.is_counted_here {
                apart(|| request.dropped(has_panicked));
            } else if has_panicked {
                request.lock().has_panicked = true;
            }
        }
    }

    /// The response's body has panicked.
    pub(crate) fn panicked(&mut self) {
        self.over(true);
    }

    /// The same request, to be answered later.
    pub(crate) fn take(&mut self) -> Self {
        if let Some(request) = &self.request
            && self.is_counted_here
        {
            apart(|| request.settle(&mut request.lock(), false));
        }
        Self {
            request: self.request.take(),
            is_counted_here: self.is_counted_here,
            is_new: false,
            route: None,
            is_polled: false,
            poll: self.poll,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.over(self.is_polled);
    }
}
