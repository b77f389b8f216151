//! Finds out from the types of a function's arguments whether it can be the handler of a
//! framework: whether all arguments are extractors, and whether one is the request
//! itself.
//!
//! Uses autoderef specialization, as for return types (see
//! [`outcome::probe`](crate::outcome::probe)). Each framework has a ladder of types;
//! method resolution goes down the ladder to the first rung whose bound holds:
//!
//! ```text
//! rung                  applies to                           `found` returns
//!
//! Axum<T, S>            HeaderMap, Method, Uri, Version      Plain
//!    │                  String, Bytes, Body                  PlainBody
//!    │                  http::Request<B>                     WholeRequest
//!    │ deref            State<X>                             OfParts
//!    ▼
//! AxumParts<T, S>       T: FromRequestParts<()>              OfParts
//!    ▼
//! AxumStateParts<T, S>  T: FromRequestParts<S>               OfParts
//!    ▼
//! AxumBody<T, S>        T: FromRequest<()>                   OfBody
//!    ▼
//! AxumStateBody<T, S>   T: FromRequest<S>                    OfBody
//!    ▼
//! AxumOther<T, S>       every T                              NotAnExtractor
//!
//! ActixWeb<T, S>        Path, Query, Json, Form, Header,     Telling
//!    │ deref            Either, Payload
//!    ▼
//! ActixWebAny<T, S>     T: FromRequest                       Plain
//!    ▼
//! ActixWebOther<T, S>   every T                              NotAnExtractor
//! ```
//!
//! The macro examines the arguments only of functions that may be inferred to be
//! handlers.

#![allow(missing_docs, reason = "named only in the expansion of the macro")]

#[cfg(any(feature = "actix-web", feature = "axum"))]
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use crate::call::extracts::{Extracts, ExtractsOf};
use crate::call::request::{HAS_LAYER, Request, Token};
use crate::outcome::probe::{ByFunction, OfResult, OfValue, Teller};
use crate::outcome::{Outcome, Protocol};

/// The kinds of a function's arguments, as a nested list of types.
///
/// The list is `()` without arguments. Otherwise it is a tuple of three types: the
/// [`Found`] of axum and the [`Found`] of actix-web for the first argument, and the list
/// of the other arguments.
pub trait ArgumentTypes {
    const EXTRACTS: ExtractsOf;
}

impl ArgumentTypes for () {
    const EXTRACTS: ExtractsOf = ExtractsOf::NO_ARGUMENTS;
}

/// Stands for arguments whose types are not examined.
#[derive(Clone, Copy, Debug)]
pub struct Unknown;

impl ArgumentTypes for Unknown {
    const EXTRACTS: ExtractsOf = ExtractsOf::UNKNOWN;
}

/// The result of a ladder for one argument.
pub trait Found {
    const EXTRACTS: Extracts;
}

impl Found for Unknown {
    const EXTRACTS: Extracts = Extracts::OTHER;
}

impl<A: Found, W: Found, Rest: ArgumentTypes> ArgumentTypes for (A, W, Rest) {
    const EXTRACTS: ExtractsOf = ExtractsOf {
        axum: A::EXTRACTS.and(Rest::EXTRACTS.axum),
        actix_web: W::EXTRACTS.and(Rest::EXTRACTS.actix_web),
    };
}

/// Examines the types of a function's arguments. Returns their [`ArgumentTypes`].
///
/// `$state` is the `S` of the function's argument `State<S>`, or `()` without one.
#[doc(hidden)]
#[macro_export]
macro_rules! __arguments {
    ($state:ty;) => { () };
    ($state:ty; $first:ty $(, $rest:ty)*) => {
        (
            $crate::__axum_argument!($first, $state),
            $crate::__actix_web_argument!($first),
            $crate::__arguments!($state; $($rest),*),
        )
    };
}

#[cfg(feature = "axum")]
#[doc(hidden)]
#[macro_export]
macro_rules! __axum_argument {
    ($type:ty, $state:ty) => {
        $crate::__private::Axum::<$type, $state>::NEW.found()
    };
}

#[cfg(not(feature = "axum"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __axum_argument {
    ($type:ty, $state:ty) => {
        $crate::__private::Unknown
    };
}

#[cfg(feature = "actix-web")]
#[doc(hidden)]
#[macro_export]
macro_rules! __actix_web_argument {
    ($type:ty) => {
        $crate::__private::ActixWeb::<$type, ()>::NEW.found()
    };
}

