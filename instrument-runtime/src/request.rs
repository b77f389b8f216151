//! One request, as a layer sees it, and the annotated function that is its
//! handler: the request is counted once, with the labels, the endpoint and the
//! outcome of that function. Every other annotated call is counted by itself.
//!
//! # Identity
//!
//! A [`Request`] is shared: by the future of the layer that counts it, by each
//! layer within that one, and by the calls that it knows of. A [`Token`] in the
//! request's extensions leads from the request itself to its `Request`, also on
//! another task or thread. The thread-local [`CURRENT`] is asked only when a
//! call starts. A call that joined ends in the request that it joined, whichever
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
//! A claim by 2 or 3 is *said*, one by 4 is *inferred* and stays tentative until
//! the response's head goes out. "Released" means that the request goes back to
//! its route and the call to its own series: in progress if it runs, with its
//! end if it has ended.
//!
//! | event                           | none   | inferred, active         | inferred, ended       | said, active | said, ended |
//! |---------------------------------|--------|--------------------------|-----------------------|--------------|-------------|
//! | a call starts, said             | joins  | by itself                | released, joins       | by itself    | replaces    |
//! | a call starts, inferred         | joins  | by itself                | by itself (*)         | by itself    | by itself   |
//! | any call starts outside its poll|        | released                 |                       |              |             |
//! | it is polled in another request |        | released                 |                       |              |             |
//! | it returns or panics            |        | ended                    |                       | ended        |             |
//! | it is dropped                   |        | ended, as cancelled      |                       | ended        |             |
//! | a route is found                |        | keeps it                 | released              | keeps it     | keeps it    |
//! | the head goes out               | route  | released                 | joined (**)           | joined       | joined      |
//! | the layer's future is dropped   | route  | released                 | joined                | joined       | joined      |
//!
//! (*) Replaces it, if it is the same function (a retry) or if the earlier one was
//! cancelled. (**) Released, if it was cancelled: whoever gave it up answered.
//!
//! What was replaced is counted by itself. After a release nothing is inferred
//! any more. A call that could be the handler by its types, but for want of
//! evidence is not, is counted by itself and keeps what it calls from being
//! inferred.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::arguments::{Evidence, Extracts};
use crate::call_site::{CallSite, Role};
use crate::clock::Instant;
use crate::diagnostics;
use crate::outcome::{End, Outcome, Protocol};
use crate::request_series::series_of;
use crate::series::{Series, SeriesRef};
use crate::values::Values;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Request>>> = const { RefCell::new(None) };
    /// Whether there is one, for calls outside of all requests.
    static IS_CURRENT: Cell<bool> = const { Cell::new(false) };
}

/// What a framework matched: bounded in number, since the application wrote it.
pub(crate) type Route = std::borrow::Cow<'static, str>;

/// The label `endpoint` of a request that matched no route.
pub(crate) const UNMATCHED: &str = "unmatched";

/// Whose handlers a request can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framework {
    #[cfg(feature = "axum")]
    Axum,
    #[cfg(feature = "actix-web")]
    ActixWeb,
    #[cfg(feature = "tonic")]
    Tonic,
    #[cfg(feature = "tower")]
    Tower,
}

