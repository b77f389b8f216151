//! Return types: `impl Trait` at any depth, coercions, inference, `!`.

use std::convert::Infallible;
use std::error::Error;
use std::fmt::{Debug, Display};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Waker};

use instrument_tests::recorded::{Recorded, one_call};

use super::{error, instrumented, ok, work};

#[instrumented]
async fn impl_trait(text: &str) -> impl Display + Clone {
    work().await;
    text.to_owned()
}

#[instrumented]
async fn nested(fail: bool) -> Result<Option<Vec<impl Display>>, std::fmt::Error> {
    work().await;
    if fail {
        return Err(std::fmt::Error);
    }
    Ok(Some(vec!["nested"]))
}

#[instrumented]
async fn in_a_tuple() -> (impl Display, u8) {
    work().await;
    ("tuple", 1)
}

#[instrumented]
async fn in_an_array() -> [impl Debug; 2] {
    work().await;
    [1_u8, 2]
}

#[instrumented]
async fn bound_to_a_lifetime<'a>(words: &'a [&'a str]) -> impl Iterator<Item = &'a str> + 'a {
    work().await;
    words.iter().copied().rev()
}

#[instrumented]
async fn closure(offset: u8) -> impl Fn(u8) -> u8 {
    work().await;
    move |n| n + offset
}

#[test]
fn impl_traits() {
    let text = ok("returns::impl_trait", async || impl_trait("text").await);
    assert_eq!(text.to_string(), "text");
    let nested_ = ok("returns::nested", async || nested(false).await);
    assert_eq!(nested_.unwrap().unwrap()[0].to_string(), "nested");
    let failed = error("returns::nested", async || nested(true).await.is_err());
    assert!(failed);
    let tuple = ok("returns::in_a_tuple", async || in_a_tuple().await);
    assert_eq!(tuple.0.to_string(), "tuple");
    let array = ok("returns::in_an_array", async || in_an_array().await);
    assert_eq!(format!("{array:?}"), "[1, 2]");
    let reversed: Vec<&str> = ok("returns::bound_to_a_lifetime", async || {
        bound_to_a_lifetime(&["a", "b"]).await.collect()
    });
    assert_eq!(reversed, ["b", "a"]);
    let add = ok("returns::closure", async || closure(2).await);
    assert_eq!(add(1), 3);
}

#[instrumented]
async fn boxed(number: bool) -> Box<dyn Display> {
    work().await;
    if number {
        return Box::new(7);
    }
    Box::new("seven")
}

#[instrumented]
async fn by_match(which: u8) -> Box<dyn Display + Send> {
    work().await;
    match which {
        0 => Box::new("zero"),
        1 => Box::new(1),
        _ => Box::new('2'),
    }
}

#[instrumented]
async fn reference(number: &u8) -> &dyn Display {
    work().await;
    number
}

#[instrumented]
async fn slice(array: &[u8; 3]) -> &[u8] {
    work().await;
    array
}

#[instrumented]
async fn boxed_error(text: &str) -> Result<u8, Box<dyn Error + Send + Sync>> {
    work().await;
    if text.is_empty() {
        return Err("empty".into());
    }
    Ok(text.parse::<u8>()?)
}

#[instrumented]
async fn some_box() -> Option<Box<dyn Fn(u8) -> u8>> {
    work().await;
    Some(Box::new(|n| n + 1))
}

#[test]
fn coercions() {
    for (number, shown) in [(true, "7"), (false, "seven")] {
        let value = ok("returns::boxed", async || boxed(number).await);
        assert_eq!(value.to_string(), shown);
    }
    for (which, shown) in ["zero", "1", "2"].into_iter().enumerate() {
        let value = ok("returns::by_match", async || by_match(which as u8).await);
        assert_eq!(value.to_string(), shown);
    }
    let shown = ok("returns::reference", async || reference(&5).await);
    assert_eq!(shown.to_string(), "5");
    assert_eq!(
        ok("returns::slice", async || slice(&[1, 2, 3]).await).len(),
        3
    );
    for text in ["", "x"] {
        error("returns::boxed_error", async || boxed_error(text).await).unwrap_err();
    }
    let parsed = ok("returns::boxed_error", async || boxed_error("8").await);
    assert_eq!(parsed.unwrap(), 8);
    let add = ok("returns::some_box", async || some_box().await);
    assert_eq!(add.unwrap()(1), 2);
}

