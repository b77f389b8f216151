//! One call of an annotated function. A call ends exactly once. It starts at its first
//! poll or, if the function is not async, when the function is called.
//!
//! # Files
//!
//! | file                | contents                                                            |
//! |---------------------|---------------------------------------------------------------------|
//! | `mod.rs`            | [`Call`], and the futures that poll a function's body as part of it |
//! | `awaited_labels.rs` | calls whose labels await                                            |
//! | `plain.rs`          | calls of functions that are not async                               |
//! | `question_mark.rs`  | the `?` operator, for bodies that run in place                      |
//! | `site.rs`           | [`CallSite`]: the static of a function, with its labels and series  |
//! | `by_values.rs`      | the values of dynamic labels, and the series by these values        |
//! | `counted.rs`        | what a series counts, and the keys of its metrics                   |
//! | `series.rs`         | the handles of one label set: gauge, counters, histograms           |
//! | `request/`          | the request that is current, and which call is its handler          |
//! | `arguments.rs`      | finds out from the argument types whether they are extractors       |
//! | `extracts.rs`       | the results of `arguments.rs`                                       |
//! | `global.rs`         | which recorder is current: our own, another one, or none            |
//! | `clock.rs`          | the monotonic clock                                                 |
//! | `head.rs`           | the settings of a layer: labels, and requests that are not counted  |
//! | `hints.rs`          | messages on stderr about calls that will not show up in the metrics |
//!
//! # The life of a call
//!
//! ```text
//!                   first poll:               Pending
//!  new  ┌─────────┐ gauge + 1  ┌────────┐ ──────────────► ┌───────────┐
//! ─────►│ Waiting │───────────►│ Polled │                 │ Suspended │
//!       └────┬────┘ clock      └─┬────┬─┘ ◄────────────── └─────┬─────┘
//!            │      starts       │    │        next poll        │
//!       drop │             Ready │    │ drop                    │ drop
//!            ▼                   │    │                         │
//!     counts nothing             │    │ panicked                │ cancelled
//!                                ▼    ▼                         ▼
//!                              ┌──────────────────────────────────┐
//!                              │ Ended: gauge - 1, counter + 1,   │
//!                              │ latency into the histogram       │
//!                              └──────────────────────────────────┘
//! ```
//!
//! - A call that **returns** is counted by `Call::poll`, with the outcome that is read
//!   from the return value.
//! - A **cancelled** call is one whose future was dropped between two polls. `Drop` calls
//!   `Call::give_up`, which finds the state `Suspended` and counts the call as
//!   `cancelled`.
//! - A **panicked** call is one whose body unwound out of a poll. `Call::poll` did not
//!   return, so the state is still `Polled`. `Drop` calls `Call::give_up`, which counts
//!   the call as `panicked`.
//! - A future that is dropped before its first poll never started and is not counted.
//! - The call of a function that is not async takes the same way as a call that ends in its
//!   first poll: `plain.rs` enters the state `Polled`, and never `Suspended`.
//!
//! If the age of the oldest call is turned on, a call that starts also gets a place in its
//! series, where its start is stored. Wherever the call leaves the gauge, it gives the place
//! back.
//!
//! If a layer's request is current and the call is its handler, the call itself is not
//! counted. The request moves to the handler's series, and is counted there when the head
//! of its response goes out (see [`request`]).

pub(crate) mod arguments;
pub(crate) mod awaited_labels;
pub(crate) mod by_values;
pub(crate) mod clock;
pub(crate) mod counted;
mod extracts;
mod global;
pub(crate) mod head;
mod hints;
pub(crate) mod plain;
pub(crate) mod question_mark;
pub(crate) mod request;
mod series;
pub(crate) mod site;

use std::fmt::Display;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::call::arguments::{Arguments, Carried};
use crate::call::by_values::Values;
use crate::call::clock::{Elapsed, Instant};
use crate::call::extracts::{Extracts, ExtractsOf};
use crate::call::request::{Caller, Evidence, Ticket};
use crate::call::series::{Series, SeriesRef, Started, Trace};
use crate::call::site::{CallSite, Role};
use crate::outcome::answered::before_the_answer;
use crate::outcome::probe::Teller;
use crate::outcome::{End, Outcome, Protocol};
use crate::recorder::direct::Place;

