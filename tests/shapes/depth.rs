//! The depth to which async functions may call each other under the default
//! `recursion_limit` of 128. One more level does not compile, so this file fails to
//! compile if an annotated function uses up more of the limit than before.

use super::instrumented;

/// Defines functions that each await the previous one.
macro_rules! chain {
    ($first:ident $($rest:ident)*) => {
        #[instrumented]
        async fn $first(number: u64) -> u64 {
            number
        }

        chain!(@after $first $($rest)*);
    };
    (@after $before:ident $next:ident $($rest:ident)*) => {
        #[instrumented]
        async fn $next(number: u64) -> u64 {
            $before(number).await + 1
        }

        chain!(@after $next $($rest)*);
    };
    (@after $last:ident) => {};
}

chain! {
    f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 f11 f12 f13 f14 f15 f16 f17 f18 f19 f20 f21 f22 f23 f24 f25
}

fn send<F: Future + Send>(future: F) -> F {
    future
}

#[test]
fn twenty_five_functions_deep() {
    let future = send(f25(0));
    assert_eq!(::futures::FutureExt::now_or_never(future), Some(24));
}
