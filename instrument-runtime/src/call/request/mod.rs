//! One request, as a layer sees it, and the search for its handler among the annotated
//! functions.
//!
//! A request is counted once: with the labels and the explicit endpoint of its handler,
//! and with the status of its response. The handler determines the outcome only if it
//! panicked, or if it has an `outcome = …` argument and the response is a success. Every
//! other annotated call is counted by itself.
//!
//! | file         | contents                                                            |
//! |--------------|---------------------------------------------------------------------|
//! | `mod.rs`     | [`Request`]: its state, and what each event does                    |
//! | `judge.rs`   | whether a call that starts is the handler                           |
//! | `slot.rs`    | [`Slot`] and [`Token`]: what a layer holds and leaves in extensions |
//! | `body.rs`    | follows the body of a response that ends its request                |
//! | `current.rs` | the request that is current on a thread                             |
//! | `method.rs`  | the value of the label `method`                                     |
//!
//! # Identity
//!
//! A [`Request`] is shared (`Arc`) by the future of the layer that counts it, by the
//! inner layers, and by the calls that the request keeps track of. A [`Token`] in the
//! extensions of the framework's request leads to the `Request`, also on another task or
//! thread.
//!
//! A call looks up the thread's current request when it starts, and keeps a [`Ticket`]
//! for this request. A call that has joined a request therefore ends in that request,
//! whichever request is current by then. Later look-ups only compare the current request
//! with the ticket. They detect a call that was moved out of its request, and a call that
//! was dropped while its request went on.
//!
//! # Which call is the handler
//!
//! A call that starts while a request is current is judged by these rules, in this order:
//!
//! 1. **Never**: the attribute says `handler = false`, or the function is middleware (it
//!    takes a `Next`). The call is counted by itself.
//! 2. **The attribute** says `handler`. The call joins, unless another claim is active.
//! 3. **Names**: the function has a method and an endpoint. If both match the request,
//!    the call joins, unless another claim is active. A function for `GET` matches a
//!    `HEAD` request too. The endpoint must be the matched route, or a suffix of it that
//!    begins with `/`. If no route is known, the endpoint must match the path of the
//!    request. A call with a different method is counted by itself.
//! 4. **Inference** (`Request::infer`): the call joins if no other claim excludes it (see
//!    the table), no call is in doubt, no claim was released before, and there is
//!    evidence. Except on tonic, the role of the function must also be `Role::Open`. The
//!    kinds of evidence are:
//!    - On axum, tonic and tower: one of the arguments carries this very request, and the
//!      return type is a response. On axum, all arguments must also be extractors. On
//!      tonic, the return type must have a gRPC status, and on tower an HTTP status.
//!    - On axum: the request was handed over (no token is left), the arguments are
//!      extractors, and the function returns a response. A function without a body
//!      extractor must start in the poll in which the request was handed over, before any
//!      other annotated function. A body extractor must be of a type that helpers seldom
//!      take, and not `String`, `Bytes` or `Body`.
//!    - On actix-web: a route has matched, the arguments are extractors, the type of one
//!      of them is a type that helpers seldom take, and the function returns a response.
//!
//!    If the function has an explicit endpoint that does not match the request, only the
//!    first kind of evidence counts.
//!
//! A call that could be the handler by its types, but lacks the evidence, is *in doubt*.
//! It is counted by itself. No other call is inferred to be the handler while it runs.
//!
//! # The states of a claim
//!
//! A request has at most one *claim*: the call that is its handler, as far as is known
//! now. A claim by rule 2 or 3 is *stated* (`By::Word`). A claim by rule 4 is *inferred*
//! (`By::Inference`), and tentative until the head of the response goes out. A claim is
//! *active* until its call ends.
//!
//! To *release* a claim means to take the call out of the request again. The request goes
//! back to the series of its route. The call is counted in its own series: with its end
//! if it has ended, in progress otherwise. After a release, no other call is inferred to
//! be the handler of this request.
//!
//! Each row of the table is an event, and each column is a state of the claim. "Joins",
//! "by itself" and "replaces" describe the call that starts. The other entries describe
//! the claim or the request. A dash means that the event has no effect. An empty cell
//! means that the event cannot happen in this state.
//!
//! | event                                            | no claim | inferred, active | inferred, ended | stated, active | stated, ended |
//! |--------------------------------------------------|----------|------------------|-----------------|----------------|---------------|
//! | a call starts outside the claim's polls (1)      | —        | released         | —               | —              | —             |
//! | a call that matches rule 2 or 3 starts (2)       | joins    | by itself        | replaces        | by itself      | replaces      |
//! | a call that matches rule 4 starts                | joins    | by itself        | by itself (3)   | by itself      | by itself     |
//! | the claim's call is polled elsewhere (4)         |          | released         |                 | —              |               |
//! | the claim's call returns, panics, or is dropped  |          | ended            |                 | ended          |               |
//! | a router finds the route (5)                     | moves    | moves            | released, moves | moves          | moves         |
//! | the head of the response goes out                | counted  | released         | joined (6)      | joined         | joined        |
//! | the layer's future is dropped                    | counted  | released         | joined (7)      | joined         | joined        |
//!
//! 1. The new call starts while the request is current, but not inside a poll of the
//!    claim's call: it starts on another thread, or while the claim's call is suspended.
//!    While a handler runs, other calls of its request start only inside the handler's
//!    polls, so the inferred call is not the handler. After the release, the new call is
//!    judged as in the column "no claim".
//! 2. A call that replaces an ended claim is a retry by middleware. The replaced call is
//!    counted by itself.
//! 3. If the new call and the ended call are calls of the same function, the new call
//!    replaces the ended call, because this is a retry too.
//! 4. The call is polled while a different request, or no request, is current: it was
//!    spawned as a task, or it is shared between requests.
//! 5. The request moves to the series of the route. An inferred claim that has ended is
//!    released, because a router finds the route before it calls the handler.
//! 6. If the call was cancelled, the claim is released instead. Middleware has dropped
//!    the call (after a time-out, for example), so the call has not produced the
//!    response.
//! 7. If the call was dropped during a poll of the request, the claim is released
//!    instead, because middleware dropped the call before the client disconnected. If the
//!    call was dropped together with the layer's future, it stays joined, and the request
//!    is counted as cancelled.
//!
//! The last two events end the request. A request with the entry "joined" is counted in
//! the series of its handler, any other request in the series of its route.
//!
//! # Requests that end with their body
//!
//! With the setting `until_body_end`, a layer wraps the body of the response, and the head
//! decides only the series. The request is counted by the first of these events:
//!
//! | event                                     | before the head goes out | after it                    |
//! |-------------------------------------------|--------------------------|-----------------------------|
//! | the body ends                             | — (1)                    | counted with its status     |
//! | the body returns an error                 | — (1)                    | counted as `error`          |
//! | the body panics                           | — (1)                    | counted as `panicked`       |
//! | the body is dropped                       | — (1)                    | counted as `cancelled`      |
//! | the future of the outermost layer is dropped | counted as `cancelled` |                             |
//!
//! 1. A layer in between has read, dropped or replaced the body. The request then ends with
//!    the head of the response that goes out.