#[cfg(not(feature = "actix-web"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __actix_web_argument {
    ($type:ty) => {
        $crate::__private::Unknown
    };
}

/// Defines a rung of a ladder, for an argument of type `T` in a function with the state
/// `S`.
#[cfg(any(feature = "actix-web", feature = "axum"))]
macro_rules! rung {
    ($rung:ident) => {
        #[derive(Debug)]
        pub struct $rung<T, S>(PhantomData<fn() -> (T, S)>);

        impl<T, S> $rung<T, S> {
            pub const NEW: Self = Self(PhantomData);
        }
    };
    ($rung:ident, then $next:ident) => {
        rung!($rung);

        impl<T, S> Deref for $rung<T, S> {
            type Target = $next<T, S>;

            fn deref(&self) -> &Self::Target {
                const { &$next::NEW }
            }
        }
    };
}

/// Defines a type that implements [`Found`], and the rungs whose method `found` returns
/// it.
#[cfg(any(feature = "actix-web", feature = "axum"))]
macro_rules! found {
    ($found:ident($extracts:expr), on $($rung:ty, of [$($param:ident $(: $bound:path)?),*];)+) => {
        #[derive(Clone, Copy, Debug)]
        pub struct $found;

        impl Found for $found {
            const EXTRACTS: Extracts = $extracts;
        }

        $(
            impl<$($param $(: $bound)?),*> $rung {
                pub fn found(&self) -> $found {
                    $found
                }
            }
        )+
    };
}

#[cfg(feature = "axum")]
mod on_axum {
    use axum::body::Body;
    use axum::extract::{FromRequest, FromRequestParts, State};
    use axum::http::{HeaderMap, Method, Uri, Version};

    use super::{Deref, Extracts, Found, PhantomData};

    // Most extractors accept any state, so each bound is tried with the state `()` first.
    // Extractors for one type of state need the state of the function's `State` argument.
    rung!(Axum, then AxumParts);
    rung!(AxumParts, then AxumStateParts);
    rung!(AxumStateParts, then AxumBody);
    rung!(AxumBody, then AxumStateBody);
    rung!(AxumStateBody, then AxumOther);
    rung!(AxumOther);

    const OF_BODY: Extracts = Extracts::BODY.and(Extracts::TELLING);

    found!(Plain(Extracts::PLAIN), on
        Axum<HeaderMap, S>, of [S];
        Axum<Method, S>, of [S];
        Axum<Uri, S>, of [S];
        Axum<Version, S>, of [S];
    );
    found!(PlainBody(Extracts::BODY), on
        Axum<String, S>, of [S];
        Axum<hyper::body::Bytes, S>, of [S];
        Axum<Body, S>, of [S];
    );
    found!(WholeRequest(OF_BODY.and(Extracts::REQUEST)), on
        Axum<http::Request<B>, S>, of [B, S];
    );
    found!(OfParts(Extracts::TELLING), on
        Axum<State<X>, S>, of [X, S];
        AxumParts<T, S>, of [T: FromRequestParts<()>, S];
        AxumStateParts<T, S>, of [T: FromRequestParts<S>, S];
    );
    found!(OfBody(OF_BODY), on
        AxumBody<T, S>, of [T: FromRequest<()>, S];
        AxumStateBody<T, S>, of [T: FromRequest<S>, S];
    );
    found!(NotAnExtractor(Extracts::OTHER), on
        AxumOther<T, S>, of [T, S];
    );
}

#[cfg(feature = "axum")]
pub use on_axum::Axum;

#[cfg(feature = "actix-web")]
mod on_actix_web {
    use actix_web::FromRequest;
    use actix_web::web::{Either, Form, Header, Json, Path, Payload, Query};

    use super::{Deref, Extracts, Found, PhantomData};

    rung!(ActixWeb, then ActixWebAny);
    rung!(ActixWebAny, then ActixWebOther);
    rung!(ActixWebOther);

    found!(Telling(Extracts::TELLING), on
        ActixWeb<Either<L, R>, S>, of [L, R, S];
        ActixWeb<Form<T>, S>, of [T, S];
        ActixWeb<Header<T>, S>, of [T, S];
        ActixWeb<Json<T>, S>, of [T, S];
        ActixWeb<Path<T>, S>, of [T, S];
        ActixWeb<Payload, S>, of [S];
        ActixWeb<Query<T>, S>, of [T, S];
    );
    found!(Plain(Extracts::PLAIN), on
        ActixWebAny<T, S>, of [T: FromRequest, S];
    );
    found!(NotAnExtractor(Extracts::OTHER), on
        ActixWebOther<T, S>, of [T, S];
    );
}