/// The record of one call.
///
/// Dropping a call that has started and not ended counts it: as panicked during a poll,
/// as cancelled between two polls.
#[derive(Debug)]
pub struct Call {
    site: &'static CallSite,
    counted: CountedBy,
    /// A pointer rather than the fields themselves: moving the struct word by word right
    /// after byte stores would defeat store-to-load forwarding.
    function: &'static FunctionType,
    state: State,
}

/// Properties of a call that follow from the types of its function, so that they are
/// known before the call has ended.
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
    /// Returns whether the function looks like a handler and not like a helper.
    ///
    /// Extractors as arguments and a response as the return type are not enough, because
    /// a helper may take a `String` and return a response. The function must also have a
    /// method, or an argument that helpers seldom take.
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

/// Where the call is counted.
///
/// The rare variants are in an enum of their own, [`Rare`], behind an `Arc`. This keeps
/// the drop glue of the common variants small enough to be inlined.
#[derive(Debug)]
enum CountedBy {
    /// Not decided yet. Decided when the call starts.
    Unknown,
    /// By itself, in a series that the call site caches. The place is known once the call has
    /// started.
    ///
    /// Calls without a place have no variant of their own: with one more variant, the compiler
    /// uses jump tables, which cost each call about ten instructions.
    Kept(&'static Series, Option<Place>),
    /// By the request whose handler the call is or may be.
    ByRequest(Ticket),
    Rare(Arc<Rare>),
}

impl CountedBy {
    /// Returns the place for a call that starts next.
    fn values(site: &'static CallSite, values: &[&dyn Display]) -> Self {
        // The handler of a request is counted in other series, and whether this call is
        // the handler is decided only when it starts.
        if request::is_current() {
            return Self::ahead(values);
        }
        site.series(values).into()
    }