#![cfg_attr(
    not(all(feature = "axum", feature = "actix-web", feature = "tonic")),
    allow(dead_code, reason = "each layer uses only a part")
)]

mod body;
mod current;
mod judge;
mod method;
mod slot;

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[allow(unused_imports, reason = "used by the layers only")]
pub(crate) use self::body::{BodySettings, BodyWatch, HeadSent, SizeWatch, or_on_unwind};
#[allow(unused_imports, reason = "used by one layer only")]
pub(crate) use self::current::refine_current;
use self::current::{Poll, ThreadMark, apart, with_current};
pub(crate) use self::current::{is_current, starts};
use self::judge::Verdict;
#[allow(unused_imports, reason = "used by the layers only")]
pub(crate) use self::slot::{Slot, Token};
use crate::call::by_values::Values;
use crate::call::clock::{Elapsed, Instant};
use crate::call::counted::{self, UNMATCHED};
use crate::call::extracts::ExtractsOf;
use crate::call::head::HeadLabels;
use crate::call::hints;
use crate::call::series::{InProgress, Series, SeriesRef, Trace};
use crate::call::site::{CallSite, series_of_route};
use crate::outcome::{End, Outcome, Protocol};
use crate::recorder::exemplars::TraceContext;
use crate::settings;

/// Whether this build has any layer. Without one, no request is ever current, and the
/// compiler removes the code for requests from every call.
pub(crate) const HAS_LAYER: bool = cfg!(feature = "_layer");

