//! One request, as a layer sees it, and the annotated function that is its
//! handler: the request is counted once, with the labels, the endpoint and the
//! outcome of that function. Every other annotated call is counted by itself.
//!
//! # Identity
//!
//! A [`Request`] is shared: by the future of the layer that counts it, by each
//! layer within that one, and by the calls that it knows of. A [`Token`] in the
//! request's extensions leads from the request itself to its `Request`, also on
//! another task or thread. The request that is current on the thread is
//! asked for only when a call starts. A call that joined ends in the request that it joined, whichever
//! request is current then.
//!
//! # Which call is the handler
//!
//! A call that starts while a request is current is judged in this order:
//!
//! 1. `handler = false`, or middleware (it takes a `Next`): by itself.
//! 2. `handler`: joins, unless another claim is active.
//! 3. Names: a method and an endpoint that are the request's. The endpoint must
//!    be the matched route or its end at a `/`; where no route is known, it must
//!    match the request's path. As 2. A method that is not the request's: by
//!    itself.
//! 4. Inference, see `infer`: only if nothing has joined, nothing is in doubt, and
//!    the framework's evidence is there:
//!    - a request in the function's own argument (all frameworks but actix-web);
//!    - axum: the request was handed over (no token is left), the arguments are
//!      extractors, and the function returns an answer. One without a body
//!      extractor must start in the poll in which the request was handed over.
//!    - actix-web: a route is known, the arguments are extractors, and one of them
//!      is of a type that only a handler takes.
//!
//! # States of the claim
//!
//! The request has at most one claim. A claim by 2 or 3 is *said*. A claim by 4 is
//! *inferred*, and tentative until the response's head goes out. To *release* a claim
//! means: the request goes back to its route, and the call to its own series, with
//! its end if it has ended, and in progress otherwise.
//!
//! | event                               | none        | inferred, active | inferred, ended       | said, active | said, ended |
//! |-------------------------------------|-------------|------------------|-----------------------|--------------|-------------|
//! | a said call starts                  | joins       | by itself        | replaces              | by itself    | replaces    |
//! | a call with evidence starts         | joins       | by itself        | by itself (1)         | by itself    | by itself   |
//! | any call starts outside its poll    | by itself   | released         | by itself             | by itself    | by itself   |
//! | its call is polled elsewhere (2)    |             | released         |                       | -            |             |
//! | its call returns, panics or is dropped |          | ended            |                       | ended        |             |
//! | a router finds the route            | takes it    | takes it         | released              | takes it     | takes it    |
//! | the head goes out                   | counted     | released         | joined (3)            | joined       | joined      |
//! | the layer's future is dropped       | counted     | released         | joined (4)            | joined       | joined      |
//!
//! 1. It replaces the earlier call if both are calls of the same function: a retry.
//! 2. In another request's poll, or in none: it was spawned, or is shared.
//! 3. Released if the call was cancelled: it was given up within the request, which
//!    something else has answered.
//! 4. Released if the call was dropped in a poll of the request: it was given up
//!    within the request, before the client left.
//!
//! A replaced call is counted by itself. After a release nothing is inferred any
//! more in this request. A call that could be the handler by its types, but lacks
//! evidence, is counted by itself; while it lasts, nothing is inferred either.
//! On axum, a function without a body extractor is not inferred once any other
//! annotated function has started after the request was handed over.

#![cfg_attr(
    not(all(feature = "axum", feature = "actix-web", feature = "tonic")),
    allow(dead_code, reason = "each layer needs a part of it")
)]

mod current;
mod judge;
mod method;
mod slot;

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[allow(unused_imports, reason = "of use to one layer")]
pub(crate) use self::current::refine_current;
use self::current::{Poll, ThreadMark, apart, with_current};
pub(crate) use self::current::{is_current, starts};
use self::judge::Verdict;
#[allow(unused_imports, reason = "of use to the layers")]
pub(crate) use self::slot::{Slot, Token};
use crate::call::by_values::Values;
use crate::call::clock::Instant;
use crate::call::extracts::ExtractsOf;
use crate::call::hints;
use crate::call::series::{Series, SeriesRef};
use crate::call::site::{CallSite, series_of_route};
use crate::outcome::{End, Outcome, Protocol};

