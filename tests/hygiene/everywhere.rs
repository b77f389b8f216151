// Functions in the most hostile scope: there is no prelude, other items shadow the usual
// names, and every lint is an error. One package per edition includes this file. Its module
// `runtime` re-exports the runtime crate.

use crate::runtime::instrumented;

/// Shadows the names that macro expansions often use.
pub mod shadows {
    /// Shadows the standard library's `Result`.
    #[derive(Debug)]
    pub struct Result;
    /// Shadows the standard library's `Option`.
    #[derive(Debug)]
    pub struct Option;
    /// Shadows the standard library's `Box`.
    #[derive(Debug)]
    pub struct Box;
    /// Shadows the standard library's `Pin`.
    #[derive(Debug)]
    pub struct Pin;
    /// Shadows the standard library's `Future`.
    pub trait Future {}
    /// Shadows the standard library's `Send`.
    pub trait Send {}
}

/// Shadows the crate `metrics`.
pub mod metrics {}
/// Shadows the crate `tracing`.
pub mod tracing {}
/// Shadows the crate `core`.
pub mod core {}
/// Shadows the crate `std`.
pub mod std {}
/// Shadows the crate `instrument_runtime`.
pub mod instrument_runtime {}

#[allow(unused_imports)]
use self::shadows::{Box, Future, Option, Pin, Result, Send};

/// Shadows the macro `module_path!`.
#[allow(unused_macros)]
macro_rules! module_path {
    () => {
        compile_error!("not this one")
    };
}

/// Shadows the variant `Ok`.
#[allow(non_snake_case, missing_docs)]
pub const fn Ok() {}
/// Shadows the variant `Err`.
#[allow(non_snake_case, missing_docs)]
pub const fn Err() {}

/// Shadows the primitive type `u16`.
#[allow(non_camel_case_types)]
pub type u16 = ::core::primitive::u8;
/// Shadows the primitive type `bool`.
#[allow(non_camel_case_types)]
#[derive(Debug)]
pub struct bool;
/// Shadows the primitive type `str`.
#[allow(non_camel_case_types)]
#[derive(Debug)]
pub struct str;

async fn pause() {
    ::core::future::ready(()).await;
}

/// # Errors
///
/// Never returns an error.
#[instrumented(crate = crate::runtime, endpoint = "/text", method = "GET")]
pub async fn text(
    text: &'static ::core::primitive::str,
) -> ::core::result::Result<&'static ::core::primitive::str, ::core::fmt::Error> {
    pause().await;
    ::core::result::Result::Ok(text)
}

/// Has several arguments and returns a value.
#[instrumented(crate = crate::runtime, labels(first = first, kind = "several"))]
#[must_use]
pub async fn several(first: ::core::primitive::u8, second: ::std::string::String) -> usize {
    pause().await;
    second.len() + first as usize
}

/// Labels that await.
#[instrumented(crate = crate::runtime, labels(first = first, ready = ::core::future::ready(second).await))]
#[must_use]
pub async fn awaited(first: usize, second: ::core::primitive::char) -> usize {
    const ONE: usize = 1;
    pause().await;
    first + second.len_utf8() + ONE
}

/// What a function must achieve.
pub const OBJECTIVE: crate::runtime::Objective =
    crate::runtime::Objective::new("hygiene").success(99.9);

/// Has an objective.
#[instrumented(crate = crate::runtime, objective = OBJECTIVE)]
pub async fn with_objective() {
    pause().await;
}

/// Has objectives, and labels.
#[instrumented(
    crate = crate::runtime,
    endpoint = "/objectives",
    method = "GET",
    labels(length = length),
    objective = [
        OBJECTIVE,
        crate::runtime::Objective::new("slow").latency(::core::time::Duration::from_secs(1), 99.0),
    ]
)]
#[must_use]
pub fn with_objectives(length: usize) -> usize {
    length
}

/// A future from a plain function.
#[instrumented(crate = crate::runtime)]
#[must_use]
pub fn boxed(
    text: &::core::primitive::str,
) -> ::core::pin::Pin<::std::boxed::Box<dyn ::core::future::Future<Output = usize> + '_>> {
    let length = text.len();
    ::std::boxed::Box::pin(async move {
        pause().await;
        length
    })
}

/// A future from a plain function.
#[instrumented(crate = crate::runtime, labels(length = length))]
pub fn opaque(length: usize) -> impl ::core::future::Future<Output = usize> {
    async move {
        pause().await;
        length
    }
}

/// A function that is not async.
///
/// # Errors
///
/// Returns an error if the text is empty.
#[instrumented(crate = crate::runtime, endpoint = "/plain", method = "POST", labels(length = text.len()))]
pub fn plain(
    text: &::core::primitive::str,
    _later: ::std::string::String,
) -> ::core::result::Result<&::core::primitive::str, ::core::fmt::Error> {
    const NONE: usize = 0;
    if text.len() == NONE {
        return ::core::result::Result::Err(::core::fmt::Error);
    }
    ::core::result::Result::Ok(text)
}

