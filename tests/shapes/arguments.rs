//! Arguments of every kind.

use std::fmt::Display;
use std::marker::PhantomData;

use super::{instrumented, ok, work};

#[instrumented]
async fn borrowed(text: &str, count: &mut usize) {
    work().await;
    *count += text.len();
}

#[instrumented]
async fn named_lifetimes<'a, 'b: 'a>(first: &'a str, second: &'b str) -> &'a str {
    work().await;
    if first.is_empty() { second } else { first }
}

#[instrumented]
async fn elided_lifetime(words: &[String]) -> &str {
    work().await;
    &words[0]
}

struct Parser<'a>(&'a str);

#[instrumented]
async fn lifetime_in_a_path(parser: Parser<'_>) -> usize {
    work().await;
    parser.0.len()
}

#[test]
fn borrows() {
    let mut count = 1;
    ok("arguments::borrowed", async || {
        borrowed("abc", &mut count).await;
    });
    assert_eq!(count, 4);
    let longest = ok("arguments::named_lifetimes", async || {
        named_lifetimes("", "b").await
    });
    assert_eq!(longest, "b");
    let words = ["one".to_owned()];
    let first = ok("arguments::elided_lifetime", async || {
        elided_lifetime(&words).await
    });
    assert_eq!(first, "one");
    let length = ok("arguments::lifetime_in_a_path", async || {
        lifetime_in_a_path(Parser("four")).await
    });
    assert_eq!(length, 4);
}

#[instrumented]
async fn impl_trait(value: impl Display, more: impl Iterator<Item = impl Display>) -> String {
    work().await;
    more.fold(value.to_string(), |all, next| format!("{all}{next}"))
}

#[instrumented]
async fn trait_objects(value: &dyn Display, boxed: Box<dyn Fn(u8) -> u8 + '_>) -> String {
    work().await;
    format!("{value}{}", boxed(1))
}

#[instrumented]
async fn async_closure(call: impl AsyncFnOnce(u8) -> u8, pointer: fn(u8) -> u8) -> u8 {
    work().await;
    call(pointer(1)).await
}

#[test]
fn traits() {
    let joined = ok("arguments::impl_trait", async || {
        impl_trait("a", [1, 2].into_iter()).await
    });
    assert_eq!(joined, "a12");
    let shown = ok("arguments::trait_objects", async || {
        trait_objects(&7, Box::new(|n| n + 1)).await
    });
    assert_eq!(shown, "72");
    let called = ok("arguments::async_closure", async || {
        async_closure(async |n| n * 2, |n| n + 1).await
    });
    assert_eq!(called, 4);
}

struct Point {
    x: i32,
    y: i32,
}

enum Only {
    Variant(i32, i32),
}

struct Unit;

#[instrumented]
async fn patterns(
    (a, (mut b, _)): (i32, (i32, String)),
    Point { x, y: renamed }: Point,
    Only::Variant(c, ..): Only,
    [first, .., last]: [i32; 4],
    whole @ Point { x: part, .. }: Point,
    &by_reference: &i32,
    ref referenced: i32,
    Unit: Unit,
    (): (),
) -> i32 {
    work().await;
    b += 1;
    a + b + x + renamed + c + first + last + whole.y + part + by_reference + *referenced
}

#[instrumented]
async fn ignored(_: String, mut kept: Vec<u8>, _underscored: &str, _: Box<u8>) -> usize {
    work().await;
    kept.push(1);
    kept.len()
}

#[test]
fn every_pattern() {
    let sum = ok("arguments::patterns", async || {
        patterns(
            (1, (2, String::new())),
            Point { x: 4, y: 8 },
            Only::Variant(16, 0),
            [32, 0, 0, 64],
            Point { x: 128, y: 256 },
            &512,
            1024,
            Unit,
            (),
        )
        .await
    });
    assert_eq!(sum, 2048);
    let length = ok("arguments::ignored", async || {
        ignored(String::new(), vec![], "", Box::new(1)).await
    });
    assert_eq!(length, 1);
}

#[instrumented]
async fn raw_identifiers(r#type: u8, r#async: u8) -> u8 {
    work().await;
    r#type + r#async
}

#[instrumented]
async fn r#move() {
    work().await;
}

/// Arguments with the names of variables in the expansion, among others (macro hygiene).
#[instrumented(labels(label = call, other = values))]
async fn any_name(
    call: u8,
    body: u8,
    probe: u8,
    teller: u8,
    shape: u8,
    ok: u8,
    err: u8,
    output: u8,
    future: u8,
    values: u8,
    context: u8,
    caller: u8,
    __arg0: u8,
    __call_site: u8,
) -> u8 {
    work().await;
    call + body
        + probe
        + teller
        + shape
        + ok
        + err
        + output
        + future
        + values
        + context
        + caller
        + __arg0
        + __call_site
}

#[test]
fn names() {
    let sum = ok("arguments::raw_identifiers", async || {
        raw_identifiers(1, 2).await
    });
    assert_eq!(sum, 3);
    ok("arguments::move", async || r#move().await);
    let sum = ok("arguments::any_name label=1 other=1", async || {
        any_name(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1).await
    });
    assert_eq!(sum, 14);
}

#[instrumented]
async fn with_cfg(
    #[cfg(any())] missing: NoSuchType,
    #[cfg(not(any()))] kept: String,
    #[allow(unused_variables)] unused: String,
    _marker: PhantomData<*const ()>,
) -> String {
    work().await;
    kept
}

#[test]
fn attributes_on_arguments() {
    let kept = ok("arguments::with_cfg", async || {
        with_cfg("kept".into(), String::new(), PhantomData).await
    });
    assert_eq!(kept, "kept");
}