/// Whether this build has any layer. Without one, no request is ever current, and the
/// compiler removes what a call would do about requests.
pub(crate) const HAS_LAYER: bool = cfg!(feature = "_layer");

/// What a framework matched: bounded in number, since the application wrote it.
pub(crate) type Route = std::borrow::Cow<'static, str>;

/// The label `endpoint` of a request that matched no route.
pub(crate) const UNMATCHED: &str = "unmatched";

/// Whose handlers a request can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framework {
    Axum,
    ActixWeb,
    Tonic,
    Tower,
}

impl Framework {
    fn protocol(self) -> Protocol {
        match self {
            Self::Tonic => Protocol::Grpc,
            Self::Axum | Self::ActixWeb | Self::Tower => Protocol::Http,
        }
    }
}

/// What a call brings as evidence that it is the handler of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence<'a> {
    /// What the return type tells.
    pub(crate) protocol: Protocol,
    pub(crate) is_answer: bool,
    pub(crate) extracts: ExtractsOf,
    pub(crate) carried: Option<&'a Arc<Request>>,
}

/// What a layer knows of a request before it starts.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) framework: Framework,
    pub(crate) method: &'static str,
    pub(crate) route: Option<Route>,
    /// The route, should something answer there.
    pub(crate) candidate: Option<Route>,
    /// Where no route is known. It never becomes a label.
    pub(crate) path: Option<Box<str>>,
}

