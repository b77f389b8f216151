//! One call: started at its first poll, ended exactly once.

use std::fmt::Display;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::call_site::{CallSite, SeriesRef, Values};
use crate::clock::Instant;
use crate::outcome::{End, Outcome};
use crate::tell::Teller;

/// The record of one call. Dropping it before it ended ends it: as panicked if
/// that happens within a poll, as cancelled otherwise.
#[derive(Debug)]
pub struct Call {
    site: &'static CallSite,
    /// Evaluated before the call could start.
    values: Option<Box<Values>>,
    /// Known when the call starts, at the latest.
    series: Option<SeriesRef>,
    has_method: bool,
    http: bool,
    state: State,
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
        let series = (!values.is_empty()).then(|| site.series(values));
        Self::waiting(site, None, series)
    }

    /// A call that may never start: the future that a plain function returns.
    /// Its labels are evaluated now, as the function's statements are.
    #[must_use]
    pub fn ahead(site: &'static CallSite, values: &[&dyn Display]) -> Self {
        let values = (!values.is_empty()).then(|| Box::new(Values::of(values)));
        Self::waiting(site, values, None)
    }

    #[inline]
    fn waiting(
        site: &'static CallSite,
        values: Option<Box<Values>>,
        series: Option<SeriesRef>,
    ) -> Self {
        Self {
            site,
            values,
            series,
            has_method: site.has_method(),
            http: site.has_method(),
            state: State::Waiting,
        }
    }

    fn has_method(&self) -> bool {
        self.has_method
    }

    #[inline]
    fn enter(&mut self) {
        self.state = match self.state {
            State::Suspended(started) => State::Polled(started),
            State::Waiting => {
                let Self {
                    site,
                    values,
                    series,
                    ..
                } = self;
                let series = series.get_or_insert_with(|| match values {
                    Some(values) => site.series_of(values),
                    None => site.series_without_values(),
                });
                series.started();
                State::Polled(Instant::now())
            }
            // The body itself panics on a poll after its end.
            state => state,
        };
    }

    #[inline]
    fn suspend(&mut self) {
        if let State::Polled(started) = self.state {
            self.state = State::Suspended(started);
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        self.end(|_| outcome.end());
    }

    fn end(&mut self, end: impl FnOnce(State) -> End) {
        let state = std::mem::replace(&mut self.state, State::Ended);
        if let State::Polled(started) | State::Suspended(started) = state
            && let Some(series) = &self.series
        {
            series.ended(end(state), started.elapsed().as_secs_f64());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let http = self.http;
        self.end(|state| match state {
            State::Polled(_) => End::panicked(http),
            _ => End::cancelled(http),
        });
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
    /// `call` has not started.
    #[inline]
    pub fn new(mut call: Call, body: F, teller: T) -> Self {
        call.http |= T::TELLS;
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
            Poll::Ready(value) => this
                .call
                .finish(this.teller.tell(value, this.call.has_method())),
            Poll::Pending => this.call.suspend(),
        }
        output
    }
}