/// Returns an iterator.
#[instrumented(crate = crate::runtime)]
pub fn iterator<T: ::core::clone::Clone>(
    items: &[T],
    count: usize,
) -> impl ::core::iter::Iterator<Item = T> + '_ {
    ::core::iter::Iterator::take(
        ::core::iter::Iterator::cloned(<[T]>::iter(items)),
        count,
    )
}

/// Returns a closure.
#[instrumented(crate = crate::runtime)]
pub fn closure(first: usize) -> impl ::core::ops::Fn(usize) -> usize {
    move |second| first + second
}

/// Has a caller.
#[instrumented(crate = crate::runtime)]
#[track_caller]
#[must_use]
pub fn tracked(twice: usize) -> usize {
    if twice > 1 {
        return twice + twice;
    }
    ::core::panic::Location::caller().line() as usize
}

/// Panics.
///
/// # Panics
///
/// Always.
#[instrumented(crate = crate::runtime)]
pub fn panics(message: &::core::primitive::str) -> ! {
    ::core::panic!("{}", message)
}

/// A type with methods.
#[derive(Debug)]
pub struct Shop<T> {
    /// The till.
    pub till: T,
}

#[instrumented(crate = crate::runtime)]
impl<T: ::core::clone::Clone + ::core::marker::Sync> Shop<T> {
    /// Returns the content of the till.
    pub async fn till(&self) -> T {
        pause().await;
        self.till.clone()
    }

    /// Returns nothing.
    pub async fn close(self) {
        pause().await;
    }

    /// Returns the till.
    #[instrumented]
    pub fn plain(&mut self) -> &mut T {
        &mut self.till
    }
}

/// Defines an annotated function in a macro.
macro_rules! made {
    ($name:ident($argument:ident: $ty:ty) $body:block) => {
        /// A function that a macro defines.
        #[instrumented(crate = crate::runtime, labels(argument = $argument))]
        pub async fn $name($argument: $ty) -> $ty $body
    };
}

made!(made(number: usize) {
    pause().await;
    number + 1
});

/// Defines an annotated function that is not async in a macro.
macro_rules! made_plain {
    ($name:ident($argument:ident: $ty:ty) $body:block) => {
        /// A function that a macro defines.
        #[instrumented(crate = crate::runtime, labels(argument = $argument))]
        #[must_use]
        pub fn $name($argument: $ty) -> $ty $body
    };
}

made_plain!(made_plain(number: usize) {
    number + 1
});

/// An error with a derived HTTP status.
#[derive(Debug, crate::runtime::HttpStatus)]
#[http_status(crate = crate::runtime)]
pub enum Fault {
    /// 404
    #[http_status(NOT_FOUND)]
    Missing,
    /// The status of the inner error.
    #[http_status(transparent)]
    Inner(::std::boxed::Box<Self>),
}

/// Starts with an item, has an unused argument, and returns a future.
#[instrumented(crate = crate::runtime)]
pub async fn tidy(_later: usize, first: usize, second: usize) -> ::core::future::Ready<usize> {
    const ONE: usize = 1;
    pause().await;
    ::core::future::ready(first + second + ONE)
}

/// Never returns.
#[instrumented(crate = crate::runtime)]
pub async fn forever() -> ! {
    loop {
        pause().await;
    }
}

/// # Errors
///
/// Always returns an error.
#[instrumented(crate = crate::runtime, outcome = |_| crate::runtime::Outcome::ClientError)]
pub async fn judged() -> ::core::result::Result<(), Fault> {
    pause().await;
    ::core::result::Result::Err(Fault::Inner(::std::boxed::Box::new(Fault::Missing)))
}

#[test]
fn all_of_them_run() {
    use ::futures::executor::block_on;
    use ::std::assert_eq;
    use ::std::string::ToString;

    assert_eq!(block_on(text("text")).unwrap(), "text");
    assert_eq!(block_on(several(1, "two".to_string())), 4);
    assert_eq!(block_on(awaited(1, '3')), 3);
    assert_eq!(block_on(boxed("four")), 4);
    assert_eq!(block_on(opaque(5)), 5);
    block_on(with_objective());
    assert_eq!(with_objectives(5), 5);
    assert_eq!(plain("six", ::std::string::String::new()).unwrap(), "six");
    assert_eq!(::core::iter::Iterator::count(iterator(&[1, 2, 3], 2)), 2);
    assert_eq!(closure(1)(2), 3);
    assert_eq!(tracked(2), 4);
    let _: fn(&'static _) -> _ = panics;
    assert_eq!(made_plain(7), 8);
    let mut shop = Shop { till: 5_u8 };
    *shop.plain() = 6;
    assert_eq!(block_on(shop.till()), 6);
    block_on(shop.close());
    assert_eq!(block_on(made(7)), 8);
    assert_eq!(block_on(block_on(tidy(0, 1, 2))), 4);
    let _ = forever;
    let fault = block_on(judged()).unwrap_err();
    assert_eq!(crate::runtime::HttpStatus::http_status(&fault), 404);
}