impl Framework {
    fn protocol(self) -> Protocol {
        match self {
            #[cfg(feature = "tonic")]
            Self::Tonic => Protocol::Grpc,
            #[allow(unreachable_patterns, reason = "tonic may be the only one")]
            _ => Protocol::Http,
        }
    }
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

#[derive(Debug)]
pub(crate) struct Request {
    framework: Framework,
    method: &'static str,
    /// How many tokens there are.
    tokens: AtomicU32,
    /// How many polls of the layers' inner futures have ended.
    polls: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    progress: Progress,
    route: Option<Route>,
    candidate: Option<Route>,
    path: Option<Box<str>>,
    /// The number of the poll in which the last token was dropped.
    handed_over_in: Option<u32>,
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

/// What becomes of a call that starts.
enum Verdict {
    Joins(By),
    /// It could be the handler: by itself, and so is what it calls.
    Doubtful,
    ByItself,
}

/// What a function's names say about a request.
#[derive(PartialEq, Eq)]
enum Names {
    Nothing,
    /// They are the request's.
    Same,
    /// The endpoint is another one.
    OtherEndpoint,
    OtherMethod,
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
            polls: AtomicU32::new(0),
            state: Mutex::new(State {
                progress: Progress::Waiting,
                route,
                candidate,
                path,
                handed_over_in: None,
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
            let series = series_of(self.method, state.endpoint());
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
            None => series_of(self.method, state.endpoint()),
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
        let series = series_of(self.method, state.endpoint());
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
        let id = match self.judge(&state, caller) {
            Verdict::Joins(by) => self.join(&mut state, caller, by),
            Verdict::Doubtful => {
                if caller.site.has_labels() {
                    diagnostics::labels_in_doubt(caller.site);
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

    fn judge(&self, state: &State, caller: &Caller<'_>) -> Verdict {
        let names = match caller.site.role() {
            Role::Never => return Verdict::ByItself,
            Role::Handler => Names::Same,
            Role::Open | Role::Helper => self.names(state, caller.site),
        };
        match names {
            Names::OtherMethod => Verdict::ByItself,
            Names::Same => match &state.claim {
                Some(claim) if claim.is_active() => Verdict::ByItself,
                _ => Verdict::Joins(By::Word),
            },
            Names::Nothing | Names::OtherEndpoint => {
                self.infer(state, caller, names == Names::OtherEndpoint)
            }
        }
    }

    fn names(&self, state: &State, site: &CallSite) -> Names {
        let method = site.method();
        let is_method = method == self.method || (method, self.method) == ("GET", "HEAD");
        if !method.is_empty() && !is_method {
            return Names::OtherMethod;
        }
        let Some(endpoint) = site.endpoint() else {
            // A method alone is the method of many.
            return Names::Nothing;
        };
        let is_endpoint = match (state.route.as_deref(), state.candidate.as_deref()) {
            (Some(route), _) | (None, Some(route)) => ends_with(route, endpoint),
            (None, None) => match &state.path {
                Some(path) => matches(endpoint, path),
                None => false,
            },
        };
        match is_endpoint {
            false => Names::OtherEndpoint,
            true if method.is_empty() => Names::Nothing,
            true => Names::Same,
        }
    }

    /// What there is to go by where neither a word nor a name says it.
    fn infer(&self, state: &State, caller: &Caller<'_>, has_other_endpoint: bool) -> Verdict {
        let Evidence {
            protocol,
            is_answer,
            extracts,
            carried,
        } = caller.evidence;
        let is_carried = carried.is_some_and(|request| std::ptr::eq(&**request, self));
        let is_callable =
            is_answer && protocol != Protocol::Grpc && caller.site.role() == Role::Open;
        let (could_be, is_certain) = match self.framework {
            #[cfg(feature = "axum")]
            Framework::Axum => (
                is_callable && extracts.axum.are_all(),
                is_carried || !has_other_endpoint && self.is_handed_to(state, extracts.axum),
            ),
            #[cfg(feature = "actix-web")]
            Framework::ActixWeb => (
                is_callable && extracts.actix_web.are_all(),
                !has_other_endpoint && state.route.is_some() && extracts.actix_web.is_telling(),
            ),
            // A service's methods take `&self`.
            #[cfg(feature = "tonic")]
            Framework::Tonic => (protocol == Protocol::Grpc && is_carried, true),
            #[cfg(feature = "tower")]
            Framework::Tower => (
                is_callable && protocol == Protocol::Http && is_carried,
                true,
            ),
        };
        #[cfg(not(any(feature = "axum", feature = "actix-web")))]
        let _ = (extracts, has_other_endpoint);
        if !could_be {
            return Verdict::ByItself;
        }
        match &state.claim {
            Some(claim) if claim.is_active() => return Verdict::ByItself,
            Some(claim) if !claim.gives_way_to(caller.site) => return Verdict::ByItself,
            _ => {}
        }
        if is_certain && !state.is_doubtful && state.doubtful_calls == 0 {
            Verdict::Joins(By::Inference)
        } else {
            Verdict::Doubtful
        }
    }

    /// axum calls a handler as soon as the last extractor is done, and only one for
    /// the body takes the request apart before it is.
    #[cfg(feature = "axum")]
    fn is_handed_to(&self, state: &State, extracts: Extracts) -> bool {
        let Some(handed_over_in) = state.handed_over_in else {
            return false;
        };
        if extracts.is_request() {
            // Another one: it would have been carried.
            false
        } else if extracts.has_body() {
            extracts.is_telling()
        } else {
            handed_over_in == self.polls.load(Ordering::Relaxed)
        }
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
                Stage::Ended { end, .. } => is_dropped || !end.is_cancelled(),
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
            claim.stage = Stage::Ended {
                end,
                nanos,
                is_judged,
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

    /// For a call of `site` that is inferred.
    fn gives_way_to(&self, site: &'static CallSite) -> bool {
        let is_cancelled = match self.stage {
            Stage::Active(_) => false,
            Stage::Ended { end, .. } => end.is_cancelled(),
        };
        self.by == By::Inference && (is_cancelled || std::ptr::eq(self.site, site))
    }
}

/// Whether `route` is `endpoint`, or that with what it is nested in before it.
fn ends_with(route: &str, endpoint: &str) -> bool {
    route == endpoint || endpoint.starts_with('/') && route.ends_with(endpoint)
}

/// Whether a path is one of a route pattern's, of any framework's notation:
/// `{id}`, `{id:\d+}`, `:id`, `<id>`; `{*rest}`, `*rest` and `<rest..>` take all
/// that is left.
fn matches(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let is_rest = expected.starts_with("{*")
            || expected.starts_with('*')
            || expected.starts_with('<') && expected.ends_with("..>");
        let Some(segment) = segments.next() else {
            return false;
        };
        if is_rest {
            return true;
        }
        let is_parameter = expected.starts_with('{') && expected.ends_with('}')
            || expected.starts_with('<') && expected.ends_with('>')
            || expected.len() > 1 && expected.starts_with(':');
        if is_parameter && segment.is_empty() || !is_parameter && expected != segment {
            return false;
        }
    }
    segments.next().is_none()
}

/// A thread, while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ThreadMark(usize);

impl ThreadMark {
    fn current() -> Option<Self> {
        let address = CURRENT.try_with(|current| std::ptr::from_ref(current).addr());
        address.ok().map(Self)
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
    #[cfg(feature = "actix-web")]
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
            let poll = self.0.polls.load(Ordering::Relaxed);
            self.0.lock().handed_over_in = Some(poll);
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
}

impl Slot {
    /// `found` is what was in the request's extensions.
    pub(crate) fn new(start: Start, found: Option<&Token>) -> Self {
        let (request, is_counted_here, route) = match found {
            Some(token) => (Arc::clone(token.request()), false, start.route),
            None => (Arc::new(Request::new(start)), true, None),
        };
        Self {
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
    #[cfg(feature = "tonic")]
    pub(crate) fn none() -> Self {
        Self {
            request: None,
            is_counted_here: false,
            is_new: false,
            route: None,
            is_polled: false,
        }
    }

    /// Calls the service that answers the request: a panic is one of the request.
    pub(crate) fn call<T>(&mut self, call: impl FnOnce() -> T) -> T {
        self.is_polled = true;
        let called = call();
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
        let polled = within(&mut self.request, poll);
        self.is_polled = false;
        if let Some(request) = &self.request {
            request.polls.fetch_add(1, Ordering::Relaxed);
        }
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
    #[cfg(feature = "tonic")]
    pub(crate) fn panicked(&mut self) {
        self.over(true);
    }

    /// The same request, to be answered later.
    #[cfg(any(feature = "tonic", feature = "actix-web"))]
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
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.over(self.is_polled);
    }
}

/// Changes the current request for the one in `slot`. Nothing is current on a
/// thread whose thread-locals are being destroyed.
fn swap_current(slot: &mut Option<Arc<Request>>) {
    let _ = CURRENT.try_with(|current| {
        let mut current = current.borrow_mut();
        std::mem::swap(&mut *current, slot);
        IS_CURRENT.set(current.is_some());
    });
}

/// Runs `run` with the request in `slot` as the current one.
fn within<T>(slot: &mut Option<Arc<Request>>, run: impl FnOnce() -> T) -> T {
    /// Puts all back as it was, also when `run` panics.
    struct Restore<'a>(&'a mut Option<Arc<Request>>);

    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            swap_current(self.0);
        }
    }

    swap_current(slot);
    let _restore = Restore(slot);
    run()
}

/// Runs `run` where no request is current: a recorder may call what it likes.
fn apart<T>(run: impl FnOnce() -> T) -> T {
    if is_current() {
        within(&mut None, run)
    } else {
        run()
    }
}

fn with_current<T>(ask: impl FnOnce(&Arc<Request>) -> T) -> Option<T> {
    let asked = CURRENT.try_with(|current| current.try_borrow().ok()?.as_ref().map(ask));
    asked.ok().flatten()
}

#[cfg(feature = "actix-web")]
thread_local! {
    static IS_ANSWERED_BY_LAYER: Cell<bool> = const { Cell::new(false) };
}

/// Asks a handler's return value for its outcome, which matters less than the answer
/// that the layer is going to see.
#[cfg(feature = "actix-web")]
pub(crate) fn before_the_answer<T>(ask: impl FnOnce() -> T) -> T {
    /// Puts it back, also when `ask` panics.
    struct Restore(bool);

    impl Drop for Restore {
        fn drop(&mut self) {
            IS_ANSWERED_BY_LAYER.set(self.0);
        }
    }

    let _restore = Restore(IS_ANSWERED_BY_LAYER.replace(true));
    ask()
}

/// Whether the layer is going to see the answer of the call that is asked for its
/// outcome.
#[cfg(feature = "actix-web")]
pub(crate) fn is_answered_by_layer() -> bool {
    IS_ANSWERED_BY_LAYER.get()
}

/// Whether a call that starts now is within a request.
#[inline]
pub(crate) fn is_current() -> bool {
    IS_CURRENT.get()
}

/// Whether the current request knows the call that starts: as its handler, or as
/// one that could be.
#[cold]
pub(crate) fn starts(caller: &Caller<'_>) -> Option<Ticket> {
    let request = with_current(Arc::clone)?;
    apart(|| request.starts(caller))
}

/// Tells the current request its route.
#[cfg(feature = "tower")]
pub(crate) fn refine_current(route: Route) {
    if let Some(request) = with_current(Arc::clone) {
        apart(|| request.refine(Some(route)));
    }
}