/// A route pattern that a framework matched. Its cardinality is bounded, because the
/// application wrote it.
pub(crate) type Route = std::borrow::Cow<'static, str>;

/// The framework of a layer, which decides what counts as evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framework {
    Axum,
    ActixWeb,
    Tonic,
    Tower,
}

impl Framework {
    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::Tonic => Protocol::Grpc,
            Self::Axum | Self::ActixWeb | Self::Tower => Protocol::Http,
        }
    }
}

/// What a call can show as evidence that it is the handler of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence<'a> {
    /// The kind of status that the return type has.
    pub(crate) protocol: Protocol,
    /// Whether a framework can convert the return type into a response.
    pub(crate) is_answer: bool,
    pub(crate) extracts: ExtractsOf,
    /// The request that one of the arguments carries.
    pub(crate) carried: Option<&'a Arc<Request>>,
}

/// What a layer knows about a request before the request starts.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) framework: Framework,
    pub(crate) method: &'static str,
    pub(crate) route: Option<Route>,
    /// The path of a gRPC request. It becomes the route once a handler is known to exist
    /// there.
    pub(crate) candidate: Option<Route>,
    /// The path, if no route is known. Only compared with endpoints. Never becomes a
    /// label, because its cardinality is unbounded.
    pub(crate) path: Option<Box<str>>,
    /// The labels that the layer takes from the head of the request.
    pub(crate) labels: HeadLabels,
}

impl Start {
    /// Describes a request with its matched route. Keeps the path only if `route` is
    /// `None`.
    pub(crate) fn new(
        framework: Framework,
        method: &str,
        route: Option<Route>,
        path: &str,
        labels: HeadLabels,
    ) -> Self {
        Self {
            framework,
            method: method::label(method),
            candidate: None,
            path: route.is_none().then(|| path.into()),
            route,
            labels,
        }
    }
}

/// One request, shared by its layers and its calls; see the [module](self).
#[derive(Debug)]
pub(crate) struct Request {
    framework: Framework,
    method: &'static str,
    labels: HeadLabels,
    /// The number of tokens that are alive.
    tokens: AtomicU32,
    /// The number of layers that have seen the request so far.
    layers: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    progress: Progress,
    route: Option<Route>,
    candidate: Option<Route>,
    path: Option<Box<str>>,
    handed_over: HandedOver,
    /// Whether an annotated function has started after the request was handed over.
    has_moved_on: bool,
    claim: Option<Claim>,
    /// Whether a claim was released, so that nothing is inferred any more.
    is_doubtful: bool,
    /// The number of running calls that are in doubt.
    doubtful_calls: u32,
    /// The running calls with a ticket that are counted by themselves.
    apart: Vec<Apart>,
    /// The number of calls that got a ticket, for the next [`CallId`].
    calls: u32,
    /// Whether an inner layer has seen a panic.
    has_panicked: bool,
    body: Body,
    size: Size,
}

/// Whether the request ends with the body of its response, instead of its head.
#[derive(Clone, Copy, Debug)]
enum Body {
    /// It ends with the head.
    Unwatched,
    /// It ends with the body. The head has not gone out.
    Watched,
    /// It ends with the body of a response with this head, which has gone out.
    Begun(Outcome),
}

/// The size of the response's body.
#[derive(Debug)]
enum Size {
    /// No layer measures it, or it is recorded.
    Unmeasured,
    /// A layer measures it.
    Measured,
    /// It is known, and the request is not counted yet.
    Known(u64),
    /// It is not known yet, and the request was counted in this series with this end.
    Counted(SeriesRef, End),
}