    /// Returns the place for a call that may never start.
    fn ahead(values: &[&dyn Display]) -> Self {
        Self::Rare(Arc::new(Rare::Ahead(Arc::new(Values::of(values)))))
    }
}

#[derive(Debug)]
enum Rare {
    /// By itself, in a series that is not cached. The place is known once the call has
    /// started.
    Own(Arc<Series>, OnceLock<Place>),
    /// Not decided yet. Decided when the call starts, with label values that were
    /// evaluated earlier.
    Ahead(Arc<Values>),
}

impl Rare {
    #[cold]
    fn ended(&self, end: End, elapsed: Elapsed) {
        if let Self::Own(series, place) = self {
            series.ended(place.get().copied(), end, elapsed, Trace::Current);
        }
    }
}

impl From<SeriesRef> for CountedBy {
    #[inline]
    fn from(series: SeriesRef) -> Self {
        match series {
            SeriesRef::Kept(series) => Self::Kept(series, None),
            SeriesRef::Own(series) => Self::Rare(Arc::new(Rare::Own(series, OnceLock::new()))),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Not polled yet. Nothing is counted.
    Waiting,
    /// During a poll of the body. A call that is dropped in this state has panicked.
    Polled(Instant),
    /// Between two polls. A call that is dropped in this state was cancelled.
    Suspended(Instant),
    /// Counted.
    Ended,
}

impl Call {
    /// Creates a call that starts immediately afterwards. An `async fn` calls this
    /// function in its first poll, and a plain function when it is called.
    #[must_use]
    pub fn new(site: &'static CallSite, values: &[&dyn Display]) -> Self {
        Self::waiting(site, CountedBy::values(site, values), FunctionType::UNKNOWN)
    }

    /// Creates a call of a function without labels or with literal labels only.
    #[inline]
    #[must_use]
    pub fn unlabelled(site: &'static CallSite) -> Self {
        Self::waiting(site, CountedBy::Unknown, FunctionType::UNKNOWN)
    }

    /// Creates a call that may never start, for a function that is not `async` and
    /// returns a future.
    ///
    /// The labels are evaluated when the function is called, and not in the first poll.
    #[must_use]
    pub fn ahead(site: &'static CallSite, values: &[&dyn Display]) -> Self {
        Self::waiting(site, CountedBy::ahead(values), FunctionType::UNKNOWN)
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
            State::Waiting => State::Polled(self.start(carried)),
            // Polled after completion: the body itself panics.
            state => state,
        };
    }

    /// Starts the call in its series, and then its clock. Returns the start.
    #[inline]
    fn start(&mut self, carried: Option<&Carried>) -> Instant {
        match &self.counted {
            &CountedBy::Kept(series, _) => self.start_kept(series),
            CountedBy::Unknown => {
                if let Some(start) = self.offer_to_request(None, carried) {
                    return start;
                }
                match self.site.kept_series(|| self.is_first()) {
                    Some(series) => self.start_kept(series),
                    None => self.start_own(),
                }
            }
            CountedBy::ByRequest(_) => Instant::now(),
            CountedBy::Rare(_) => self.start_rare(carried),
        }
    }

    #[inline(always)]
    fn start_kept(&mut self, series: &'static Series) -> Instant {
        match series.started_without_place() {
            Some(start) => {
                self.counted = CountedBy::Kept(series, None);
                start
            }
            None => self.start_in_place(series),
        }
    }

    /// Out of line, to keep the path of a call without a place small.
    #[inline(never)]
    fn start_in_place(&mut self, series: &'static Series) -> Instant {
        let Started { at, place } = series.started();
        self.counted = CountedBy::Kept(series, place);
        at
    }

    /// Reports a handler that runs outside every request. Runs for the first call of this
    /// function that is counted by itself in our own recorder, and only if the function
    /// has no dynamic labels.
    #[cold]
    fn is_first(&self) {
        if request::HAS_LAYER && !request::is_current() && self.function.fits_handler(self.site) {
            hints::handler_without_request(self.site, self.site.is_named());
        }
    }

    #[cold]
    fn start_rare(&mut self, carried: Option<&Carried>) -> Instant {
        let CountedBy::Rare(rare) = &self.counted else {
            return Instant::now();
        };
        let values = match &**rare {
            Rare::Own(series, known) => {
                let Started { at, place } = series.started();
                if let Some(place) = place {
                    // The call starts once, so the place was not set before.
                    let _ = known.set(place);
                }
                return at;
            }
            Rare::Ahead(values) => Arc::clone(values),
        };
        match self.offer_to_request(Some(&values), carried) {
            Some(start) => start,
            None => self.start_in(self.site.series_of_call(Some(&values))),
        }
    }

    /// Starts a call when our own recorder is not the current recorder.
    #[cold]
    fn start_own(&mut self) -> Instant {
        self.start_in(self.site.own_series())
    }

    fn start_in(&mut self, series: SeriesRef) -> Instant {
        let Started { at, place } = series.started();
        self.counted = match series {
            SeriesRef::Kept(series) => CountedBy::Kept(series, place),
            SeriesRef::Own(series) => {
                let place = place.map_or_else(OnceLock::new, OnceLock::from);
                CountedBy::Rare(Arc::new(Rare::Own(series, place)))
            }
        };
        at
    }

    /// Offers the call to the current request. If the request keeps track of the call from
    /// now on, returns the start of the call.
    #[inline]
    fn offer_to_request(
        &mut self,
        values: Option<&Arc<Values>>,
        carried: Option<&Carried>,
    ) -> Option<Instant> {
        if request::is_current() {
            self.make_known(values, carried)
        } else {
            None
        }
    }

    #[cold]
    fn make_known(
        &mut self,
        values: Option<&Arc<Values>>,
        carried: Option<&Carried>,
    ) -> Option<Instant> {
        let (ticket, start) = request::starts(&Caller {
            site: self.site,
            values,
            evidence: Evidence {
                protocol: self.function.protocol,
                is_answer: self.function.is_answer,
                extracts: self.function.extracts,
                carried: carried.and_then(Carried::request),
            },
        })?;
        self.counted = CountedBy::ByRequest(ticket);
        Some(start)
    }

    /// Polls the body as part of this call.
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
            Poll::Ready(value) => self.returned(value, teller),
            Poll::Pending => self.suspend(),
        }
        output
    }

