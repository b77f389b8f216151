//! Calls of functions that are not async. Such a call starts when the function is called,
//! and ends when the function returns or unwinds.
//!
//! The body runs in one of four ways:
//!
//! | | the body runs | and the outcome is |
//! |---|---|---|
//! | [`Call::run`] | in a closure | read from the value |
//! | [`Entered`] | in place, and each `return` is visible to the macro | read from the value |
//! | [`Opened`] | the same, with a return type that cannot be named | read from the value |
//! | [`Guard`] | in place | `ok`, if the body does not unwind |

use std::marker::PhantomData;

use crate::call::arguments::Arguments;
use crate::call::{Call, FunctionType};
use crate::outcome::Outcome;
use crate::outcome::probe::{Probe, Teller};

impl Call {
    /// Starts the call, runs the body, and ends the call.
    #[inline]
    pub fn run<R, T: Teller<R> + Arguments>(mut self, teller: T, body: impl FnOnce() -> R) -> R {
        self.function = FunctionType::of::<R, T>();
        self.enter(teller.carried());
        let value = body();
        self.returned(&value, &teller);
        value
    }
}

/// A call that has started and whose body runs in place.
///
/// If the body unwinds, the call is dropped and counted as panicked.
#[derive(Debug)]
#[must_use]
pub struct Entered<R, T> {
    call: Call,
    teller: T,
    returns: PhantomData<fn(R)>,
}

impl<R, T: Teller<R> + Arguments> Entered<R, T> {
    /// Starts the call.
    #[inline]
    pub fn of(mut call: Call, _probe: Probe<R>, teller: T) -> Self {
        call.function = FunctionType::of::<R, T>();
        call.enter(teller.carried());
        Self {
            call,
            teller,
            returns: PhantomData,
        }
    }

    /// Ends the call with the value that the body returned.
    #[inline]
    pub fn returned(mut self, value: &R) {
        self.call.returned(value, &self.teller);
    }
}

/// An [`Entered`] whose type of value is known only when the body has returned. So if the
/// body unwinds, the call has a status only if its method is known.
#[derive(Debug)]
#[must_use]
pub struct Opened(Call);

impl Opened {
    /// Starts the call.
    #[inline]
    pub fn of(mut call: Call) -> Self {
        call.enter(None);
        Self(call)
    }

    /// Ends the call with the value that the body returned.
    #[inline]
    pub fn returned<R, T: Teller<R>>(mut self, value: &R, teller: &T) {
        self.0.returned(value, teller);
    }
}

/// A call that has started, and that ends when the guard is dropped.
#[derive(Debug)]
#[must_use]
pub struct Guard {
    call: Call,
    /// The thread was already unwinding when the call started (in a destructor). Such a call
    /// is taken to return: only a destructor that catches its own panics could show otherwise.
    was_panicking: bool,
}

impl Guard {
    /// Starts the call.
    #[inline]
    pub fn of(mut call: Call) -> Self {
        call.enter(None);
        Self {
            call,
            was_panicking: std::thread::panicking(),
        }
    }
}

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        // Otherwise, dropping the call counts it as panicked.
        if self.was_panicking || !std::thread::panicking() {
            self.call.finish(Outcome::Ok.end(), false);
        }
    }
}