/// How the body of a response has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// At its end.
    Complete,
    /// With an error.
    Failed,
    /// It was dropped before its end: the client has left.
    Dropped,
    /// With a panic.
    Panicked,
}

/// Whether the framework has handed the request over: whether its last token was dropped.
#[derive(Debug)]
enum HandedOver {
    No,
    /// Handed over during this poll of a layer. `None` outside any poll.
    In(Option<Poll>),
}

#[derive(Debug)]
enum Progress {
    /// Not polled yet.
    Waiting,
    Running {
        /// The series whose gauge counts the request.
        in_progress: InProgress,
        started: Instant,
    },
    Over,
}

/// The call that is the handler as far as is known, with everything that is needed to
/// count it by itself if it turns out not to be the handler.
#[derive(Debug)]
struct Claim {
    id: CallId,
    by: By,
    site: &'static CallSite,
    values: Option<Arc<Values>>,
    started: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Stated by its attribute or its names.
    Word,
    /// Inferred from evidence.
    Inference,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Not ended. The thread that is polling the call; `None` between two polls.
    Active(Option<ThreadMark>),
    Ended {
        end: End,
        elapsed: Elapsed,
        /// The trace of the call, if an exemplar is wanted.
        trace: Option<TraceContext>,
        is_judged: bool,
        /// Whether the call was cancelled during a poll of the request, for example by a
        /// time-out.
        is_given_up: bool,
    },
}

/// A running call with a ticket that is counted by itself.
#[derive(Debug)]
struct Apart {
    id: CallId,
    in_progress: InProgress,
    is_doubtful: bool,
}

/// The number of a call in its request. The highest bit says whether its claim is
/// inferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallId(u32);

impl CallId {
    const INFERRED: u32 = 1 << 31;

    /// Returns whether the claim is inferred. Only such a call reports its polls to the
    /// request.
    #[inline]
    pub(crate) fn is_inferred(self) -> bool {
        self.0 & Self::INFERRED != 0
    }
}

/// A call that starts while a request is current.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) site: &'static CallSite,
    pub(crate) values: Option<&'a Arc<Values>>,
    pub(crate) evidence: Evidence<'a>,
}

impl Request {
    fn new(start: Start) -> Self {
        let Start {
            framework,
            method,
            route,
            candidate,
            path,
            labels,
        } = start;
        Self {
            framework,
            method,
            labels,
            tokens: AtomicU32::new(0),
            layers: AtomicU32::new(0),
            state: Mutex::new(State {
                progress: Progress::Waiting,
                route,
                candidate,
                path,
                handed_over: HandedOver::No,
                has_moved_on: false,
                claim: None,
                is_doubtful: false,
                doubtful_calls: 0,
                apart: Vec::new(),
                calls: 0,
                has_panicked: false,
                body: Body::Unwatched,
                size: Size::Unmeasured,
            }),
        }
    }

    /// Locks the state.
    ///
    /// Ignores poisoning: only a recorder can panic while the lock is held, and the state
    /// is consistent then.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the request, at its first poll.
    fn begin(&self) {
        let mut state = self.lock();
        if let Progress::Waiting = state.progress {
            let (in_progress, started) = InProgress::start(self.series_of_route(&state));
            state.progress = Progress::Running {
                in_progress,
                started,
            };
        }
    }

    /// Sets the route that a router inside the layer has matched. The first route wins.
    fn refine(&self, route: Option<Route>) {
        let mut state = self.lock();
        if state.route.is_none() && route.is_some() {
            if let Some(Claim {
                by: By::Inference,
                stage: Stage::Ended { .. },
                ..
            }) = state.claim
            {
                // A router finds the route before it calls the handler, so the call that
                // has ended is not the handler.
                self.release(&mut state);
            }
            self.set_route(&mut state, route);
        }
    }

