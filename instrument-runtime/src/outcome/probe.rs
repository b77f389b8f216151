//! Finds out from a function's return type how to read the outcome from the returned
//! value.
//!
//! # Autoderef specialization
//!
//! Stable Rust has no specialization: no code can say "if the type implements
//! `HttpStatus`, do this, otherwise that". Method resolution can. The compiler looks for
//! a method on a type, and if no method applies, on the type that it dereferences to. So
//! each rung of a ladder of types has a method `told` for the types that satisfy one
//! bound, and dereferences to the next rung. On the last rung, `told` exists for every
//! type:
//!
//! ```text
//!  method           receiver              applies if            returns
//!
//!  .sides()         Probe<R>              R = Result<T, E>      OfResult, ladders for T and E
//!                      │ deref
//!                      ▼
//!                   AnyProbe<R>           always                OfValue, a ladder for R
//!
//!  .told()          IfTells<T>            T: Tells              Told
//!                      │ deref
//!                      ▼
//!                   IfResponseError<T>    T: ResponseError      ActixError    (actix-web)
//!                      │ deref
//!                      ▼
//!                   IfIntoResponse<T>     T: IntoResponse       AxumAnswer    (axum)
//!                      │ deref
//!                      ▼
//!                   IfResponder<T>        T: Responder          ActixAnswer   (actix-web)
//!                      │ deref
//!                      ▼
//!                   Otherwise<T>          always                Nothing
//! ```
//!
//! Each result of `told` implements [`Side`], which reads one part of the value. A tuple
//! of `OfResult` or `OfValue` and two sides implements [`Teller`], from which the call
//! gets the outcome.
//!
//! Without the feature of a framework, its rungs are left out. The decision is made where
//! the macro expands, because only there is the type concrete. Type aliases are resolved
//! by then, so any alias of `Result` counts as a `Result`.
//!
//! The technique is described in
//! [Generalized Autoref-Based Specialization](https://lukaskalbertodt.github.io/2019/12/05/generalized-autoref-based-specialization.html)
//! and in [a case study by David Tolnay](https://github.com/dtolnay/case-studies/blob/master/autoref-specialization/README.md).

#![allow(missing_docs, reason = "named only in the expansion of the macro")]

use std::borrow::Cow;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::ops::Deref;

use crate::outcome::http_status::HttpStatus;
use crate::outcome::{Outcome, Protocol};

/// Stands for the return type `R`, without a value. The first rung of `sides`.
///
/// Contravariant in `R`: a `Probe<&'a str>` is also a `Probe<&'static str>`. Examining
/// the probe therefore does not constrain the lifetimes in the function's own return
/// type.
#[derive(Debug)]
pub struct Probe<R>(PhantomData<fn(R)>);

impl<R> Probe<R> {
    pub const NEW: Self = Self(PhantomData);
}

/// Returns a probe for the output type of a future. Used if the output type cannot be
/// named.
///
/// Takes the future by value and returns it. If the future were borrowed, the future of
/// the caller would reserve space for it twice.
pub fn probe<R, F: Future<Output = R>>(future: F) -> (F, Probe<R>) {
    (future, Probe::NEW)
}

/// Returns a probe for the return type of a closure. Used if the type cannot be named.
pub fn probe_fn<R, F: FnOnce() -> R>(body: F) -> (F, Probe<R>) {
    (body, Probe::NEW)
}

/// Returns a probe for the type of a value.
pub fn probe_of<R>(_value: &R) -> Probe<R> {
    Probe::NEW
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

/// The first rung of `sides` in a function that is not async. It refuses a function that
/// returns a future.
///
/// The call would end when the future is returned, and not when the future completes. The
/// macro sees the return type as it is written, so it does not recognize a future behind a
/// type alias.
#[derive(Debug)]
pub struct ProbeOfPlain<R>(pub Probe<R>);

impl<R: Future> ProbeOfPlain<R> {
    pub fn sides(&self) -> (OfValue, Otherwise<R>, Otherwise<Infallible>)
    where
        // On the method and not on the `impl`, where method resolution would ignore this
        // rung and go on to the next rung.
        R: EndsWithTheFunction,
    {
        (OfValue, Otherwise::NEW, Otherwise::NEW)
    }
}

impl<R> Deref for ProbeOfPlain<R> {
    type Target = Probe<R>;

    fn deref(&self) -> &Probe<R> {
        &self.0
    }
}

/// Implemented for no type. The message is the compile error for a future.
#[diagnostic::on_unimplemented(
    message = "this function returns a future, which its return type does not show",
    label = "`{Self}` is a future",
    note = "to count the call until the future ends, write `impl Future<Output = …>` or \
            `Pin<Box<dyn Future<Output = …>>>` as the return type",
    note = "to count the call until the function returns, write \
            `#[instrumented(outcome = |_| Outcome::Ok)]`"
)]
pub trait EndsWithTheFunction {}

/// The second rung of `sides`: a [`Probe`] of a type that is not a `Result`.
#[derive(Debug)]
pub struct AnyProbe<R>(PhantomData<fn(R)>);

impl<R> AnyProbe<R> {
    /// Returns the ladder for `R`. The second side is a placeholder, which the
    /// teller ignores.
    pub fn sides(&self) -> (OfValue, IfTells<R>, IfTells<Infallible>) {
        (OfValue, IfTells::NEW, IfTells::NEW)
    }
}

