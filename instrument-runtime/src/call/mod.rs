//! One call: started at its first poll, ended exactly once.

pub(crate) mod arguments;
pub(crate) mod by_values;
pub(crate) mod clock;
mod extracts;
mod global;
mod hints;
pub(crate) mod request;
mod series;
pub(crate) mod site;

use std::fmt::Display;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::call::arguments::{Arguments, Carried};
use crate::call::by_values::Values;
use crate::call::clock::Instant;
use crate::call::extracts::{Extracts, ExtractsOf};
use crate::call::request::{Caller, Evidence, Ticket};
use crate::call::series::{Series, SeriesRef};
use crate::call::site::{CallSite, Role};
use crate::outcome::answered::before_the_answer;
use crate::outcome::probe::Teller;
use crate::outcome::{End, Outcome, Protocol};

/// The record of one call. Dropping it before it ended ends it: as panicked if
/// that happens within a poll, as cancelled otherwise.
#[derive(Debug)]
pub struct Call {
    site: &'static CallSite,
    counted: CountedBy,
    /// A pointer, not two bytes: the call is moved word by word when it is made,
    /// and to load a word just after a byte of it was stored stalls.
    function: &'static FunctionType,
    state: State,
}

/// What the types of a function tell about its calls before they end.
#[derive(Debug)]
struct FunctionType {
    protocol: Protocol,
    is_answer: bool,
    extracts: ExtractsOf,
}

impl FunctionType {
    const UNKNOWN: &'static Self = &Self {
        protocol: Protocol::None,
        is_answer: false,
        extracts: ExtractsOf::UNKNOWN,
    };

    const fn of<R, T: Teller<R> + Arguments>() -> &'static Self {
        const {
            &Self {
                protocol: T::PROTOCOL,
                is_answer: T::IS_ANSWER,
                extracts: T::EXTRACTS,
            }
        }
    }
}

impl FunctionType {
    /// Whether only a handler is written this way. A helper may return an answer and
    /// take a string.
    fn fits_handler(&self, site: &CallSite) -> bool {
        let fits = |extracts: Extracts| {
            let is_said = site.has_method() || extracts.is_telling() || extracts.is_request();
            self.is_answer && extracts.are_all() && is_said
        };
        match site.role() {
            Role::Handler => true,
            Role::Open => fits(self.extracts.axum) || fits(self.extracts.actix_web),
            Role::Helper | Role::Never => false,
        }
    }
}

