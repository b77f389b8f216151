//! Finds out, from a return type alone, which parts of a returned value tell its
//! outcome.
//!
//! # Autoderef specialization
//!
//! Stable Rust has no specialization: no code can say "if the type is `HttpStatus`, do
//! this, otherwise that". Method resolution can. The compiler looks for a method on a
//! type, and if no method applies, on what the type dereferences to. So each rung of a
//! ladder of types has a method `told` for the types that satisfy one bound, and
//! dereferences to the next rung. The last rung has `told` for every type:
//!
//! ```text
//! probe.sides()      IsResult            Probe<Result<T, E>>   a ladder for T, one for E
//!                       │ deref
//!                       ▼
//!                    any other type      AnyProbe<R>           a ladder for R
//!
//! ladder.told()      IfTells<T>          T: Tells              Told
//!                       │ deref
//!                       ▼
//!                    IfResponseError<T>  T: ResponseError      ActixError    (actix-web)
//!                       ▼
//!                    IfIntoResponse<T>   T: IntoResponse       AxumAnswer    (axum)
//!                       ▼
//!                    IfResponder<T>      T: Responder          ActixAnswer   (actix-web)
//!                       ▼
//!                    Otherwise<T>        every T               Nothing
//! ```
//!
//! The rungs of a framework whose feature is off are left out. The decision is made
//! where the macro expands, because only there the type is known and not generic. An
//! alias of `Result` is a `Result`, whatever its name.
//!
//! The technique is described in
//! [Generalized Autoref-Based Specialization](https://lukaskalbertodt.github.io/2019/12/05/generalized-autoref-based-specialization.html)
//! and in [a case study by David Tolnay](https://github.com/dtolnay/case-studies/blob/master/autoref-specialization/README.md).

#![allow(missing_docs, reason = "only the expansion names these")]

use std::borrow::Cow;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::ops::Deref;

use crate::outcome::http_status::HttpStatus;
use crate::outcome::{Outcome, Protocol};

/// Stands for a return type.
///
/// It is contravariant: a probe of `&'a str` is also one of `&'static str`. So a
/// question that it is asked does not constrain the lifetimes of the function's
/// own type.
#[derive(Debug)]
pub struct Probe<R>(PhantomData<fn(R)>);

impl<R> Probe<R> {
    pub const NEW: Self = Self(PhantomData);
}

/// Pairs a future with its output type, for one that has no name. It is taken by
/// value and given back: a borrow would keep a second place for it in the caller's
/// future.
pub fn probe<R, F: Future<Output = R>>(future: F) -> (F, Probe<R>) {
    (future, Probe::NEW)
}

impl<T, E> Probe<Result<T, E>> {
    pub fn sides(&self) -> (OfResult, IfTells<T>, IfTells<E>) {
        (OfResult, IfTells::NEW, IfTells::NEW)
    }
}

impl<R> Deref for Probe<R> {
    type Target = AnyProbe<R>;

    fn deref(&self) -> &AnyProbe<R> {
        const { &AnyProbe(PhantomData) }
    }
}

/// A [`Probe`] of a type that is no `Result`.
#[derive(Debug)]
pub struct AnyProbe<R>(PhantomData<fn(R)>);

impl<R> AnyProbe<R> {
    /// There is no second side.
    pub fn sides(&self) -> (OfValue, IfTells<R>, IfTells<Infallible>) {
        (OfValue, IfTells::NEW, IfTells::NEW)
    }
}

/// A `Result`: either side may tell.
#[derive(Clone, Copy, Debug)]
pub struct OfResult;

/// Any other type.
#[derive(Clone, Copy, Debug)]
pub struct OfValue;

/// What one side of the return type tells.
///
/// A side that reads nothing is implemented for every type. The bound on the rung
/// has chosen it; here the bound would have to hold for the function's lifetimes.
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