    /// Ends the call with the outcome of the value that the body returned.
    #[inline]
    fn returned<R, T: Teller<R>>(&mut self, value: &R, teller: &T) {
        let is_request = self.site.has_method();
        // The state is still `Polled`, so a panic in `tell` counts as panicked.
        let outcome = self.ask(|| teller.tell(value, is_request));
        self.finish(outcome.end(), T::IS_JUDGE);
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

    /// Calls `ask`, which reads the outcome from the return value.
    ///
    /// Sets the flag of [`outcome::answered`](crate::outcome::answered) for a handler in
    /// a layer's request.
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

    /// Ends the call. `is_judged` is whether the outcome comes from an `outcome = …`
    /// argument.
    fn finish(&mut self, end: End, is_judged: bool) {
        self.end(end, is_judged);
    }

    #[cold]
    fn give_up(&mut self) {
        let protocol = match self.function.protocol {
            Protocol::None if self.site.has_method() => Protocol::Http,
            protocol => protocol,
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
        let elapsed = started.elapsed();
        match &self.counted {
            CountedBy::Kept(series, place) => series.ended(*place, end, elapsed, Trace::Current),
            CountedBy::ByRequest(ticket) => ticket.ended(end, elapsed, is_judged),
            CountedBy::Rare(rare) => rare.ended(end, elapsed),
            CountedBy::Unknown => {}
        }
    }
}

// A panic in the body cannot leave the call itself in a broken state: the call only
// counts its end when it is dropped.
impl UnwindSafe for Call {}
impl RefUnwindSafe for Call {}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        // Checked here, inlined, because most calls have already ended; `give_up` is
        // cold.
        if let State::Polled(_) | State::Suspended(_) = self.state {
            self.give_up();
        }
    }
}

/// A call whose labels are being evaluated. They do not await: for labels that do, see
/// `awaited_labels.rs`.
///
/// If the evaluation panics, the call is counted as panicked, without the dynamic labels.
#[derive(Debug)]
pub struct Labelling {
    site: &'static CallSite,
    /// The thread was already unwinding when this call was created (in a destructor).
    was_panicking: bool,
}

impl Labelling {
    /// Called before the first label is evaluated.
    #[must_use]
    pub fn of(site: &'static CallSite) -> Self {
        Self {
            site,
            was_panicking: std::thread::panicking(),
        }
    }

    /// Creates the call with the evaluated labels; see [`Call::new`].
    #[must_use]
    pub fn call(self, values: &[&dyn Display]) -> Call {
        let call = Call::new(self.site, values);
        std::mem::forget(self);
        call
    }

    /// Creates the call with the evaluated labels; see [`Call::ahead`].
    #[must_use]
    pub fn call_ahead(self, values: &[&dyn Display]) -> Call {
        let call = Call::ahead(self.site, values);
        std::mem::forget(self);
        call
    }
}

impl Drop for Labelling {
    /// Counts a panic in the evaluation of a label. A label expression may also return
    /// from the function; then the call never started.
    fn drop(&mut self) {
        if std::thread::panicking() && !self.was_panicking {
            let mut call = Call::waiting(self.site, CountedBy::Unknown, FunctionType::UNKNOWN);
            call.enter(None);
            call.give_up();
        }
    }
}

pin_project! {
    /// The future of a function's body, with its call.
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Instrumented<F, T> {
        // Declared first, so that it is dropped before the call: the destructors of the
        // body's variables are part of the call.
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
    /// Wraps the body of a function without labels or with literal labels only.
    #[inline]
    pub fn new(site: &'static CallSite, body: F, teller: T) -> Self {
        Self::labelled(Call::unlabelled(site), body, teller)
    }

    /// Wraps a body with a call that has not started and whose labels were evaluated.
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

/// The future of an `async fn`'s body, borrowing the body and the call from the function.
///
/// An `async fn` awaits this instead of an [`Instrumented`]. To prove an auto trait such
/// as `Send`, the compiler descends into every future that a future holds, and
/// `recursion_limit` bounds the depth. With body and call side by side in the function,
/// the body is one level less deep than inside an `Instrumented`.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct Running<'a, F, T> {
    call: &'a mut Call,
    body: Pin<&'a mut F>,
    teller: T,
}

// A `&mut` is not `UnwindSafe`, because after a panic the owner may observe a broken
// value. Here the owner is the future of the function. It also holds this `Running`,
// and is never resumed after a panic.
impl<F: UnwindSafe, T: UnwindSafe> UnwindSafe for Running<'_, F, T> {}

impl<F, T> std::fmt::Debug for Running<'_, F, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

impl<'a, F: Future, T: Teller<F::Output> + Arguments> Running<'a, F, T> {
    /// Borrows the body and a call that has not started.
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