    fn set_route(&self, state: &mut State, route: Option<Route>) {
        state.route = route;
        let series = match &state.claim {
            Some(claim) => self.series_with(state, claim.site, claim.values.as_deref()),
            None => self.series_of_route(state),
        };
        state.move_to(series);
    }

    fn series_with(
        &self,
        state: &State,
        site: &'static CallSite,
        values: Option<&Values>,
    ) -> SeriesRef {
        let (protocol, route) = (self.framework.protocol(), state.route.as_deref());
        let series = site.series_of_request(protocol, self.method, route, values, &self.labels);
        series.show_objectives(site.objectives(), || site.guesses());
        show_objectives_of_route(&series, route);
        series
    }

    /// Returns the series of the request if it has no annotated handler.
    fn series_of_route(&self, state: &State) -> SeriesRef {
        let protocol = self.framework.protocol();
        let series = series_of_route(protocol, self.method, state.endpoint(), &self.labels);
        show_objectives_of_route(&series, state.route.as_deref());
        series
    }

    /// Takes the claim's call out of the request: counts the call by itself, and the
    /// request under its route.
    fn release(&self, state: &mut State) {
        let Some(claim) = state.claim.take() else {
            return;
        };
        state.is_doubtful = true;
        state.count_apart(claim);
        let series = self.series_of_route(state);
        state.move_to(series);
    }

    /// Judges a call that starts while this request is current. Returns a ticket and the
    /// start of the call if the request keeps track of the call.
    fn starts(self: &Arc<Self>, caller: &Caller<'_>) -> Option<(Ticket, Instant)> {
        let mut state = self.lock();
        let Progress::Running { .. } = state.progress else {
            return None;
        };
        if let Some(Claim {
            by: By::Inference,
            stage: Stage::Active(polled_on),
            ..
        }) = state.claim
            && (polled_on.is_none() || polled_on != ThreadMark::current())
        {
            // The new call does not run inside the claim's call, so the claim's call is
            // not the handler.
            self.release(&mut state);
        }
        let verdict = self.judge(&state, caller);
        state.has_moved_on |= matches!(state.handed_over, HandedOver::In(_));
        let (id, started) = match verdict {
            Verdict::Joins(by) => self.join(&mut state, caller, by),
            Verdict::Doubtful => {
                if caller.site.has_labels() {
                    hints::labels_in_doubt(caller.site);
                }
                state.watch(caller)
            }
            Verdict::ByItself => return None,
        };
        let request = Arc::clone(self);
        let ticket = WithLayer::new(KnownCall { id, request }).map(Ticket)?;
        Some((ticket, started))
    }

    fn join(&self, state: &mut State, caller: &Caller<'_>, by: By) -> (CallId, Instant) {
        if let Some(earlier) = state.claim.take() {
            state.count_apart(earlier);
        }
        if state.route.is_none() {
            state.route = state.candidate.take();
        }
        let series = self.series_with(state, caller.site, caller.values.map(|values| &**values));
        state.move_to(series);
        let id = state.next_id(by == By::Inference);
        let started = Instant::now();
        state.claim = Some(Claim {
            id,
            by,
            site: caller.site,
            values: caller.values.cloned(),
            started,
            stage: Stage::Active(ThreadMark::current()),
        });
        (id, started)
    }

    /// Decides whether an inferred claim stays, when the head of the response goes out or
    /// the layer's future is dropped.
    fn settle(&self, state: &mut State, is_dropped: bool) {
        if let Some(claim) = &state.claim
            && claim.by == By::Inference
        {
            let stays = match claim.stage {
                Stage::Active(_) => false,
                // A cancelled call stays only if it was dropped together with the
                // request, and not if it was dropped while the request went on.
                Stage::Ended {
                    end, is_given_up, ..
                } => !is_given_up && (is_dropped || !end.is_cancelled()),
            };
            if !stays {
                self.release(state);
            }
        }
    }

    /// The head of the response goes out. Counts the request, unless it ends with its body.
    fn answered(&self, answer: Outcome) {
        let mut state = self.lock();
        self.settle(&mut state, false);
        match state.body {
            Body::Unwatched => self.end_with(state, answer, BodyEnd::Complete),
            Body::Watched | Body::Begun(_) => state.body = Body::Begun(answer),
        }
    }

