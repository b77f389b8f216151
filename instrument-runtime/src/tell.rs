//! Which parts of a return type tell its outcome, decided by the type alone.
//!
//! The expansion asks twice. First whether the type is a `Result`
//! (`(&&probe).sides()`), then of each side what it tells (`(&&&&&&side).told()`).
//! Method resolution takes the candidate that needs the fewest dereferences,
//! and a bound that does not hold takes its candidate out. The types decide, so
//! an alias of `Result` is a `Result`, whatever its name.

#![allow(missing_docs, reason = "only the expansion names these")]

use std::borrow::Cow;
use std::convert::Infallible;
use std::marker::PhantomData;

use crate::http_status::HttpStatus;
use crate::outcome::{Outcome, Protocol};

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
    /// Which kind of status is told, so that a call that never returns is a
    /// request too.
    const PROTOCOL: Protocol = Protocol::None;
    /// Whether a framework can answer with this, so that a function that returns
    /// it may be a handler.
    const IS_ANSWER: bool = true;
    /// Whether this is the text of an answer, which every framework sends with
    /// status 200.
    const IS_TEXT: bool = false;

    /// `is_request`: the call's method is known.
    fn tell(_value: &T, _is_request: bool) -> Option<Outcome> {
        None
    }
}

/// A kind of side: its type and, for the types that are `$when`, the trait by
/// which a probe finds it. The more references, the earlier it is tried; the
/// expansion begins with six.
macro_rules! side {
    (
        $(#[$doc:meta])*
        $kind:ident, found by $found:ident on <$param:ident $(: $when:path)?> $probe:ty
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $kind;

        pub trait $found {
            fn told(&self) -> $kind {
                $kind
            }
        }

        impl<$param $(: $when)?> $found for $probe {}
    };
}

side!(
    /// The type knows its HTTP status.
    Status, found by HasStatus on <T: HttpStatus> &&&&&Probe<T>
);

impl<T: HttpStatus> Side<T> for Status {
    const PROTOCOL: Protocol = Protocol::Http;

    fn tell(value: &T, _is_request: bool) -> Option<Outcome> {
        Some(Outcome::HttpStatus(value.http_status()))
    }
}

#[cfg(feature = "actix-web")]
side!(
    /// An error that actix-web knows how to answer.
    ActixError, found by HasActixError on <T: actix_web::ResponseError> &&&&Probe<T>
);

#[cfg(feature = "actix-web")]
impl<T: actix_web::ResponseError> Side<T> for ActixError {
    const PROTOCOL: Protocol = Protocol::Http;

    fn tell(value: &T, _is_request: bool) -> Option<Outcome> {
        Some(Outcome::HttpStatus(value.status_code().as_u16()))
    }
}

#[cfg(feature = "actix-web")]
side!(
    /// An error that actix-web knows how to answer, and that is not only a
    /// handler's: what reads a file and finds none is no 404 by itself.
    AnyonesError, found by HasAnyonesError on <T: IsAnyones> &&&&&Probe<T>
);

#[cfg(feature = "actix-web")]
impl<T: IsAnyones> Side<T> for AnyonesError {
    fn tell(value: &T, is_request: bool) -> Option<Outcome> {
        is_request.then(|| Outcome::HttpStatus(value.status_code().as_u16()))
    }
}

#[cfg(feature = "actix-web")]
pub trait IsAnyones: actix_web::ResponseError {}

#[cfg(feature = "actix-web")]
mod anyones {
    use super::{Infallible, IsAnyones};

    impl IsAnyones for std::io::Error {}
    impl IsAnyones for Box<dyn std::error::Error> {}
    impl IsAnyones for std::str::Utf8Error {}
    impl IsAnyones for Infallible {}
}

#[cfg(feature = "tonic")]
side!(
    /// A side of what a gRPC method returns.
    Grpc, found by HasGrpc on <T: GrpcSide> &&&&Probe<T>
);

#[cfg(feature = "tonic")]
impl<T: GrpcSide> Side<T> for Grpc {
    const PROTOCOL: Protocol = Protocol::Grpc;

    fn tell(value: &T, _is_request: bool) -> Option<Outcome> {
        Some(Outcome::GrpcStatus(value.grpc_code()))
    }
}

#[cfg(feature = "tonic")]
pub trait GrpcSide {
    fn grpc_code(&self) -> u8;
}

side!(
    /// Text and bytes.
    Text, found by HasText on <T: IsText> &&&Probe<T>
);

impl<T: IsText> Side<T> for Text {
    const IS_TEXT: bool = true;
}

pub trait IsText {}

impl IsText for &str {}
impl IsText for String {}
impl IsText for Cow<'_, str> {}
impl IsText for &[u8] {}
impl IsText for Vec<u8> {}
impl IsText for hyper::body::Bytes {}

#[cfg(feature = "axum")]
side!(
    /// What axum can answer with, by a status that only it knows.
    AxumAnswer, found by HasAxumAnswer on <T: axum::response::IntoResponse> &&Probe<T>
);

#[cfg(feature = "axum")]
impl<T: axum::response::IntoResponse> Side<T> for AxumAnswer {}

#[cfg(feature = "actix-web")]
side!(
    /// What actix-web can answer with, by a status that only it knows.
    ActixAnswer, found by HasActixAnswer on <T: actix_web::Responder> &Probe<T>
);

#[cfg(feature = "actix-web")]
impl<T: actix_web::Responder> Side<T> for ActixAnswer {}

side!(
    /// Any other type.
    Nothing, found by HasNothing on <T> Probe<T>
);

impl<T> Side<T> for Nothing {
    const IS_ANSWER: bool = false;
}

/// Reads the outcome off a return value.
pub trait Teller<R> {
    /// See the constants of a side.
    const PROTOCOL: Protocol;
    const IS_ANSWER: bool;
    /// Whether the function said itself how to judge what it returns.
    const IS_JUDGE: bool = false;

    /// `is_request`: the call's method is known.
    fn tell(&self, value: &R, is_request: bool) -> Outcome;
}

/// What a side tells of a value that counts as a success.
fn ok<T, S: Side<T>>(_side: &S, value: &T, is_request: bool) -> Outcome {
    S::tell(value, is_request).unwrap_or(if S::IS_TEXT && is_request {
        Outcome::HttpStatus(200)
    } else {
        Outcome::Ok
    })
}

#[derive(Clone, Copy, Debug)]
pub struct BySides<T, E>(T, E);

impl<T, E, SideT: Side<T>, SideE: Side<E>> Teller<Result<T, E>> for BySides<SideT, SideE> {
    const PROTOCOL: Protocol = SideE::PROTOCOL.or(SideT::PROTOCOL);
    const IS_ANSWER: bool = SideT::IS_ANSWER && SideE::IS_ANSWER;

    fn tell(&self, result: &Result<T, E>, is_request: bool) -> Outcome {
        match result {
            Ok(value) => ok(&self.0, value, is_request),
            Err(error) => SideE::tell(error, is_request).unwrap_or(Outcome::Error),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct ByValue<S>(S);

impl<R, S: Side<R>> Teller<R> for ByValue<S> {
    const PROTOCOL: Protocol = S::PROTOCOL;
    const IS_ANSWER: bool = S::IS_ANSWER;

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
    const PROTOCOL: Protocol = Protocol::None;
    // What it returns is not looked at.
    const IS_ANSWER: bool = true;
    const IS_JUDGE: bool = true;

    fn tell(&self, value: &R, _is_request: bool) -> Outcome {
        (self.0)(value)
    }
}