/// Where the call is counted. What has to be dropped stands behind one `Arc`, so
/// that the little there is to do for all others is inlined.
#[derive(Debug)]
enum CountedBy {
    /// Not known before it starts.
    Unknown,
    Kept(&'static Series),
    /// By the request that knows it, whose handler it is or may be.
    ByRequest(Ticket),
    Rare(Arc<Rare>),
}

#[derive(Debug)]
enum Rare {
    Own(Arc<Series>),
    /// Not known before it starts; these are the labels' values, which were
    /// evaluated before it could.
    Ahead(Arc<Values>),
}

impl Rare {
    #[cold]
    fn ended(&self, end: End, nanos: u64) {
        if let Self::Own(series) = self {
            series.ended(end, nanos);
        }
    }
}

impl From<SeriesRef> for CountedBy {
    #[inline]
    fn from(series: SeriesRef) -> Self {
        match series {
            SeriesRef::Kept(series) => Self::Kept(series),
            SeriesRef::Own(series) => Self::Rare(Arc::new(Rare::Own(series))),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Not polled yet: nothing happened, nothing is counted.
    Waiting,
    /// In a poll of the body. A drop that meets this is an unwinding.
    Polled(Instant),
    /// Between two polls.
    Suspended(Instant),
    Ended,
}

impl Call {
    /// A call that is about to start: an `async fn` makes it in its first poll.
    #[must_use]
    pub fn new(site: &'static CallSite, values: &[&dyn Display]) -> Self {
        // A call that may turn out to be a request's handler has other series.
        if request::is_current() {
            return Self::ahead(site, values);
        }
        Self::waiting(site, site.series(values).into(), FunctionType::UNKNOWN)
    }

    /// The same without labels, or with none but literals.
    #[inline]
    #[must_use]
    pub fn unlabelled(site: &'static CallSite) -> Self {
        Self::waiting(site, CountedBy::Unknown, FunctionType::UNKNOWN)
    }

    /// A call that may never start: the future that a plain function returns.
    /// Its labels are evaluated now, as the function's statements are.
    #[must_use]
    pub fn ahead(site: &'static CallSite, values: &[&dyn Display]) -> Self {
        let values = Arc::new(Values::of(values));
        let counted = CountedBy::Rare(Arc::new(Rare::Ahead(values)));
        Self::waiting(site, counted, FunctionType::UNKNOWN)
    }

    #[inline]
    fn waiting(
        site: &'static CallSite,
        counted: CountedBy,
        function: &'static FunctionType,
    ) -> Self {
        Self {
            site,
            counted,
            function,
            state: State::Waiting,
        }
    }

    #[inline]
    fn enter(&mut self, carried: Option<&Carried>) {
        self.state = match self.state {
            State::Suspended(started) => {
                if let CountedBy::ByRequest(ticket) = &self.counted {
                    ticket.resumed();
                }
                State::Polled(started)
            }
            State::Waiting => {
                self.start(carried);
                State::Polled(Instant::now())
            }
            // The body itself panics on a poll after its end.
            state => state,
        };
    }

    #[inline]
    fn start(&mut self, carried: Option<&Carried>) {
        match &self.counted {
            CountedBy::Kept(series) => series.started(),
            CountedBy::Unknown => {
                if self.is_known_to_request(None, carried) {
                    return;
                }
                match self.site.kept_series(|| self.is_first()) {
                    Some(series) => {
                        series.started();
                        self.counted = CountedBy::Kept(series);
                    }
                    None => self.start_own(),
                }
            }
            CountedBy::ByRequest(_) => {}
            CountedBy::Rare(_) => self.start_rare(carried),
        }
    }

    /// The first call of this function that is counted by itself.
    #[cold]
    fn is_first(&self) {
        if request::HAS_LAYER && !request::is_current() && self.function.fits_handler(self.site) {
            hints::handler_without_request(self.site, self.site.is_named());
        }
    }

    #[cold]
    fn start_rare(&mut self, carried: Option<&Carried>) {
        let CountedBy::Rare(rare) = &self.counted else {
            return;
        };
        let rare = Arc::clone(rare);
        match &*rare {
            Rare::Own(series) => series.started(),
            Rare::Ahead(values) => {
                if !self.is_known_to_request(Some(values), carried) {
                    self.start_in(self.site.series_of_call(Some(values)));
                }
            }
        }
    }

    /// Where the current recorder is not our own.
    #[cold]
    fn start_own(&mut self) {
        self.start_in(self.site.own_series());
    }

    fn start_in(&mut self, series: SeriesRef) {
        series.started();
        self.counted = series.into();
    }

    /// Whether the current request knows it from now on, and counts it.
    #[inline]
    fn is_known_to_request(
        &mut self,
        values: Option<&Arc<Values>>,
        carried: Option<&Carried>,
    ) -> bool {
        request::is_current() && self.makes_itself_known(values, carried)
    }

    #[cold]
    fn makes_itself_known(
        &mut self,
        values: Option<&Arc<Values>>,
        carried: Option<&Carried>,
    ) -> bool {
        let ticket = request::starts(&Caller {
            site: self.site,
            values,
            evidence: Evidence {
                protocol: self.function.protocol,
                is_answer: self.function.is_answer,
                extracts: self.function.extracts,
                carried: carried.and_then(Carried::request),
            },
        });
        let Some(ticket) = ticket else {
            return false;
        };
        self.counted = CountedBy::ByRequest(ticket);
        true
    }

    /// Polls the body as a part of this call.
    #[inline]
    fn poll<F: Future, T: Teller<F::Output> + Arguments>(
        &mut self,
        body: Pin<&mut F>,
        teller: &T,
        context: &mut Context<'_>,
    ) -> Poll<F::Output> {
        self.enter(teller.carried());
        let output = body.poll(context);
        match &output {
            // A panic in `tell` finds the call still in its poll.
            Poll::Ready(value) => {
                let is_request = self.site.has_method();
                let outcome = self.ask(|| teller.tell(value, is_request));
                self.finish(outcome.end(), T::IS_JUDGE);
            }
            Poll::Pending => self.suspend(),
        }
        output
    }

    #[inline]
    fn suspend(&mut self) {
        if let State::Polled(started) = self.state {
            if let CountedBy::ByRequest(ticket) = &self.counted {
                ticket.suspended();
            }
            self.state = State::Suspended(started);
        }
    }

    /// Asks what was returned for its outcome.
    #[inline]
    fn ask(&self, ask: impl FnOnce() -> Outcome) -> Outcome {
        if cfg!(feature = "actix-web")
            && let CountedBy::ByRequest(ticket) = &self.counted
            && ticket.has_joined()
        {
            return before_the_answer(ask);
        }
        ask()
    }

    /// `is_judged`: by the function of an `outcome = …` argument.
    fn finish(&mut self, end: End, is_judged: bool) {
        self.end(end, is_judged);
    }

    #[cold]
    fn give_up(&mut self) {
        let protocol = if self.site.has_method() {
            Protocol::Http
        } else {
            self.function.protocol
        };
        let end = match self.state {
            State::Polled(_) => End::panicked(protocol),
            _ => End::cancelled(protocol),
        };
        self.end(end, false);
    }

    #[inline(always)]
    fn end(&mut self, end: End, is_judged: bool) {
        let (State::Polled(started) | State::Suspended(started)) = self.state else {
            return;
        };
        self.state = State::Ended;
        let nanos = started.elapsed_nanos();
        match &self.counted {
            CountedBy::Kept(series) => series.ended(end, nanos),
            CountedBy::ByRequest(ticket) => ticket.ended(end, nanos, is_judged),
            CountedBy::Rare(rare) => rare.ended(end, nanos),
            CountedBy::Unknown => {}
        }
    }
}

// What unwinding finds half done is the body's, not the call's: it counts its end
// when it is dropped.
impl UnwindSafe for Call {}
impl RefUnwindSafe for Call {}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        // Most calls have ended by now.
        if let State::Polled(_) | State::Suspended(_) = self.state {
            self.give_up();
        }
    }
}

/// A call whose labels are being evaluated. If that panics, the call is counted
/// without them.
#[derive(Debug)]
pub struct Labelling {
    site: &'static CallSite,
    /// Another panic is under way, in whose course this call is made.
    was_panicking: bool,
}

impl Labelling {
    /// Before the first label is evaluated.
    #[must_use]
    pub fn of(site: &'static CallSite) -> Self {
        Self {
            site,
            was_panicking: std::thread::panicking(),
        }
    }