/// A kind of side: its type and the rung where it is found, for the types that
/// are `$when`.
macro_rules! side {
    (
        $(#[$doc:meta])*
        $kind:ident, on $rung:ident, for <$param:ident $(: $when:path)?> $(, then $next:ident)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $kind;

        #[derive(Debug)]
        pub struct $rung<T>(PhantomData<fn(T)>);

        impl<T> $rung<T> {
            const NEW: Self = Self(PhantomData);
        }

        impl<$param $(: $when)?> $rung<$param> {
            pub fn told(&self) -> $kind {
                $kind
            }
        }

        $(
            impl<T> Deref for $rung<T> {
                type Target = $next<T>;

                fn deref(&self) -> &$next<T> {
                    const { &$next::NEW }
                }
            }
        )?
    };
}

side!(
    /// A type that this library knows how to read.
    Told, on IfTells, for <T: Tells>, then IfResponseError
);

impl<T: Tells> Side<T> for Told {
    const PROTOCOL: Protocol = T::PROTOCOL;
    const IS_TEXT: bool = T::IS_TEXT;

    fn tell(value: &T, is_request: bool) -> Option<Outcome> {
        value.tell(is_request)
    }
}

/// What a type that is known here tells, in the terms of [`Side`].
pub trait Tells {
    const PROTOCOL: Protocol = Protocol::None;
    const IS_TEXT: bool = false;

    fn tell(&self, _is_request: bool) -> Option<Outcome> {
        None
    }
}

impl<T: HttpStatus> Tells for T {
    const PROTOCOL: Protocol = Protocol::Http;

    fn tell(&self, _is_request: bool) -> Option<Outcome> {
        Some(Outcome::HttpStatus(self.http_status()))
    }
}

macro_rules! text {
    ($($text:ty)*) => {
        $(
            impl Tells for $text {
                const IS_TEXT: bool = true;
            }
        )*
    };
}

text!(&str String Cow<'_, str> &[u8] Vec<u8> hyper::body::Bytes);

/// Errors of other crates for which actix-web implements `ResponseError`. They say
/// nothing: what a function counts must not depend on a feature that another crate
/// may have enabled. Under actix-web's middleware, the status that was sent counts.
macro_rules! no_status {
    ($($error:ty)*) => {
        $(impl Tells for $error {})*
    };
}

no_status!(std::io::Error Box<dyn std::error::Error + '_> std::str::Utf8Error Infallible);
// Without actix-web nothing asks for a status of these.
#[cfg(feature = "actix-web")]
no_status! {
    serde::de::value::Error
    serde_json::Error
    serde_urlencoded::ser::Error
    actix_web::error::HttpError
    actix_web::http::header::InvalidHeaderValue
}

#[cfg(feature = "actix-web")]
side!(
    /// An error that actix-web knows how to answer.
    ActixError, on IfResponseError, for <T: actix_web::ResponseError>, then IfIntoResponse
);
#[cfg(not(feature = "actix-web"))]
use IfIntoResponse as IfResponseError;

#[cfg(feature = "axum")]
side!(
    /// What axum can answer with, by a status that only it knows.
    AxumAnswer, on IfIntoResponse, for <T: axum::response::IntoResponse>, then IfResponder
);
#[cfg(not(feature = "axum"))]
use IfResponder as IfIntoResponse;

#[cfg(feature = "axum")]
impl<T> Side<T> for AxumAnswer {}

#[cfg(feature = "actix-web")]
side!(
    /// What actix-web can answer with, by a status that only it knows.
    ActixAnswer, on IfResponder, for <T: actix_web::Responder>, then Otherwise
);
#[cfg(not(feature = "actix-web"))]
use Otherwise as IfResponder;

#[cfg(feature = "actix-web")]
impl<T> Side<T> for ActixAnswer {}

side!(
    /// Any other type.
    Nothing, on Otherwise, for <T>
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
fn ok<T, S: Side<T>>(value: &T, is_request: bool) -> Outcome {
    S::tell(value, is_request).unwrap_or(if S::IS_TEXT && is_request {
        Outcome::HttpStatus(200)
    } else {
        Outcome::Ok
    })
}

impl<T, E, SideT: Side<T>, SideE: Side<E>> Teller<Result<T, E>> for (OfResult, SideT, SideE) {
    const PROTOCOL: Protocol = SideE::PROTOCOL.or(SideT::PROTOCOL);
    const IS_ANSWER: bool = SideT::IS_ANSWER && SideE::IS_ANSWER;

    fn tell(&self, result: &Result<T, E>, is_request: bool) -> Outcome {
        match result {
            Ok(value) => ok::<T, SideT>(value, is_request),
            Err(error) => SideE::tell(error, is_request).unwrap_or(Outcome::Error),
        }
    }
}

impl<R, S: Side<R>, NoSide> Teller<R> for (OfValue, S, NoSide) {
    const PROTOCOL: Protocol = S::PROTOCOL;
    const IS_ANSWER: bool = S::IS_ANSWER;

    fn tell(&self, value: &R, is_request: bool) -> Outcome {
        ok::<R, S>(value, is_request)
    }
}

/// Of a function that never returns, whose type satisfies no bound on stable.
pub const BY_NOTHING: (OfValue, Nothing, Nothing) = (OfValue, Nothing, Nothing);

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
