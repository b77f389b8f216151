// Functions in the most hostile scope: no prelude, the usual names taken by
// something else, every lint an error. Included by a package of each edition,
// which says where the runtime crate is with a module `runtime`.

use crate::runtime::instrumented;

/// Shadows what expansions like to name.
pub mod shadows {
    /// Not the standard one.
    #[derive(Debug)]
    pub struct Result;
    /// Not the standard one.
    #[derive(Debug)]
    pub struct Option;
    /// Not the standard one.
    #[derive(Debug)]
    pub struct Box;
    /// Not the standard one.
    #[derive(Debug)]
    pub struct Pin;
    /// Not the standard one.
    pub trait Future {}
    /// Not the standard one.
    pub trait Send {}
}

/// Not the crate.
pub mod metrics {}
/// Not the crate.
pub mod tracing {}
/// Not the crate.
pub mod core {}
/// Not the crate.
pub mod std {}
/// Not the crate.
pub mod instrument_runtime {}

#[allow(unused_imports)]
use self::shadows::{Box, Future, Option, Pin, Result, Send};

/// Not the macro.
#[allow(unused_macros)]
macro_rules! module_path {
    () => {
        compile_error!("not this one")
    };
}

/// Not the variant.
#[allow(non_snake_case, missing_docs)]
pub const fn Ok() {}
/// Not the variant.
#[allow(non_snake_case, missing_docs)]
pub const fn Err() {}

/// Not the primitive type.
#[allow(non_camel_case_types)]
pub type u16 = ::core::primitive::u8;
/// Not the primitive type.
#[allow(non_camel_case_types)]
#[derive(Debug)]
pub struct bool;
/// Not the primitive type.
#[allow(non_camel_case_types)]
#[derive(Debug)]
pub struct str;

async fn pause() {
    ::core::future::ready(()).await;
}

/// # Errors
///
/// Never.
#[instrumented(crate = crate::runtime, endpoint = "/text", method = "GET")]
pub async fn text(
    text: &'static ::core::primitive::str,
) -> ::core::result::Result<&'static ::core::primitive::str, ::core::fmt::Error> {
    pause().await;
    ::core::result::Result::Ok(text)
}

/// Arguments in and out.
#[instrumented(crate = crate::runtime, labels(first = first, kind = "several"))]
#[must_use]
pub async fn several(first: ::core::primitive::u8, second: ::std::string::String) -> usize {
    pause().await;
    second.len() + first as usize
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

/// A type with methods.
#[derive(Debug)]
pub struct Shop<T> {
    /// The till.
    pub till: T,
}

#[instrumented(crate = crate::runtime)]
impl<T: ::core::clone::Clone + ::core::marker::Sync> Shop<T> {
    /// What is in it.
    pub async fn till(&self) -> T {
        pause().await;
        self.till.clone()
    }

    /// Nothing comes back.
    pub async fn close(self) {
        pause().await;
    }
}

/// A function of a macro, in a function.
macro_rules! made {
    ($name:ident($argument:ident: $ty:ty) $body:block) => {
        /// Made.
        #[instrumented(crate = crate::runtime, labels(argument = $argument))]
        pub async fn $name($argument: $ty) -> $ty $body
    };
}

made!(made(number: usize) {
    pause().await;
    number + 1
});

/// A status by derive.
#[derive(Debug, crate::runtime::HttpStatus)]
#[http_status(crate = crate::runtime)]
pub enum Fault {
    /// 404
    #[http_status(NOT_FOUND)]
    Missing,
    /// The inner one's.
    #[http_status(transparent)]
    Inner(::std::boxed::Box<Self>),
}

/// Items first, an argument that is kept for later, and what can be awaited.
#[instrumented(crate = crate::runtime)]
pub async fn tidy(_later: usize, first: usize, second: usize) -> ::core::future::Ready<usize> {
    const ONE: usize = 1;
    pause().await;
    ::core::future::ready(first + second + ONE)
}

/// Never comes back.
#[instrumented(crate = crate::runtime)]
pub async fn forever() -> ! {
    loop {
        pause().await;
    }
}

/// # Errors
///
/// Always.
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
    assert_eq!(block_on(boxed("four")), 4);
    assert_eq!(block_on(opaque(5)), 5);
    let shop = Shop { till: 6_u8 };
    assert_eq!(block_on(shop.till()), 6);
    block_on(shop.close());
    assert_eq!(block_on(made(7)), 8);
    assert_eq!(block_on(block_on(tidy(0, 1, 2))), 4);
    let _ = forever;
    let fault = block_on(judged()).unwrap_err();
    assert_eq!(crate::runtime::HttpStatus::http_status(&fault), 404);
}