    /// Makes the request end with the body of its response.
    pub(crate) fn watch_body(&self) {
        let mut state = self.lock();
        if let Body::Unwatched = state.body {
            state.body = Body::Watched;
        }
    }

    /// The body of the response has ended. Counts the request, if its head went out.
    /// Otherwise, a layer outside has read or replaced the response, so the request ends
    /// with the head of the response that goes out.
    pub(crate) fn body_ended(&self, end: BodyEnd) {
        apart(|| {
            let mut state = self.lock();
            if let Body::Begun(answer) = std::mem::replace(&mut state.body, Body::Unwatched) {
                self.end_with(state, answer, end);
            }
        });
    }

    /// Makes the caller measure the size of the response. `false` if an outer layer does.
    fn measure_size(&self) -> bool {
        let mut state = self.lock();
        let is_first = matches!(state.size, Size::Unmeasured);
        if is_first {
            state.size = Size::Measured;
        }
        is_first
    }

    /// Records the size of the response, or keeps it until the request is counted.
    fn body_measured(&self, bytes: u64) {
        let mut state = self.lock();
        match std::mem::replace(&mut state.size, Size::Unmeasured) {
            Size::Counted(series, end) => {
                drop(state);
                series.response_size(end, bytes);
            }
            Size::Measured => state.size = Size::Known(bytes),
            Size::Unmeasured | Size::Known(_) => {}
        }
    }

    /// Counts the request, which ends with the head and the end of its response.
    #[inline]
    fn end_with(&self, mut state: MutexGuard<'_, State>, answer: Outcome, body: BodyEnd) {
        let answer = answer.end();
        if answer.is_ok() && state.route.is_none() && state.candidate.is_some() {
            // A success status proves that a handler ran, so the candidate route exists.
            let candidate = state.candidate.take();
            self.set_route(&mut state, candidate);
        }
        let protocol = self.framework.protocol();
        let end = match state.claim.as_ref().map(|claim| claim.stage) {
            Some(Stage::Ended { end, .. }) if end.is_panicked() => end.answered_with(answer),
            // The head went out with this status, whatever happened to the body.
            _ if body == BodyEnd::Failed => End::FAILED.answered_with(answer),
            _ if body == BodyEnd::Dropped => End::cancelled(protocol).answered_with(answer),
            _ if body == BodyEnd::Panicked => End::panicked(protocol).answered_with(answer),
            // An `outcome = …` function may classify a response with a success status as
            // a failure.
            Some(Stage::Ended {
                end,
                is_judged: true,
                ..
            }) if answer.is_ok() => end.answered_with(answer),
            _ if state.has_panicked && !answer.is_ok() => {
                End::panicked(protocol).answered_with(answer)
            }
            _ => answer,
        };
        State::end(state, end);
    }

    /// Counts the request: it was dropped, or it panicked, before a response went out.
    fn dropped(&self, has_panicked: bool) {
        if has_panicked {
            // The inner service may have panicked before the first poll.
            self.begin();
        }
        let mut state = self.lock();
        self.settle(&mut state, true);
        let protocol = self.framework.protocol();
        let end = if has_panicked {
            End::panicked(protocol)
        } else {
            End::cancelled(protocol)
        };
        State::end(state, end);
    }

    /// Records the end of a call that has a ticket.
    fn call_ended(&self, id: CallId, end: End, elapsed: Elapsed, is_judged: bool) {
        let trace = self.wanted_trace(id, end, elapsed);
        let mut state = self.lock();
        if let Some(claim) = &mut state.claim
            && claim.id == id
        {
            let is_polled = with_current(|current| std::ptr::eq(&**current, self));
            claim.stage = Stage::Ended {
                end,
                elapsed,
                trace,
                is_judged,
                is_given_up: end.is_cancelled() && is_polled == Some(true),
            };
            return;
        }
        let Some(place) = state.apart.iter().position(|call| call.id == id) else {
            return;
        };
        let call = state.apart.swap_remove(place);
        state.doubtful_calls -= u32::from(call.is_doubtful);
        drop(state);
        call.in_progress.end(end, elapsed, Trace::Current);
    }