    /// See [`Call::new`].
    #[must_use]
    pub fn call(self, values: &[&dyn Display]) -> Call {
        let call = Call::new(self.site, values);
        std::mem::forget(self);
        call
    }

    /// See [`Call::ahead`].
    #[must_use]
    pub fn call_ahead(self, values: &[&dyn Display]) -> Call {
        let call = Call::ahead(self.site, values);
        std::mem::forget(self);
        call
    }
}

impl Drop for Labelling {
    /// A label may also return from the function, or be dropped while it awaits:
    /// then the call never started.
    fn drop(&mut self) {
        if std::thread::panicking() && !self.was_panicking {
            let mut call = Call::waiting(self.site, CountedBy::Unknown, FunctionType::UNKNOWN);
            call.enter(None);
            call.give_up();
        }
    }
}

pin_project! {
    /// A function's body with its call around it.
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Instrumented<F, T> {
        // Dropped before the call, so that what the body drops is part of it.
        #[pin]
        body: F,
        call: Call,
        teller: T,
    }
}

impl<F, T> std::fmt::Debug for Instrumented<F, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instrumented")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

impl<F: Future, T: Teller<F::Output> + Arguments> Instrumented<F, T> {
    /// Without labels, or with none but literals.
    #[inline]
    pub fn new(site: &'static CallSite, body: F, teller: T) -> Self {
        Self::labelled(Call::unlabelled(site), body, teller)
    }

    /// With labels that were evaluated for this call, which has not started.
    #[inline]
    pub fn labelled(mut call: Call, body: F, teller: T) -> Self {
        call.function = FunctionType::of::<F::Output, T>();
        Self { body, call, teller }
    }
}

impl<F: Future, T: Teller<F::Output> + Arguments> Future for Instrumented<F, T> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.call.poll(this.body, this.teller, context)
    }
}

/// An async function's body with its call around it, both of which the function
/// holds.
///
/// The function awaits this instead of an [`Instrumented`], because the compiler
/// asks of a future what it asks of each type that the future holds, one inside the
/// other, and `recursion_limit` bounds how deep it goes. Held side by side, the body
/// is one level less deep.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct Running<'a, F, T> {
    call: &'a mut Call,
    body: Pin<&'a mut F>,
    teller: T,
}

// A `&mut` is not unwind safe, because what it borrows can be seen afterwards. Here
// nobody else sees it: the function that holds the body and the call holds this too.
impl<F: UnwindSafe, T: UnwindSafe> UnwindSafe for Running<'_, F, T> {}

impl<F, T> std::fmt::Debug for Running<'_, F, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

impl<'a, F: Future, T: Teller<F::Output> + Arguments> Running<'a, F, T> {
    /// With a call that has not started.
    #[inline]
    pub fn new(call: &'a mut Call, body: Pin<&'a mut F>, teller: T) -> Self {
        call.function = FunctionType::of::<F::Output, T>();
        Self { call, body, teller }
    }
}

impl<F: Future, T: Teller<F::Output> + Arguments + Unpin> Future for Running<'_, F, T> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        this.call.poll(this.body.as_mut(), &this.teller, context)
    }
}