#[instrumented]
async fn inferred_from_the_signature(text: &str) -> Result<u16, std::num::ParseIntError> {
    work().await;
    Ok(text.trim().parse()?)
}

#[instrumented]
async fn collected(words: &[&str]) -> Result<Vec<u8>, std::num::ParseIntError> {
    work().await;
    words.iter().map(|word| word.parse()).collect()
}

#[instrumented]
async fn defaulted() -> (u8, String) {
    work().await;
    Default::default()
}

#[instrumented]
async fn into_the_declared(text: &str) -> String {
    work().await;
    text.into()
}

#[instrumented]
async fn nothing() {
    work().await
}

#[instrumented]
async fn nothing_said() -> () {
    work().await;
}

#[test]
fn inference() {
    let number = ok("returns::inferred_from_the_signature", async || {
        inferred_from_the_signature(" 300 ").await
    });
    assert_eq!(number, Ok(300));
    let numbers = ok("returns::collected", async || collected(&["1", "2"]).await);
    assert_eq!(numbers, Ok(vec![1, 2]));
    error("returns::collected", async || collected(&["1", "x"]).await).unwrap_err();
    let default = ok("returns::defaulted", async || defaulted().await);
    assert_eq!(default, (0, String::new()));
    let text = ok("returns::into_the_declared", async || {
        into_the_declared("text").await
    });
    assert_eq!(text, "text");
    ok("returns::nothing", async || nothing().await);
    ok("returns::nothing_said", async || nothing_said().await);
}

#[instrumented]
async fn never(panics: bool) -> ! {
    loop {
        if panics {
            panic!("on purpose");
        }
        std::future::pending::<()>().await;
    }
}

#[instrumented]
async fn infallible(panics: bool) -> Result<Infallible, ()> {
    never(panics).await
}

#[test]
fn functions_that_never_return() {
    Recorded::during(|recorded| {
        let panicked = catch_unwind(|| {
            let _ = pin!(never(true)).poll(&mut Context::from_waker(Waker::noop()));
        });
        assert!(panicked.is_err());
        assert_eq!(
            recorded.lines(),
            one_call("endpoint=returns::never", "outcome=panicked")
        );
    });
    Recorded::during(|recorded| {
        let mut call = Box::pin(never(false));
        let polled = catch_unwind(AssertUnwindSafe(|| {
            call.as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        }));
        assert!(polled.unwrap());
        drop(call);
        assert_eq!(
            recorded.lines(),
            one_call("endpoint=returns::never", "outcome=cancelled")
        );
    });
}

/// Types that implement a framework's response trait only for `'static`. A function may
/// return them with any lifetime, whichever frameworks are enabled.
mod borrows {
    use std::borrow::Cow;

    use super::*;

    #[instrumented]
    async fn array(bytes: &[u8; 32]) -> &[u8; 32] {
        work().await;
        bytes
    }

    #[instrumented]
    async fn tuple(text: &str) -> (&str,) {
        work().await;
        (text,)
    }