    /// Returns the current trace, if the request wants an exemplar and the call `id` is its
    /// handler.
    fn wanted_trace(&self, id: CallId, end: End, elapsed: Elapsed) -> Option<TraceContext> {
        let source = settings::installed()?.exemplars.as_ref()?;
        let series = {
            let state = self.lock();
            state.claim.as_ref().filter(|claim| claim.id == id)?;
            let Progress::Running { in_progress, .. } = &state.progress else {
                return None;
            };
            in_progress.series().clone()
        };
        // The source is foreign code. It must not run while the lock is held.
        apart(|| series.wanted_trace(source, end, elapsed))
    }

    /// Records that an inferred call is polled again. `is_here` is whether this request
    /// is current.
    fn resumed(&self, id: CallId, is_here: bool) {
        let mut state = self.lock();
        if let Some(claim) = &mut state.claim
            && claim.id == id
            && claim.is_active()
        {
            if is_here {
                claim.stage = Stage::Active(ThreadMark::current());
            } else if let Progress::Running { .. } = state.progress {
                // The call was moved to another task, or is shared with another request.
                self.release(&mut state);
            }
        }
    }

    /// Records that a poll of an inferred call has returned `Pending`.
    fn suspended(&self, id: CallId) {
        let mut state = self.lock();
        if let Some(claim) = &mut state.claim
            && claim.id == id
            && claim.is_active()
        {
            claim.stage = Stage::Active(None);
        }
    }
}

/// Shows the objectives that the application has set for a route, with the labels of a series.
/// The endpoint of the series differs from the route if the handler's attribute gives an
/// endpoint. The application may have named either.
fn show_objectives_of_route(series: &Series, route: Option<&str>) {
    let Some(settings) = settings::installed() else {
        return;
    };
    let all = &settings.objectives_of_routes;
    if all.is_empty() {
        return;
    }
    for route in [route, series.endpoint()].into_iter().flatten() {
        if let Some(objectives) = all.get(route) {
            series.show_objectives(objectives, || {
                vec![counted::labels_of_route(&settings.names, route)]
            });
        }
    }
}

impl State {
    fn endpoint(&self) -> &str {
        self.route.as_deref().unwrap_or(UNMATCHED)
    }

    /// Moves the request to the gauge of another series.
    fn move_to(&mut self, to: SeriesRef) {
        if let Progress::Running {
            in_progress,
            started,
        } = &mut self.progress
        {
            in_progress.move_to(to, *started);
        }
    }

    /// Ends the request and counts it, without the lock: the source of exemplars is foreign
    /// code.
    fn end(mut state: MutexGuard<'_, Self>, end: End) {
        let Progress::Running {
            in_progress,
            started,
        } = std::mem::replace(&mut state.progress, Progress::Over)
        else {
            return;
        };
        let trace = match state.claim.as_ref().map(|claim| claim.stage) {
            Some(Stage::Ended { trace, .. }) => Trace::Known(trace),
            _ => Trace::Current,
        };
        let counted = match state.size {
            Size::Unmeasured => None,
            _ => state
                .size_at_end(in_progress.series(), end)
                .map(|bytes| (in_progress.series().clone(), bytes)),
        };
        let elapsed = started.elapsed();
        drop(state);
        in_progress.end(end, elapsed, trace);
        if let Some((series, bytes)) = counted {
            series.response_size(end, bytes);
        }
    }