/// The return type is a `Result`: the `Ok` side or the `Err` side tells the outcome.
#[derive(Clone, Copy, Debug)]
pub struct OfResult;

/// The return type is not a `Result`.
#[derive(Clone, Copy, Debug)]
pub struct OfValue;

/// Reads the outcome from one part of the return value: the `Ok` value, the `Err` value,
/// or the whole value.
///
/// A side that does not look at the value is implemented for every `T`. The bound on the
/// rung has already selected the side. If the bound were repeated here, it would also
/// have to hold for the lifetimes in the function's own type.
pub trait Side<T> {
    /// The kind of status that the type has. It is known before the call ends, so a call
    /// that panics or is cancelled gets a status too.
    const PROTOCOL: Protocol = Protocol::None;
    /// Whether a framework can convert the type into a response. If not, the function is
    /// not inferred to be a handler (except on tonic).
    const IS_ANSWER: bool = true;
    /// Whether the type is text or bytes, which every framework sends with status 200.
    const IS_TEXT: bool = false;

    /// Returns the outcome, or `None` if the value does not determine it. `is_request` is
    /// whether the method of the call is known.
    fn tell(_value: &T, _is_request: bool) -> Option<Outcome> {
        None
    }
}

/// Defines a side and the rung whose method `told` returns it, for types with the bound
/// `$when`.
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
    /// A type that implements [`Tells`].
    Told, on IfTells, for <T: Tells>, then IfResponseError
);

impl<T: Tells> Side<T> for Told {
    const PROTOCOL: Protocol = T::PROTOCOL;
    const IS_TEXT: bool = T::IS_TEXT;

    fn tell(value: &T, is_request: bool) -> Option<Outcome> {
        value.tell(is_request)
    }
}

/// A type whose outcome this library knows how to read. The items mean the same as in
/// [`Side`].
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

/// Implements [`Tells`] without a status, for errors of other crates for which actix-web
/// implements `ResponseError`.
///
/// Otherwise these errors would have a status only if the feature `actix-web` is enabled.
/// Cargo unifies features, so another crate could change what a function counts. In a
/// request that our middleware for actix-web counts, the status of the response is
/// counted.
macro_rules! no_status {
    ($($error:ty)*) => {
        $(impl Tells for $error {})*
    };
}

no_status!(std::io::Error Box<dyn std::error::Error + '_> std::str::Utf8Error Infallible);
// Without actix-web, no rung would give these types a status.
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
    /// An error that actix-web can convert into a response.
    ActixError, on IfResponseError, for <T: actix_web::ResponseError>, then IfIntoResponse
);
#[cfg(not(feature = "actix-web"))]
use IfIntoResponse as IfResponseError;

#[cfg(feature = "axum")]
side!(
    /// A type that axum can convert into a response. Only axum knows the status.
    AxumAnswer, on IfIntoResponse, for <T: axum::response::IntoResponse>, then IfResponder
);
#[cfg(not(feature = "axum"))]
use IfResponder as IfIntoResponse;

#[cfg(feature = "axum")]
impl<T> Side<T> for AxumAnswer {}

#[cfg(feature = "actix-web")]
side!(
    /// A type that actix-web can convert into a response. Only actix-web knows the
    /// status.
    ActixAnswer, on IfResponder, for <T: actix_web::Responder>, then Otherwise
);
#[cfg(not(feature = "actix-web"))]
use Otherwise as IfResponder;

#[cfg(feature = "actix-web")]
impl<T> Side<T> for ActixAnswer {}

side!(
    /// Any other type. It has no status.
    Nothing, on Otherwise, for <T>
);

impl<T> Side<T> for Nothing {
    const IS_ANSWER: bool = false;
}

/// Reads the outcome from the return value of a function.
pub trait Teller<R> {
    /// See `Side::PROTOCOL`.
    const PROTOCOL: Protocol;
    /// See `Side::IS_ANSWER`.
    const IS_ANSWER: bool;
    /// Whether the outcome comes from an `outcome = …` argument.
    const IS_JUDGE: bool = false;

    /// Returns the outcome. `is_request` is whether the method of the call is known.
    fn tell(&self, value: &R, is_request: bool) -> Outcome;
}

/// Returns the outcome of a value that counts as a success if it has no status.
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

/// The teller of a function that never returns. There is no value to read, and `!`
/// implements none of the traits on the ladder.
pub const BY_NOTHING: (OfValue, Nothing, Nothing) = (OfValue, Nothing, Nothing);

/// The teller of a function with an `outcome = …` argument.
pub struct ByFunction<R>(fn(&R) -> Outcome);

impl<R> std::fmt::Debug for ByFunction<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByFunction")
    }
}

/// Creates a [`ByFunction`]. The probe fixes `R` before the compiler checks a closure, so
/// the closure's argument needs no type annotation.
pub fn by_function<R>(_probe: Probe<R>, tell: fn(&R) -> Outcome) -> ByFunction<R> {
    ByFunction(tell)
}

impl<R> Teller<R> for ByFunction<R> {
    const PROTOCOL: Protocol = Protocol::None;
    // The type of the value is not examined, so it may be a response.
    const IS_ANSWER: bool = true;
    const IS_JUDGE: bool = true;

    fn tell(&self, value: &R, _is_request: bool) -> Outcome {
        (self.0)(value)
    }
}
