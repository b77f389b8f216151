//! Functions inside functions, functions from macros, and recursive functions.

use std::pin::Pin;

use instrument_tests::recorded::Recorded;

use super::{instrumented, ok, work};

#[test]
fn in_a_function() {
    #[instrumented]
    async fn local(n: u8) -> u8 {
        #[instrumented(endpoint = "innermost")]
        async fn innermost(n: u8) -> u8 {
            n + 1
        }
        work().await;
        let _ = innermost;
        n
    }
    assert_eq!(ok("scopes::local", async || local(3).await), 3);
    const {
        #[instrumented]
        async fn in_a_const() {}
        let _ = in_a_const;
    }
    let closure = async || {
        #[instrumented(endpoint = "in a closure")]
        async fn in_a_closure() {
            work().await;
        }
        in_a_closure().await;
    };
    ok("in a closure", closure);
}

#[instrumented]
async fn recursive(depth: u8) -> u8 {
    if depth == 0 {
        return 0;
    }
    Box::pin(recursive(depth - 1)).await + 1
}

#[instrumented]
fn recursive_box(depth: u8) -> Pin<Box<dyn Future<Output = u8> + Send>> {
    Box::pin(async move {
        match depth {
            0 => 0,
            _ => recursive_box(depth - 1).await + 1,
        }
    })
}

#[test]
fn recursion() {
    Recorded::during_async(async |recorded| {
        assert_eq!(recursive(3).await, 3);
        assert_eq!(
            recorded.lines(),
            [
                "request_latency_seconds endpoint=scopes::recursive outcome=ok 4",
                "requests_in_progress endpoint=scopes::recursive 0",
                "requests_total endpoint=scopes::recursive outcome=ok 4",
            ]
        );
        assert_eq!(recursive_box(2).await, 2);
        assert!(
            recorded
                .lines()
                .contains(&"requests_total endpoint=scopes::recursive_box outcome=ok 3".to_owned())
        );
    });
}

macro_rules! handlers {
    ($($(#[$attr:meta])* $vis:vis $name:ident($($arg:ident: $ty:ty),*) -> $output:ty $body:block)*) => {
        $(
            #[instrumented]
            $(#[$attr])*
            $vis async fn $name($($arg: $ty),*) -> $output $body
        )*
    };
}

handlers! {
    /// Documented.
    pub(crate) sum(a: u8, b: u8) -> u8 {
        work().await;
        a + b
    }
    nothing() -> () {
        work().await;
    }
}

macro_rules! with_path {
    ($path:literal, $name:ident, $label:expr, $value:expr) => {
        #[instrumented(endpoint = $path, method = "GET", labels(label = $label))]
        async fn $name(argument: u8) -> u8 {
            work().await;
            let local = argument + 1;
            $value + local
        }
    };
}

with_path!("/macro", by_literal, 7, 1);

#[test]
fn made_by_macros() {
    assert_eq!(ok("scopes::sum", async || sum(1, 2).await), 3);
    ok("scopes::nothing", async || nothing().await);
    let value = super::measured(
        "method=GET endpoint=/macro label=7",
        "outcome=ok",
        async || by_literal(1).await,
    );
    assert_eq!(value, 3);
}