    /// Returns the size of the response, if it is known already. Otherwise, keeps the series
    /// and the end that it will be recorded with.
    fn size_at_end(&mut self, series: &SeriesRef, end: End) -> Option<u64> {
        let next = match self.size {
            Size::Measured => Size::Counted(series.clone(), end),
            _ => Size::Unmeasured,
        };
        match std::mem::replace(&mut self.size, next) {
            Size::Known(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn next_id(&mut self, is_inferred: bool) -> CallId {
        self.calls = (self.calls + 1) % CallId::INFERRED;
        CallId(self.calls | if is_inferred { CallId::INFERRED } else { 0 })
    }

    /// Counts the call of a claim by itself.
    fn count_apart(&mut self, claim: Claim) {
        let series = claim.site.series_of_call(claim.values.as_deref());
        match claim.stage {
            Stage::Active(_) => self.apart.push(Apart {
                id: claim.id,
                in_progress: InProgress::start_at(series, claim.started),
                is_doubtful: false,
            }),
            Stage::Ended {
                end,
                elapsed,
                trace,
                ..
            } => series.ended_elsewhere(end, elapsed, Trace::Known(trace)),
        }
    }

    /// Counts a call that is in doubt by itself, and keeps track of it until it ends.
    fn watch(&mut self, caller: &Caller<'_>) -> (CallId, Instant) {
        let series = caller
            .site
            .series_of_call(caller.values.map(|values| &**values));
        let (in_progress, started) = InProgress::start(series);
        let id = self.next_id(false);
        self.doubtful_calls += 1;
        self.apart.push(Apart {
            id,
            in_progress,
            is_doubtful: true,
        });
        (id, started)
    }
}

impl Claim {
    fn is_active(&self) -> bool {
        matches!(self.stage, Stage::Active(_))
    }

    /// Returns whether an inferred call of `site` may replace this claim, because it is a
    /// retry.
    fn gives_way_to(&self, site: &'static CallSite) -> bool {
        self.by == By::Inference && !self.is_active() && std::ptr::eq(self.site, site)
    }
}

/// The handle of a call to the request that keeps track of the call.
#[derive(Debug)]
pub(crate) struct Ticket(WithLayer<KnownCall>);

#[derive(Debug)]
struct KnownCall {
    id: CallId,
    request: Arc<Request>,
}

/// A value that exists only in builds that have a layer.
///
/// In other builds, the type has no value and no size, so that the compiler removes the
/// variant of a call that holds a ticket, and what every call would do about that variant.
#[cfg(feature = "_layer")]
#[derive(Debug)]
struct WithLayer<T>(T);

#[cfg(not(feature = "_layer"))]
#[derive(Debug)]
struct WithLayer<T>(std::convert::Infallible, std::marker::PhantomData<T>);

impl<T> WithLayer<T> {
    #[cfg(feature = "_layer")]
    #[allow(clippy::unnecessary_wraps, reason = "`None` without a layer")]
    fn new(value: T) -> Option<Self> {
        Some(Self(value))
    }

    #[cfg(not(feature = "_layer"))]
    fn new(_value: T) -> Option<Self> {
        None
    }

    #[inline]
    fn get(&self) -> &T {
        #[cfg(feature = "_layer")]
        return &self.0;
        #[cfg(not(feature = "_layer"))]
        match self.0 {}
    }
}

impl Ticket {
    /// Returns whether the call is the request's handler, as far as is known now.
    pub(crate) fn has_joined(&self) -> bool {
        let KnownCall { id, request } = self.0.get();
        let state = request.lock();
        state.claim.as_ref().is_some_and(|claim| claim.id == *id)
    }

    /// Reports the end of the call. `is_judged` is whether the outcome comes from an
    /// `outcome = …` argument.
    #[cold]
    pub(crate) fn ended(&self, end: End, elapsed: Elapsed, is_judged: bool) {
        let KnownCall { id, request } = self.0.get();
        request.call_ended(*id, end, elapsed, is_judged);
    }

    /// Reports that the call is polled again.
    #[inline]
    pub(crate) fn resumed(&self) {
        let KnownCall { id, request } = self.0.get();
        if id.is_inferred() {
            let is_here = with_current(|current| Arc::ptr_eq(request, current));
            apart(|| request.resumed(*id, is_here == Some(true)));
        }
    }

    /// Reports that a poll of the call has returned `Pending`.
    #[inline]
    pub(crate) fn suspended(&self) {
        let KnownCall { id, request } = self.0.get();
        if id.is_inferred() {
            request.suspended(*id);
        }
    }
}
