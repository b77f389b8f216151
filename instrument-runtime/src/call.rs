//! One call: started at its first poll, ended exactly once.

use std::fmt::Display;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::call_site::CallSite;
use crate::clock::Instant;
use crate::outcome::{End, Outcome, Protocol};
#[cfg(feature = "_layer")]
use crate::request::{self, Role};
use crate::series::SeriesRef;
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

/// Where the call is counted.
#[derive(Debug)]
enum Counted {
    /// Not known before it starts; these are the labels' values, if they were
    /// evaluated before it could.
    Unknown(Option<Box<Values>>),
    In(SeriesRef),
    /// With the request whose handler it is, by the layer.
    #[cfg(feature = "_layer")]
    WithRequest,
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
    #[inline]
    pub fn new(site: &'static CallSite, values: &[&dyn Display]) -> Self {
        if values.is_empty() {
            return Self::waiting(site, Counted::Unknown(None));
        }
        // A call that may turn out to be a request's handler has other series.
        #[cfg(feature = "_layer")]
        if request::is_current() {
            return Self::ahead(site, values);
        }
        Self::waiting(site, Counted::In(site.series(values)))
    }

    /// A call that may never start: the future that a plain function returns.
    /// Its labels are evaluated now, as the function's statements are.
    #[must_use]
    pub fn ahead(site: &'static CallSite, values: &[&dyn Display]) -> Self {
        let values = (!values.is_empty()).then(|| Box::new(Values::of(values)));
        Self::waiting(site, Counted::Unknown(values))
    }

    #[inline]
    fn waiting(site: &'static CallSite, counted: Counted) -> Self {
        const UNKNOWN: &Returns = &Returns {
            protocol: Protocol::None,
            #[cfg(feature = "_layer")]
            is_answer: false,
        };
        Self {
            site,
            counted,
            returns: UNKNOWN,
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
        match &mut self.counted {
            Counted::Unknown(values) => {
                #[cfg(feature = "_layer")]
                {
                    let role = Role::of(self.site, self.returns.protocol, self.returns.is_answer);
                    if role != Role::Function && request::claim(role, self.site, values) {
                        self.counted = Counted::WithRequest;
                        return;
                    }
                }
                let series = self.site.series_of_call(values.as_deref());
                series.started();
                self.counted = Counted::In(series);
            }
            Counted::In(series) => series.started(),
            #[cfg(feature = "_layer")]
            Counted::WithRequest => {}
        }
    }

    #[inline]
    fn suspend(&mut self) {
        if let State::Polled(started) = self.state {
            self.state = State::Suspended(started);
        }
    }

    /// `is_judged`: by the function of an `outcome = …` argument.
    fn finish(&mut self, outcome: Outcome, is_judged: bool) {
        self.end(outcome.end(), is_judged);
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
            Counted::In(series) => series.ended(end, nanos),
            #[cfg(feature = "_layer")]
            Counted::WithRequest => request::handler_ended(end, nanos, is_judged),
            Counted::Unknown(_) => {}
        }
        #[cfg(not(feature = "_layer"))]
        let _ = is_judged;
    }
}

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
    const RETURNS: &'static Returns = &Returns {
        protocol: T::PROTOCOL,
        #[cfg(feature = "_layer")]
        is_answer: T::IS_ANSWER,
    };

    /// `call` has not started.
    #[inline]
    pub fn new(mut call: Call, body: F, teller: T) -> Self {
        call.returns = Self::RETURNS;
        Self { body, call, teller }
    }
}

impl<F: Future, T: Teller<F::Output>> Future for Instrumented<F, T> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.call.enter();
        let output = this.body.poll(context);
        match &output {
            // A panic in `tell` finds the call still in its poll.
            Poll::Ready(value) => {
                let outcome = this.teller.tell(value, this.call.site.has_method());
                this.call.finish(outcome, T::IS_JUDGE);
            }
            Poll::Pending => this.call.suspend(),
        }
        output
    }
}
