//! [`Slot`] is a layer's handle to a request. [`Token`] is the mark that a layer leaves
//! in the request's extensions.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::body::{BodySettings, BodyWatch, HeadSent, SizeWatch};
use super::current::{Poll, apart, within};
use super::{HandedOver, Request, Route, Start};
use crate::outcome::Outcome;

/// A mark that a layer puts into the extensions of a request.
///
/// With the token, an inner layer and the function that receives the request find the
/// [`Request`] again. When the last token is dropped, the framework has taken the request
/// apart for its extractors. The request then counts as handed over.
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

/// A layer's handle to a request, held by the layer's response future.
///
/// Dropping it ends the request: as cancelled, or as panicked during a poll.
#[derive(Debug)]
pub(crate) struct Slot {
    /// `None` after the end.
    request: Option<Arc<Request>>,
    /// Whether this layer counts the request: the outermost one does.
    is_counted_here: bool,
    /// Whether the slot was not polled yet. The first poll starts the request, or reports
    /// the route of an inner layer.
    is_new: bool,
    /// The route that an inner layer has found, until the first poll reports it.
    route: Option<Route>,
    /// Whether a poll is running. A slot that is dropped during a poll is dropped by
    /// unwinding.
    is_polled: bool,
    /// The current poll. Between two polls, the next poll.
    poll: Poll,
}

impl Slot {
    /// Creates a slot. `found` is the token of an outer layer in the request's
    /// extensions.
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

    /// Creates a slot for a request with these extensions, and puts a token into them
    /// unless an outer layer has.
    pub(crate) fn open(start: Start, extensions: &mut http::Extensions) -> Self {
        let slot = Self::new(start, extensions.get());
        if let Some(token) = slot.token() {
            extensions.insert(token);
        }
        slot
    }

    /// Returns a token to put into the request's extensions. `None` if an outer layer has
    /// already put one there.
    pub(crate) fn token(&self) -> Option<Token> {
        let request = self.request.as_ref().filter(|_| self.is_counted_here)?;
        request.tokens.fetch_add(1, Ordering::Relaxed);
        Some(Token(Arc::clone(request)))
    }

    /// Returns what measures the size of the response, if the layer should measure it. `None`
    /// if an outer layer does.
    pub(crate) fn size(&self, settings: BodySettings) -> Option<SizeWatch> {
        let request = self.request.as_ref().filter(|_| settings.sizes)?;
        let is_first = request.measure_size();
        is_first.then(|| SizeWatch::new(Arc::clone(request)))
    }

    /// The head of the response goes out. Returns what follows the body. `None` if there is
    /// nothing to follow. `length` is the length of the body, if it is known.
    pub(crate) fn answered_before_body(
        &mut self,
        head: HeadSent<'_>,
        length: Option<u64>,
        settings: BodySettings,
        mut size: Option<SizeWatch>,
    ) -> Option<BodyWatch> {
        let has_body = !head.is_all() && length != Some(0);
        let until_end = self.request.as_ref();
        let until_end = until_end.filter(|_| settings.until_end && has_body);
        let until_end = until_end.map(Arc::clone);
        if let Some(request) = &until_end {
            request.watch_body();
        }
        if let Some(size) = &mut size {
            size.begin();
        }
        // Does nothing but drop the request if an outer layer counts it.
        self.answered(Outcome::HttpStatus(head.status));
        let is_followed = has_body && (until_end.is_some() || size.is_some());
        is_followed.then(|| BodyWatch::new(until_end, size, length))
    }

    /// Creates a slot without a request, for a request that is skipped.
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

    /// Calls the inner service. A panic in this call counts as a panic of the request.
    pub(crate) fn call<T>(&mut self, call: impl FnOnce() -> T) -> T {
        self.is_polled = true;
        // A request that is handed over during this call counts as handed over in the
        // first poll.
        let called = self.poll.during(call);
        self.is_polled = false;
        called
    }

    /// Polls the inner future, with this request as the current one.
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

    /// Counts the request, because the head of its response goes out, or an error in
    /// place of a response.
    pub(crate) fn answered(&mut self, answer: Outcome) {
        if let Some(request) = self.request.take()
            && self.is_counted_here
        {
            apart(|| request.answered(answer));
        }
    }

    /// Ends the request without a response.
    fn over(&mut self, has_panicked: bool) {
        if let Some(request) = self.request.take() {
            if self.is_counted_here {
                apart(|| request.dropped(has_panicked));
            } else if has_panicked {
                request.lock().has_panicked = true;
            }
        }
    }

    /// Ends the request because the body of the response has panicked.
    pub(crate) fn panicked(&mut self) {
        self.over(true);
    }

    /// Moves the request into a new slot, for a response that is known only later: at the
    /// end of a gRPC body, or when actix-web's server renders an error.
    ///
    /// Decides at once whether an inferred claim stays.
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
