//! Which of a return type's parts tell its outcome, decided by the type alone.
//!
//! The expansion writes `(&&&&&&probe).teller()`. Method resolution takes the
//! candidate that needs the fewest dereferences, so the traits below are tried
//! from [`Whole`] to [`Anything`]; a bound that does not hold takes its
//! candidate out. The types decide, so an alias of `Result` is a `Result`.

#![allow(missing_docs, reason = "only the expansion names these")]

use std::marker::PhantomData;

use crate::http_status::HttpStatus;
use crate::outcome::Outcome;

/// Stands for the output type of a future.
pub struct Probe<R>(PhantomData<fn() -> R>);

impl<R> std::fmt::Debug for Probe<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}

/// Pairs a future with its output type. It is taken by value and given back:
/// a borrow would keep a second place for it in the caller's future.
pub fn probe<F: Future>(future: F) -> (F, Probe<F::Output>) {
    (future, Probe(PhantomData))
}

/// Reads the outcome off a return value.
pub trait Teller<R> {
    /// Whether the type tells an HTTP status, so that a call that never
    /// returns counts as a request too.
    const TELLS_STATUS: bool;

    fn tell(&self, value: &R) -> Outcome;
}

fn status(value: &impl HttpStatus) -> Outcome {
    Outcome::HttpStatus(value.http_status())
}

macro_rules! teller {
    ($(#[$doc:meta])* $level:ident on [$($reference:tt)*] <$($param:ident $(: $bound:path)?),*> $value:ty
     => $teller:ident, $tells:literal, |$from:ident| $tell:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $teller;

        impl<$($param $(: $bound)?),*> Teller<$value> for $teller {
            const TELLS_STATUS: bool = $tells;

            fn tell(&self, $from: &$value) -> Outcome {
                $tell
            }
        }

        pub trait $level {
            fn teller(&self) -> $teller {
                $teller
            }
        }

        impl<$($param $(: $bound)?),*> $level for $($reference)* Probe<$value> {}
    };
}

teller! {
    /// The value itself tells.
    Whole on [&&&&&] <R: HttpStatus> R => ByValue, true, |value| status(value)
}
teller! {
    /// Both sides of a `Result` tell.
    BothSides on [&&&&] <T: HttpStatus, E: HttpStatus> Result<T, E> => ByBothSides, true,
    |result| match result {
        Ok(value) => status(value),
        Err(error) => status(error),
    }
}
teller! {
    /// Only the `Err` of a `Result` tells.
    ErrSide on [&&&] <T, E: HttpStatus> Result<T, E> => ByErr, true,
    |result| match result {
        Ok(_) => Outcome::Ok,
        Err(error) => status(error),
    }
}
teller! {
    /// Only the `Ok` of a `Result` tells.
    OkSide on [&&] <T: HttpStatus, E> Result<T, E> => ByOk, true,
    |result| match result {
        Ok(value) => status(value),
        Err(_) => Outcome::Error,
    }
}
teller! {
    /// A `Result` of which neither side tells a status.
    EitherSide on [&] <T, E> Result<T, E> => ByVariant, false,
    |result| match result {
        Ok(_) => Outcome::Ok,
        Err(_) => Outcome::Error,
    }
}
teller! {
    /// Any other type: returning is `ok`.
    Anything on [] <R> R => ByReturning, false, |_value| Outcome::Ok
}

/// The function of an `outcome = …` argument.
pub struct ByFunction<F>(F);

impl<F> std::fmt::Debug for ByFunction<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByFunction")
    }
}

/// Takes the probe so that a closure's argument has its type before the
/// closure is checked.
pub fn by_function<R, F: Fn(&R) -> Outcome>(_probe: Probe<R>, tell: F) -> ByFunction<F> {
    ByFunction(tell)
}

impl<R, F: Fn(&R) -> Outcome> Teller<R> for ByFunction<F> {
    const TELLS_STATUS: bool = false;

    fn tell(&self, value: &R) -> Outcome {
        (self.0)(value)
    }
}
