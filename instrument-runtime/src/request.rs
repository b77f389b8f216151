//! One HTTP request, as a layer sees it, and the annotated handler that takes
//! it: the request is counted once, with what both know.
//!
//! While the layer's inner future is polled, the request is this thread's
//! current one. A call that starts then may be the request's handler:
//!
//! - one whose attribute names a method is;
//! - one without, if it returns what a framework can answer with and takes what
//!   a handler can take, until another one comes; then it was a function on the
//!   way (a check of a token, say) and is counted as one;
//! - one within a handler never is.

use std::cell::RefCell;
use std::sync::Arc;

use crate::call_site::CallSite;
use crate::clock::Instant;
use crate::outcome::{End, Outcome, Protocol};
use crate::request_series::series_of;
use crate::series::SeriesRef;
use crate::values::Values;

thread_local! {
    static CURRENT: RefCell<Option<Box<Request>>> = const { RefCell::new(None) };
}

#[derive(Debug)]
pub(crate) struct Request {
    method: &'static str,
    route: Option<Route>,
    /// The route, should something answer there.
    candidate: Option<Route>,
    protocol: Protocol,
    /// Whose gauge the request is in.
    series: SeriesRef,
    started: Instant,
    is_polled: bool,
    handler: Handler,
}

/// What a framework matched: bounded in number, since the application wrote it.
pub(crate) type Route = std::borrow::Cow<'static, str>;

/// The label `endpoint` of a request that matched no route.
pub(crate) const UNMATCHED: &str = "unmatched";

#[derive(Debug)]
enum Handler {
    None,
    /// In its call.
    Active(Claim),
    /// Its call has ended.
    Ended {
        claim: Claim,
        end: End,
        nanos: u64,
        judged: bool,
    },
}

/// A call that has the request, and where it is counted if it turns out not to
/// be the handler.
#[derive(Debug)]
struct Claim {
    /// Its attribute names a method, so it is.
    is_named: bool,
    site: &'static CallSite,
    values: Option<Arc<Values>>,
}

/// What a function is to a request in whose course it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Something on the way.
    Function,
    /// A handler, unless another call is.
    Likely(Protocol),
    /// A handler, by its attribute.
    Handler,
}

impl Role {
    /// `protocol` and `is_answer` are what the return type tells.
    pub(crate) fn of(site: &CallSite, protocol: Protocol, is_answer: bool) -> Self {
        if site.has_method() {
            Self::Handler
        } else if protocol == Protocol::Grpc {
            // A service's methods take `&self`.
            Self::Likely(Protocol::Grpc)
        } else if is_answer && !site.is_helper() {
            Self::Likely(Protocol::Http)
        } else {
            Self::Function
        }
    }
}

impl Request {
    fn start(start: Start) -> Box<Self> {
        let Start {
            method,
            route,
            candidate,
            protocol,
            is_counted: _,
        } = start;
        let series = series_of(method, route.as_deref().unwrap_or(UNMATCHED));
        series.started();
        Box::new(Self {
            method,
            route,
            candidate,
            protocol,
            series,
            started: Instant::now(),
            is_polled: false,
            handler: Handler::None,
        })
    }

    /// What a router within the layer found out about the route.
    pub(crate) fn refine(&mut self, route: Option<Route>) {
        if self.route.is_some() || route.is_none() {
            return;
        }
        match &self.handler {
            // An active one is the router itself, or calls it.
            Handler::None | Handler::Active(_) => {}
            Handler::Ended { claim, .. } if claim.is_named => return,
            // A router comes before its handlers.
            Handler::Ended { .. } => self.release(),
        }
        self.route = route;
        let series = match &self.handler {
            Handler::Active(claim) => self.series_with(claim.site, claim.values.as_deref()),
            _ => series_of(self.method, self.endpoint()),
        };
        self.move_to(series);
    }

    fn endpoint(&self) -> &str {
        self.route.as_deref().unwrap_or(UNMATCHED)
    }

    fn series_with(&self, site: &'static CallSite, values: Option<&Values>) -> SeriesRef {
        site.series_of_request(self.method, self.route.as_deref(), values)
    }

    /// The call that ended was a function on the way, and is counted as one.
    fn release(&mut self) {
        if let Handler::Ended {
            claim, end, nanos, ..
        } = std::mem::replace(&mut self.handler, Handler::None)
        {
            let own = claim.site.series_of_call(claim.values.as_deref());
            own.ended_elsewhere(end, nanos);
        }
    }

    /// Only a handler answers that all is well.
    fn refine_to_candidate(&mut self) {
        let candidate = self.candidate.take();
        self.refine(candidate);
    }

    /// Whether a call that starts is the request's handler from now on.
    fn claim(&mut self, role: Role, site: &'static CallSite, values: Option<&Arc<Values>>) -> bool {
        let is_named = match role {
            Role::Function => return false,
            Role::Likely(protocol) if protocol != self.protocol => return false,
            Role::Likely(_) => false,
            Role::Handler => true,
        };
        match &self.handler {
            Handler::None => {}
            Handler::Ended { claim, .. } if !claim.is_named => self.release(),
            Handler::Ended { .. } if is_named => {}
            Handler::Ended { .. } | Handler::Active(_) => return false,
        }
        if self.route.is_none() {
            self.route = self.candidate.take();
        }
        self.move_to(self.series_with(site, values.map(|values| &**values)));
        self.handler = Handler::Active(Claim {
            is_named,
            site,
            values: values.cloned(),
        });
        true
    }