#[cfg(feature = "actix-web")]
pub use on_actix_web::ActixWeb;

/// The layer's request that an argument carries in its extensions, if there is one.
#[derive(Debug, Default)]
pub struct Carried(Option<Arc<Request>>);

impl Carried {
    fn of(extensions: &http::Extensions) -> Self {
        if !HAS_LAYER {
            return Self(None);
        }
        let token = extensions.get::<Token>();
        Self(token.map(|token| Arc::clone(token.request())))
    }

    pub(crate) fn request(&self) -> Option<&Arc<Request>> {
        self.0.as_ref()
    }
}

/// Looks for the layer's request in an argument, by autoderef specialization.
#[derive(Debug)]
pub struct Argument<'a, T>(pub &'a T);

impl<B> Argument<'_, http::Request<B>> {
    #[must_use]
    pub fn carried(&self) -> Carried {
        Carried::of(self.0.extensions())
    }
}

impl Argument<'_, http::request::Parts> {
    #[must_use]
    pub fn carried(&self) -> Carried {
        Carried::of(&self.0.extensions)
    }
}

impl Argument<'_, http::Extensions> {
    #[must_use]
    pub fn carried(&self) -> Carried {
        Carried::of(self.0)
    }
}

#[cfg(feature = "tonic")]
impl<T> Argument<'_, tonic::Request<T>> {
    #[must_use]
    pub fn carried(&self) -> Carried {
        Carried::of(self.0.extensions())
    }
}

impl<T> Deref for Argument<'_, T> {
    type Target = AnyArgument;

    fn deref(&self) -> &AnyArgument {
        &AnyArgument
    }
}

/// The last rung: an argument that cannot carry a request.
#[derive(Debug)]
pub struct AnyArgument;

impl AnyArgument {
    #[must_use]
    #[allow(clippy::unused_self, reason = "has the signature of the other rungs")]
    pub fn carried(&self) -> Carried {
        Carried::default()
    }
}

/// A [`Teller`], and the evidence in the arguments of the function.
///
/// `A` is the `ArgumentTypes`. `C` is `Carried` if one of the arguments may be the
/// request, otherwise `()`.
#[derive(Debug)]
pub struct WithArguments<T, A, C = ()> {
    teller: T,
    arguments: A,
    carries: C,
}

impl<T, A> WithArguments<T, A> {
    pub fn of(teller: T, arguments: A) -> Self {
        Self {
            teller,
            arguments,
            carries: (),
        }
    }

    #[must_use]
    pub fn carrying(self, carried: Carried) -> WithArguments<T, A, Carried> {
        WithArguments {
            teller: self.teller,
            arguments: self.arguments,
            carries: carried,
        }
    }
}

/// Access to the [`Carried`] request, if the function has an argument for it.
pub trait Carries {
    fn carried(&self) -> Option<&Carried>;
}

impl Carries for () {
    fn carried(&self) -> Option<&Carried> {
        None
    }
}

impl Carries for Carried {
    fn carried(&self) -> Option<&Carried> {
        Some(self)
    }
}

impl<R, T: Teller<R>, A, C> Teller<R> for WithArguments<T, A, C> {
    const PROTOCOL: Protocol = T::PROTOCOL;
    const IS_ANSWER: bool = T::IS_ANSWER;
    const IS_JUDGE: bool = T::IS_JUDGE;

    fn tell(&self, value: &R, is_request: bool) -> Outcome {
        self.teller.tell(value, is_request)
    }
}

/// The evidence that a [`Teller`] has about the arguments of its function. A teller
/// without [`WithArguments`] has none.
pub trait Arguments {
    /// The kinds of the arguments, for each framework.
    const EXTRACTS: ExtractsOf = ExtractsOf::NO_ARGUMENTS;

    /// Returns the request that one of the arguments carries.
    fn carried(&self) -> Option<&Carried> {
        None
    }
}

impl<T, E> Arguments for (OfResult, T, E) {}

impl<T, E> Arguments for (OfValue, T, E) {}

impl<R> Arguments for ByFunction<R> {}

impl<T, A: ArgumentTypes, C: Carries> Arguments for WithArguments<T, A, C> {
    const EXTRACTS: ExtractsOf = A::EXTRACTS;

    #[inline]
    fn carried(&self) -> Option<&Carried> {
        self.carries.carried()
    }
}
