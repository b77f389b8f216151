//! One call: started at its first poll, ended exactly once.

use std::fmt::Display;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::call_site::CallSite;
use crate::clock::Instant;
use crate::outcome::{End, Protocol};
#[cfg(feature = "_layer")]
use crate::request::{self, Role};
use crate::series::{Series, SeriesRef};
use crate::tell::Teller;
use crate::values::Values;

/// The record of one call. Dropping it before it ended ends it: as panicked if
/// that happens within a poll, as cancelled otherwise.
#[derive(Debug)]
pub struct Call {
    site: &'static CallSite,
    counted: Counted,
    /// A pointer, not two bytes: the call is moved word by word when it is made,
    /// and to load a word just after a byte of it was stored stalls.
    returns: &'static Returns,
    state: State,
}

/// What the return type tells of a call before it ends.
#[derive(Debug)]
struct Returns {
    protocol: Protocol,
    #[cfg(feature = "_layer")]
    is_answer: bool,
}

impl Returns {
    const UNKNOWN: &'static Self = &Self {
        protocol: Protocol::None,
        #[cfg(feature = "_layer")]
        is_answer: false,
    };

    const fn of<R, T: Teller<R>>() -> &'static Self {
        const {
            &Self {
                protocol: T::PROTOCOL,
                #[cfg(feature = "_layer")]
                is_answer: T::IS_ANSWER,
            }
        }
    }
}

/// Where the call is counted. What has to be dropped stands behind one `Arc`, so
/// that the little there is to do for all others is inlined.
#[derive(Debug)]
enum Counted {
    /// Not known before it starts.
    Unknown,
    Kept(&'static Series),
    /// With the request whose handler it is, by the layer.
    #[cfg(feature = "_layer")]
    WithRequest,
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

impl From<SeriesRef> for Counted {
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
        #[cfg(feature = "_layer")]
        if request::is_current() {
            return Self::ahead(site, values);
        }
        Self::waiting(site, site.series(values).into(), Returns::UNKNOWN)
    }

    /// The same without labels, or with none but literals.
    #[inline]
    #[must_use]
    pub fn unlabelled(site: &'static CallSite) -> Self {
        Self::waiting(site, Counted::Unknown, Returns::UNKNOWN)
    }

    /// A call that may never start: the future that a plain function returns.
    /// Its labels are evaluated now, as the function's statements are.
    #[must_use]
    pub fn ahead(site: &'static CallSite, values: &[&dyn Display]) -> Self {
        let values = Arc::new(Values::of(values));
        let counted = Counted::Rare(Arc::new(Rare::Ahead(values)));
        Self::waiting(site, counted, Returns::UNKNOWN)
    }

    #[inline]
    fn waiting(site: &'static CallSite, counted: Counted, returns: &'static Returns) -> Self {
        Self {
            site,
            counted,
            returns,
            state: State::Waiting,
        }
    }

    #[inline]
    fn enter(&mut self) {
        self.state = match self.state {
            State::Suspended(started) => State::Polled(started),
            State::Waiting => {
                self.start();
                State::Polled(Instant::now())
            }
            // The body itself panics on a poll after its end.
            state => state,
        };
    }

    #[inline]
    fn start(&mut self) {
        match &self.counted {
            Counted::Kept(series) => series.started(),
            Counted::Unknown => {
                if self.is_claimed(None) {
                    return;
                }
                match self.site.kept_series() {
                    Some(series) => {
                        series.started();
                        self.counted = Counted::Kept(series);
                    }
                    None => self.start_own(),
                }
            }
            #[cfg(feature = "_layer")]
            Counted::WithRequest => {}
            Counted::Rare(_) => self.start_rare(),
        }
    }

    #[cold]
    fn start_rare(&mut self) {
        let Counted::Rare(rare) = &self.counted else {
            return;
        };
        let rare = Arc::clone(rare);
        match &*rare {
            Rare::Own(series) => series.started(),
            Rare::Ahead(values) => {
                if !self.is_claimed(Some(values)) {
                    self.start_in(self.site.series_of_call(Some(values)));
                }
            }
        }
    }

    /// Where the global recorder is not the current one.
    #[cold]
    fn start_own(&mut self) {
        self.start_in(self.site.own_series());
    }

    fn start_in(&mut self, series: SeriesRef) {
        series.started();
        self.counted = series.into();
    }

    /// Whether it is the handler of the current request, with which it counts.
    #[cfg(feature = "_layer")]
    #[inline]
    fn is_claimed(&mut self, values: Option<&Arc<Values>>) -> bool {
        let role = Role::of(self.site, self.returns.protocol, self.returns.is_answer);
        let is_claimed = role != Role::Function && request::claim(role, self.site, values);
        if is_claimed {
            self.counted = Counted::WithRequest;
        }
        is_claimed
    }

    #[cfg(not(feature = "_layer"))]
    #[allow(clippy::unused_self, reason = "it is asked where there is a layer")]
    fn is_claimed(&mut self, _values: Option<&Arc<Values>>) -> bool {
        false
    }

    /// Polls the body as a part of this call.
    #[inline]
    fn poll<F: Future, T: Teller<F::Output>>(
        &mut self,
        body: Pin<&mut F>,
        teller: &T,
        context: &mut Context<'_>,
    ) -> Poll<F::Output> {
        self.enter();
        let output = body.poll(context);
        match &output {
            // A panic in `tell` finds the call still in its poll.
            Poll::Ready(value) => {
                let outcome = teller.tell(value, self.site.has_method());
                self.finish(outcome.end(), T::IS_JUDGE);
            }
            Poll::Pending => self.suspend(),
        }
        output
    }

    #[inline]
    fn suspend(&mut self) {
        if let State::Polled(started) = self.state {
            self.state = State::Suspended(started);
        }
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
            self.returns.protocol
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
            Counted::Kept(series) => series.ended(end, nanos),
            #[cfg(feature = "_layer")]
            Counted::WithRequest => request::handler_ended(end, nanos, is_judged),
            Counted::Rare(rare) => rare.ended(end, nanos),
            Counted::Unknown => {}
        }
        #[cfg(not(feature = "_layer"))]
        let _ = is_judged;
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

impl<F: Future, T: Teller<F::Output>> Instrumented<F, T> {
    /// Without labels, or with none but literals.
    #[inline]
    pub fn new(site: &'static CallSite, body: F, teller: T) -> Self {
        Self::labelled(Call::unlabelled(site), body, teller)
    }

    /// With labels that were evaluated for this call, which has not started.
    #[inline]
    pub fn labelled(mut call: Call, body: F, teller: T) -> Self {
        call.returns = Returns::of::<F::Output, T>();
        Self { body, call, teller }
    }
}

impl<F: Future, T: Teller<F::Output>> Future for Instrumented<F, T> {
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

impl<'a, F: Future, T: Teller<F::Output>> Running<'a, F, T> {
    /// With a call that has not started.
    #[inline]
    pub fn new(call: &'a mut Call, body: Pin<&'a mut F>, teller: T) -> Self {
        call.returns = Returns::of::<F::Output, T>();
        Self { call, body, teller }
    }
}

impl<F: Future, T: Teller<F::Output> + Unpin> Future for Running<'_, F, T> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        this.call.poll(this.body.as_mut(), &this.teller, context)
    }
}
