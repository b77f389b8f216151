//! Which parts of a return type tell its outcome, decided by the type alone.
//!
//! The expansion asks twice. First whether the type is a `Result`
//! (`(&probe).sides()`), then of each side what it tells (`(&&&side).told()`).
//! Method resolution takes the candidate that needs the fewest dereferences,
//! and a bound that does not hold takes its candidate out. The types decide, so
//! an alias of `Result` is a `Result`, whatever its name.

#![allow(missing_docs, reason = "only the expansion names these")]

use std::borrow::Cow;
use std::convert::Infallible;
use std::marker::PhantomData;

use crate::http_status::HttpStatus;
use crate::outcome::Outcome;

/// Stands for a type.
pub struct Probe<R>(PhantomData<fn() -> R>);

impl<R> std::fmt::Debug for Probe<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}

/// Pairs a future with its output type. It is taken by value and given back:
/// a borrow would keep a second place for it in the caller's future.
pub fn probe<R, F: Future<Output = R>>(future: F) -> (F, Probe<R>) {
    (future, Probe(PhantomData))
}

/// A `Result`; either side may tell.
#[derive(Clone, Copy, Debug)]
pub struct IsResult;

impl IsResult {
    pub fn teller<T, E>(self, ok: T, err: E) -> BySides<T, E> {
        BySides(ok, err)
    }
}

pub trait OfResult<T, E> {
    fn sides(&self) -> (IsResult, Probe<T>, Probe<E>) {
        (IsResult, Probe(PhantomData), Probe(PhantomData))
    }
}

impl<T, E> OfResult<T, E> for &Probe<Result<T, E>> {}

/// Any other type; there is no second side.
#[derive(Clone, Copy, Debug)]
pub struct IsValue;

impl IsValue {
    pub fn teller<T, E>(self, value: T, _err: E) -> ByValue<T> {
        ByValue(value)
    }
}

pub trait OfValue<R> {
    fn sides(&self) -> (IsValue, Probe<R>, Probe<Infallible>) {
        (IsValue, Probe(PhantomData), Probe(PhantomData))
    }
}

impl<R> OfValue<R> for Probe<R> {}

/// What one side of the return type tells.
pub trait Side<T> {
    /// Whether a status is told, so that a call that never returns is a request
    /// too.
    const TELLS: bool;
    /// Whether this is the text of an answer, which every framework sends with
    /// status 200.
    const IS_TEXT: bool = false;

    fn tell(value: &T) -> Option<Outcome>;
}

/// The type knows its status.
#[derive(Clone, Copy, Debug)]
pub struct Status;

impl<T: HttpStatus> Side<T> for Status {
    const TELLS: bool = true;

    fn tell(value: &T) -> Option<Outcome> {
        Some(Outcome::HttpStatus(value.http_status()))
    }
}

pub trait HasStatus {
    fn told(&self) -> Status {
        Status
    }
}

impl<T: HttpStatus> HasStatus for &&Probe<T> {}

/// Text and bytes.
#[derive(Clone, Copy, Debug)]
pub struct Text;

impl<T: IsText> Side<T> for Text {
    const TELLS: bool = false;
    const IS_TEXT: bool = true;

    fn tell(_value: &T) -> Option<Outcome> {
        None
    }
}

pub trait IsText {}

impl IsText for &str {}
impl IsText for String {}
impl IsText for Cow<'_, str> {}
impl IsText for &[u8] {}
impl IsText for Vec<u8> {}

pub trait HasText {
    fn told(&self) -> Text {
        Text
    }
}

impl<T: IsText> HasText for &Probe<T> {}

/// Any other type.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl<T> Side<T> for Nothing {
    const TELLS: bool = false;

    fn tell(_value: &T) -> Option<Outcome> {
        None
    }
}

pub trait HasNothing {
    fn told(&self) -> Nothing {
        Nothing
    }
}

impl<T> HasNothing for Probe<T> {}

/// Reads the outcome off a return value.
pub trait Teller<R> {
    /// Whether a status is told by the type.
    const TELLS: bool;

    /// `is_request`: the call's method is known.
    fn tell(&self, value: &R, is_request: bool) -> Outcome;
}

/// What a side tells of a value that counts as a success.
fn ok<T, S: Side<T>>(_side: &S, value: &T, is_request: bool) -> Outcome {
    S::tell(value).unwrap_or(if S::IS_TEXT && is_request {
        Outcome::HttpStatus(200)
    } else {
        Outcome::Ok
    })
}

#[derive(Clone, Copy, Debug)]
pub struct BySides<T, E>(T, E);

impl<T, E, SideT: Side<T>, SideE: Side<E>> Teller<Result<T, E>> for BySides<SideT, SideE> {
    const TELLS: bool = SideT::TELLS || SideE::TELLS;

    fn tell(&self, result: &Result<T, E>, is_request: bool) -> Outcome {
        match result {
            Ok(value) => ok(&self.0, value, is_request),
            Err(error) => SideE::tell(error).unwrap_or(Outcome::Error),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct ByValue<S>(S);

impl<R, S: Side<R>> Teller<R> for ByValue<S> {
    const TELLS: bool = S::TELLS;

    fn tell(&self, value: &R, is_request: bool) -> Outcome {
        ok(&self.0, value, is_request)
    }
}

/// Of a function that never returns, whose type satisfies no bound on stable.
pub const BY_NOTHING: ByValue<Nothing> = ByValue(Nothing);

/// The function of an `outcome = …` argument.
pub struct ByFunction<R>(fn(&R) -> Outcome);

impl<R> std::fmt::Debug for ByFunction<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByFunction")
    }
}

/// Takes the probe so that a closure's argument has its type before the
/// closure is checked.
pub fn by_function<R>(_probe: Probe<R>, tell: fn(&R) -> Outcome) -> ByFunction<R> {
    ByFunction(tell)
}

impl<R> Teller<R> for ByFunction<R> {
    const TELLS: bool = false;

    fn tell(&self, value: &R, _is_request: bool) -> Outcome {
        (self.0)(value)
    }
}
