//! Type, lifetime and const parameters, where clauses, associated types.

use std::collections::HashMap;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::str::FromStr;

use super::{error, instrumented, ok, work};

#[instrumented]
async fn types<K, V>(key: K, value: V) -> HashMap<K, V>
where
    K: Hash + Eq + 'static,
    V: Clone,
    Vec<V>: Debug,
{
    work().await;
    HashMap::from([(key, value)])
}

#[instrumented]
async fn constant<const N: usize, T: Default + Copy>() -> [T; N] {
    work().await;
    [T::default(); N]
}

#[instrumented]
async fn qualified_self<I>(mut items: I) -> Option<<I as Iterator>::Item>
where
    I: Iterator,
    <I as Iterator>::Item: Debug,
{
    work().await;
    items.next()
}

#[instrumented]
async fn associated_error<T: FromStr>(text: &str) -> Result<T, <T as FromStr>::Err> {
    work().await;
    let parsed = text.parse()?;
    Ok(parsed)
}

#[instrumented]
async fn higher_ranked<F>(find: F, text: &str) -> usize
where
    F: for<'x> Fn(&'x str) -> &'x str,
{
    work().await;
    find(text).len()
}

#[instrumented(labels(item = item))]
async fn unsized_and_labelled<T: Display + ?Sized>(item: &T) -> usize {
    work().await;
    item.to_string().len()
}

#[test]
fn parameters() {
    let map = ok("generics::types", async || types("k", 1).await);
    assert_eq!(map["k"], 1);
    let zeros = ok("generics::constant", async || constant::<3, u8>().await);
    assert_eq!(zeros, [0; 3]);
    let first = ok("generics::qualified_self", async || {
        qualified_self([7, 8].into_iter()).await
    });
    assert_eq!(first, Some(7));
    let parsed = ok("generics::associated_error", async || {
        associated_error::<u8>("9").await
    });
    assert_eq!(parsed, Ok(9));
    let refused = error("generics::associated_error", async || {
        associated_error::<u8>("x").await
    });
    assert!(refused.is_err());
    let length = ok("generics::higher_ranked", async || {
        higher_ranked(|text| &text[1..], "abc").await
    });
    assert_eq!(length, 2);
    let length = ok("generics::unsized_and_labelled item=abc", async || {
        unsized_and_labelled("abc").await
    });
    assert_eq!(length, 3);
}