    fn handler_ended(&mut self, end: End, nanos: u64, judged: bool) {
        if let Handler::Active(claim) = std::mem::replace(&mut self.handler, Handler::None) {
            self.handler = Handler::Ended {
                claim,
                end,
                nanos,
                judged,
            };
        }
    }

    fn move_to(&mut self, series: SeriesRef) {
        if !std::ptr::eq::<crate::series::Series>(&*self.series, &*series) {
            series.started();
            std::mem::replace(&mut self.series, series).moved_away();
        }
    }

    /// The response's head goes out.
    fn answered(&mut self, answer: Outcome) {
        let answer = answer.end();
        if answer.is_ok() && self.candidate.is_some() {
            self.refine_to_candidate();
        }
        let end = match self.handler {
            Handler::Ended { end, .. } if end.is_panicked() => end.answered_with(answer),
            // The function knows better than a status that is fine.
            Handler::Ended {
                end, judged: true, ..
            } if answer.is_ok() => end.answered_with(answer),
            _ => answer,
        };
        self.end(end);
    }

    /// No response's head goes out any more.
    fn dropped(&self) {
        let end = if self.is_polled {
            End::panicked(self.protocol)
        } else {
            End::cancelled(self.protocol)
        };
        self.end(end);
    }

    fn end(&self, end: End) {
        self.series.ended(end, self.started.elapsed_nanos());
    }
}

/// What a layer knows of a request before it starts.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) method: &'static str,
    pub(crate) route: Option<Route>,
    pub(crate) candidate: Option<Route>,
    pub(crate) protocol: Protocol,
    /// By a layer outside of this one.
    pub(crate) is_counted: bool,
}

/// What a layer puts into a request, so that one within it knows the same
/// request from another one: a handler's own, to some other service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted;

/// A request from before its first poll to its end, in the future that answers
/// it. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Slot {
    start: Option<Start>,
    /// None before the start, after the end, and within another layer's request.
    request: Option<Box<Request>>,
}

impl Slot {
    pub(crate) fn new(start: Start) -> Self {
        Self {
            start: Some(start),
            request: None,
        }
    }

    /// Of no request.
    #[cfg(feature = "tonic")]
    pub(crate) fn none() -> Self {
        Self {
            start: None,
            request: None,
        }
    }

    /// Polls what answers the request.
    pub(crate) fn poll<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        if let Some(start) = self.start.take() {
            if start.is_counted {
                with_current(|request| request.refine(start.route));
            } else {
                self.request = Some(Request::start(start));
            }
        }
        if self.request.is_some() {
            within(&mut self.request, poll)
        } else {
            poll()
        }
    }

    /// The head of a response goes out, or an error in its place.
    pub(crate) fn answered(&mut self, answer: Outcome) {
        if let Some(mut request) = self.request.take() {
            request.answered(answer);
        }
    }

    /// The response's body has panicked.
    #[cfg(feature = "tonic")]
    pub(crate) fn panicked(&mut self) {
        if let Some(request) = self.request.take() {
            request.end(End::panicked(request.protocol));
        }
    }

    /// The same request, to be answered later.
    #[cfg(feature = "tonic")]
    pub(crate) fn take(&mut self) -> Self {
        Self {
            start: None,
            request: self.request.take(),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            request.dropped();
        }
    }
}

/// Runs `poll` with the request in `slot` as the current one.
fn within<T>(slot: &mut Option<Box<Request>>, poll: impl FnOnce() -> T) -> T {
    /// Puts all back as it was, also when `poll` panics.
    struct Restore<'a> {
        slot: &'a mut Option<Box<Request>>,
        outer: Option<Box<Request>>,
    }

    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            *self.slot = CURRENT.replace(self.outer.take());
        }
    }

    if let Some(request) = slot {
        request.is_polled = true;
    }
    let Ok(outer) = CURRENT.try_with(|current| current.replace(slot.take())) else {
        // In the destructor of a thread-local the request stays in its slot.
        let polled = poll();
        if let Some(request) = slot {
            request.is_polled = false;
        }
        return polled;
    };
    let restore = Restore { slot, outer };
    let polled = poll();
    with_current(|request| request.is_polled = false);
    drop(restore);
    polled
}

/// Asks the current request, if there is one.
pub(crate) fn with_current<T>(ask: impl FnOnce(&mut Request) -> T) -> Option<T> {
    // A call in the destructor of a thread-local may find this one gone.
    CURRENT
        .try_with(|current| current.try_borrow_mut().ok()?.as_deref_mut().map(ask))
        .ok()
        .flatten()
}

/// Whether a call that starts now may be a request's handler.
pub(crate) fn is_current() -> bool {
    with_current(|_| ()).is_some()
}

/// Whether a call that starts is the current request's handler; then its end is
/// told by [`handler_ended`].
#[inline]
pub(crate) fn claim(role: Role, site: &'static CallSite, values: Option<&Arc<Values>>) -> bool {
    with_current(|request| request.claim(role, site, values)).unwrap_or(false)
}

/// `is_judged`: by the function of an `outcome = …` argument.
pub(crate) fn handler_ended(end: End, nanos: u64, is_judged: bool) {
    with_current(|request| request.handler_ended(end, nanos, is_judged));
}