    #[instrumented]
    async fn headers<'a>(text: &'a str) -> (http::HeaderMap, &'a str) {
        work().await;
        (http::HeaderMap::new(), text)
    }

    #[instrumented]
    async fn option(text: &str) -> Option<&str> {
        work().await;
        Some(text)
    }

    #[instrumented]
    async fn result_of_option<'a>(text: &'a str) -> Result<Option<&'a str>, ()> {
        work().await;
        Ok(Some(text))
    }

    #[instrumented]
    async fn boxed_error<'a>(text: &'a str) -> Result<u8, Box<dyn Error + 'a>> {
        work().await;
        #[derive(Debug)]
        struct Borrows<'a>(#[allow(dead_code)] &'a str);
        impl Display for Borrows<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.0)
            }
        }
        impl Error for Borrows<'_> {}
        Err(Box::new(Borrows(text)))
    }

    #[instrumented]
    async fn cow<'a>(text: &'a str) -> Result<Cow<'a, str>, Cow<'a, [u8]>> {
        work().await;
        Ok(Cow::Borrowed(text))
    }

    #[instrumented]
    async fn mutable<'a, 'b>(text: &'a mut &'b str) -> &'a mut &'b str {
        work().await;
        text
    }

    #[instrumented]
    async fn higher_ranked<'a>(
        text: &'a str,
    ) -> (&'a str, Box<dyn for<'b> Fn(&'b str) -> &'b str + 'a>) {
        work().await;
        (text, Box::new(|text| text))
    }

    #[instrumented]
    async fn function_pointer<'a>(text: &'a str) -> (&'a str, fn(&'a str) -> Option<&'a str>) {
        work().await;
        (text, |text| Some(text))
    }

    #[instrumented]
    async fn hidden<'a>(text: &'a str) -> Result<impl Display + use<'a>, (&'a str,)> {
        work().await;
        Ok(text)
    }

    #[instrumented]
    fn returned<'a>(bytes: &'a [u8; 32]) -> impl Future<Output = &'a [u8; 32]> {
        async move {
            work().await;
            bytes
        }
    }

    #[instrumented]
    fn returned_boxed<'a>(
        text: &'a str,
    ) -> ::futures::future::BoxFuture<'a, Result<Option<&'a str>, (&'a str,)>> {
        Box::pin(async move {
            work().await;
            Ok(Some(text))
        })
    }

    trait Same {
        async fn same(self) -> Self;
    }

    impl<'a> Same for &'a [u8; 32] {
        #[instrumented]
        async fn same(self) -> Self {
            work().await;
            self
        }
    }

    impl<'a> Same for Option<&'a str> {
        #[instrumented]
        async fn same(self) -> Self {
            work().await;
            self
        }
    }

    #[test]
    fn any_lifetime() {
        let text = String::from("text");
        let bytes = [7; 32];
        let at = |name: &str| format!("returns::borrows::{name}");
        assert_eq!(ok(&at("array"), async || array(&bytes).await), &bytes);
        assert_eq!(ok(&at("tuple"), async || tuple(&text).await), ("text",));
        assert_eq!(ok(&at("headers"), async || headers(&text).await).1, "text");
        assert_eq!(
            ok(&at("option"), async || option(&text).await),
            Some("text")
        );
        let found = ok(&at("result_of_option"), async || {
            result_of_option(&text).await
        });
        assert_eq!(found, Ok(Some("text")));
        let failed = error(&at("boxed_error"), async || boxed_error(&text).await);
        assert_eq!(failed.unwrap_err().to_string(), "text");
        assert_eq!(ok(&at("cow"), async || cow(&text).await).unwrap(), "text");
        let mut borrowed = &*text;
        assert_eq!(
            ok(&at("mutable"), async || *mutable(&mut borrowed).await),
            "text"
        );
        let (found, same) = ok(&at("higher_ranked"), async || higher_ranked(&text).await);
        assert_eq!(same(found), "text");
        let (found, some) = ok(&at("function_pointer"), async || {
            function_pointer(&text).await
        });
        assert_eq!(some(found), Some("text"));
        let shown = ok(&at("hidden"), async || hidden(&text).await);
        assert_eq!(shown.unwrap().to_string(), "text");
        assert_eq!(ok(&at("returned"), async || returned(&bytes).await), &bytes);
        let found = ok(&at("returned_boxed"), async || returned_boxed(&text).await);
        assert_eq!(found, Ok(Some("text")));
        assert_eq!(ok(&at("same"), async || (&bytes).same().await), &bytes);
        assert_eq!(
            ok(&at("same"), async || Some(&*text).same().await),
            Some("text")
        );
    }
}