impl Start {
    /// A request whose route the layer knows, or whose path it keeps instead.
    pub(crate) fn new(
        framework: Framework,
        method: &str,
        route: Option<Route>,
        path: &str,
    ) -> Self {
        Self {
            framework,
            method: method::label(method),
            candidate: None,
            path: route.is_none().then(|| path.into()),
            route,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Request {
    framework: Framework,
    method: &'static str,
    /// How many tokens there are.
    tokens: AtomicU32,
    /// How many layers there are, so far.
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
    /// Something annotated started after the request was handed over.
    has_moved_on: bool,
    claim: Option<Claim>,
    /// Something was released, so nothing is inferred any more.
    is_doubtful: bool,
    /// Those that may be the handler, and are counted by themselves.
    doubtful_calls: u32,
    /// The calls known here that are counted by themselves, until they end.
    apart: Vec<Apart>,
    calls: u32,
    /// In a layer within the one that counts.
    has_panicked: bool,
}

/// Whether the last token was dropped.
#[derive(Debug)]
enum HandedOver {
    No,
    /// In the course of a layer's poll, if it was in one.
    In(Option<Poll>),
}

#[derive(Debug)]
enum Progress {
    /// For its first poll.
    Waiting,
    Running {
        /// Whose gauge the request is in.
        series: SeriesRef,
        started: Instant,
    },
    Over,
}

/// A call that has the request, and where it is counted if it turns out not to
/// be the handler.
#[derive(Debug)]
struct Claim {
    id: CallId,
    by: By,
    site: &'static CallSite,
    values: Option<Arc<Values>>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Its attribute, or its names.
    Word,
    Inference,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// With the thread that polls it.
    Active(Option<ThreadMark>),
    Ended {
        end: End,
        nanos: u64,
        is_judged: bool,
        /// It was dropped in a poll of the request: by a time-out, say.
        is_given_up: bool,
    },
}

#[derive(Debug)]
struct Apart {
    id: CallId,
    series: SeriesRef,
    is_doubtful: bool,
}

/// A call's number in its request, and whether its claim was inferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallId(u32);

impl CallId {
    const INFERRED: u32 = 1 << 31;

    /// Whether its polls matter.
    #[inline]
    pub(crate) fn is_inferred(self) -> bool {
        self.0 & Self::INFERRED != 0
    }
}

/// A call that starts.
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
        } = start;
        Self {
            framework,
            method,
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
            }),
        }
    }

    /// Nothing that it does with the lock can panic but a recorder, after which the
    /// state is as good as before.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At its first poll.
    fn begin(&self) {
        let mut state = self.lock();
        if let Progress::Waiting = state.progress {
            let series = series_of_route(self.method, state.endpoint());
            series.started();
            state.progress = Progress::Running {
                series,
                started: Instant::now(),
            };
        }
    }

    /// What a router within the layer found out about the route. The first word
    /// counts.
    fn refine(&self, route: Option<Route>) {
        let mut state = self.lock();
        if state.route.is_none() && route.is_some() {
            if let Some(Claim {
                by: By::Inference,
                stage: Stage::Ended { .. },
                ..
            }) = state.claim
            {
                // A router comes before its handlers.
                self.release(&mut state);
            }
            self.set_route(&mut state, route);
        }
    }

    fn set_route(&self, state: &mut State, route: Option<Route>) {
        state.route = route;
        let series = match &state.claim {
            Some(claim) => self.series_with(state, claim.site, claim.values.as_deref()),
            None => series_of_route(self.method, state.endpoint()),
        };
        state.move_to(series);
    }

    fn series_with(
        &self,
        state: &State,
        site: &'static CallSite,
        values: Option<&Values>,
    ) -> SeriesRef {
        site.series_of_request(self.method, state.route.as_deref(), values)
    }

    /// The claim's call is counted by itself, and the request under its route.
    fn release(&self, state: &mut State) {
        let Some(claim) = state.claim.take() else {
            return;
        };
        state.is_doubtful = true;
        state.count_apart(claim);
        let series = series_of_route(self.method, state.endpoint());
        state.move_to(series);
    }

    /// A call starts while this request is current.
    fn starts(self: &Arc<Self>, caller: &Caller<'_>) -> Option<Ticket> {
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
            // Beside the claim's call, so that one is not all there is.
            self.release(&mut state);
        }
        let verdict = self.judge(&state, caller);
        state.has_moved_on |= matches!(state.handed_over, HandedOver::In(_));
        let id = match verdict {
            Verdict::Joins(by) => self.join(&mut state, caller, by),
            Verdict::Doubtful => {
                if caller.site.has_labels() {
                    hints::labels_in_doubt(caller.site);
                }
                state.watch(caller)
            }
            Verdict::ByItself => return None,
        };
        Some(Ticket {
            id,
            request: Arc::clone(self),
        })
    }

    fn join(&self, state: &mut State, caller: &Caller<'_>, by: By) -> CallId {
        if let Some(earlier) = state.claim.take() {
            state.count_apart(earlier);
        }
        if state.route.is_none() {
            state.route = state.candidate.take();
        }
        let series = self.series_with(state, caller.site, caller.values.map(|values| &**values));
        state.move_to(series);
        let id = state.next_id(by == By::Inference);
        state.claim = Some(Claim {
            id,
            by,
            site: caller.site,
            values: caller.values.cloned(),
            stage: Stage::Active(ThreadMark::current()),
        });
        id
    }

    /// What is inferred is settled when the head goes out.
    fn settle(&self, state: &mut State, is_dropped: bool) {
        if let Some(claim) = &state.claim
            && claim.by == By::Inference
        {
            let stays = match claim.stage {
                Stage::Active(_) => false,
                // With the request, or instead of it.
                Stage::Ended {
                    end, is_given_up, ..
                } => !is_given_up && (is_dropped || !end.is_cancelled()),
            };
            if !stays {
                self.release(state);
            }
        }
    }

    /// The response's head goes out.
    fn answered(&self, answer: Outcome) {
        let mut state = self.lock();
        self.settle(&mut state, false);
        let answer = answer.end();
        if answer.is_ok() && state.route.is_none() && state.candidate.is_some() {
            // A success proves that something is there.
            let candidate = state.candidate.take();
            self.set_route(&mut state, candidate);
        }
        let end = match state.claim.as_ref().map(|claim| claim.stage) {
            Some(Stage::Ended { end, .. }) if end.is_panicked() => end.answered_with(answer),
            // The function knows better than a status that is fine.
            Some(Stage::Ended {
                end,
                is_judged: true,
                ..
            }) if answer.is_ok() => end.answered_with(answer),
            _ if state.has_panicked && !answer.is_ok() => {
                End::panicked(self.framework.protocol()).answered_with(answer)
            }
            _ => answer,
        };
        state.end(end);
    }

    /// No response's head goes out any more.
    fn dropped(&self, has_panicked: bool) {
        if has_panicked {
            // Perhaps before its first poll.
            self.begin();
        }
        let mut state = self.lock();
        self.settle(&mut state, true);
        let protocol = self.framework.protocol();
        state.end(if has_panicked {
            End::panicked(protocol)
        } else {
            End::cancelled(protocol)
        });
    }

    fn call_ended(&self, id: CallId, end: End, nanos: u64, is_judged: bool) {
        let mut state = self.lock();
        if let Some(claim) = &mut state.claim
            && claim.id == id
        {
            let is_polled = with_current(|current| std::ptr::eq(&**current, self));
            claim.stage = Stage::Ended {
                end,
                nanos,
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
        call.series.ended(end, nanos);
    }

    /// A call whose claim was inferred is polled again.
    fn resumed(&self, id: CallId, is_here: bool) {
        let mut state = self.lock();
        if let Some(claim) = &mut state.claim
            && claim.id == id
            && claim.is_active()
        {
            if is_here {
                claim.stage = Stage::Active(ThreadMark::current());
            } else if let Progress::Running { .. } = state.progress {
                // Moved away from its request, or shared with another one.
                self.release(&mut state);
            }
        }
    }

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

impl State {
    fn endpoint(&self) -> &str {
        self.route.as_deref().unwrap_or(UNMATCHED)
    }

    fn move_to(&mut self, to: SeriesRef) {
        if let Progress::Running { series, .. } = &mut self.progress
            && !std::ptr::eq::<Series>(&**series, &*to)
        {
            to.started();
            std::mem::replace(series, to).moved_away();
        }
    }

    fn end(&mut self, end: End) {
        if let Progress::Running { series, started } =
            std::mem::replace(&mut self.progress, Progress::Over)
        {
            series.ended(end, started.elapsed_nanos());
        }
    }

    fn next_id(&mut self, is_inferred: bool) -> CallId {
        self.calls = (self.calls + 1) % CallId::INFERRED;
        CallId(self.calls | if is_inferred { CallId::INFERRED } else { 0 })
    }

    /// Counts a call by itself that had the request.
    fn count_apart(&mut self, claim: Claim) {
        let series = claim.site.series_of_call(claim.values.as_deref());
        match claim.stage {
            Stage::Active(_) => {
                series.started();
                self.apart.push(Apart {
                    id: claim.id,
                    series,
                    is_doubtful: false,
                });
            }
            Stage::Ended { end, nanos, .. } => series.ended_elsewhere(end, nanos),
        }
    }

    fn watch(&mut self, caller: &Caller<'_>) -> CallId {
        let series = caller
            .site
            .series_of_call(caller.values.map(|values| &**values));
        series.started();
        let id = self.next_id(false);
        self.doubtful_calls += 1;
        self.apart.push(Apart {
            id,
            series,
            is_doubtful: true,
        });
        id
    }
}

impl Claim {
    fn is_active(&self) -> bool {
        matches!(self.stage, Stage::Active(_))
    }

    /// For a call of `site` that is inferred: a retry.
    fn gives_way_to(&self, site: &'static CallSite) -> bool {
        self.by == By::Inference && !self.is_active() && std::ptr::eq(self.site, site)
    }
}

/// What a call keeps of the request that knows it: the one whose handler it is,
/// or may turn out not to be.
#[derive(Debug)]
pub(crate) struct Ticket {
    id: CallId,
    request: Arc<Request>,
}

impl Ticket {
    /// Whether the call is the request's handler, as far as it is known now.
    pub(crate) fn has_joined(&self) -> bool {
        let state = self.request.lock();
        state
            .claim
            .as_ref()
            .is_some_and(|claim| claim.id == self.id)
    }

    /// `is_judged`: by the function of an `outcome = …` argument.
    #[cold]
    pub(crate) fn ended(&self, end: End, nanos: u64, is_judged: bool) {
        self.request.call_ended(self.id, end, nanos, is_judged);
    }

    #[inline]
    pub(crate) fn resumed(&self) {
        if self.id.is_inferred() {
            let is_here = with_current(|current| Arc::ptr_eq(&self.request, current));
            apart(|| self.request.resumed(self.id, is_here == Some(true)));
        }
    }

    #[inline]
    pub(crate) fn suspended(&self) {
        if self.id.is_inferred() {
            self.request.suspended(self.id);
        }
    }
}
