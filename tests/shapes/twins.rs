//! Each function beside its plain twin, made of the same tokens: what is not
//! about metrics is the same.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use instrument_tests::recorded::Recorded;

use super::instrumented;

/// The same functions twice: in `plain` as they stand, in `measured` with the
/// attribute.
macro_rules! twins {
    ($($(#[$attr:meta])* fn $name:ident $tokens:tt -> $output:ty $body:block)*) => {
        mod plain {
            #[allow(unused_imports)]
            use super::*;
            $(twins!(@one [] $(#[$attr])* $name $tokens -> $output $body);)*
        }
        mod measured {
            #[allow(unused_imports)]
            use super::*;
            $(twins!(@one [#[instrumented]] $(#[$attr])* $name $tokens -> $output $body);)*
        }
    };
    (@one [$($ours:tt)*] $(#[$attr:meta])* $name:ident ($($args:tt)*) -> $output:ty $body:block) => {
        $($ours)*
        $(#[$attr])*
        pub(super) async fn $name($($args)*) -> $output $body
    };
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> bool {
    future
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

mod drop_order {
    use super::*;

    /// Writes its name down when it is dropped.
    struct Dropped<'a>(&'static str, &'a Log);

    type Log = RefCell<Vec<&'static str>>;

    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
        }
    }

    async fn pause() {
        tokio::task::yield_now().await;
    }

    struct Pair<'a> {
        left: Dropped<'a>,
        #[expect(dead_code, reason = "the rest of the argument")]
        right: Dropped<'a>,
    }

    twins! {
        fn unused(_a: Dropped<'_>, _b: Dropped<'_>, _c: Dropped<'_>) -> () {
            pause().await;
        }

        fn used_in_another_order(a: Dropped<'_>, b: Dropped<'_>, c: Dropped<'_>) -> usize {
            let sum = b.0.len() + a.0.len();
            pause().await;
            sum + c.0.len()
        }

        fn wild(_: Dropped<'_>, b: Dropped<'_>, _: Dropped<'_>) -> usize {
            pause().await;
            b.0.len()
        }

        fn partly_moved(a: Dropped<'_>, b: Dropped<'_>, c: Dropped<'_>) -> () {
            drop(b);
            pause().await;
            let _kept = a;
            let _ = &c;
        }

        fn locals(a: Dropped<'_>, b: Dropped<'_>, c: Dropped<'_>) -> () {
            let _first = Dropped("first", a.1);
            pause().await;
            let _second = Dropped("second", b.1);
            pause().await;
            let _ = Dropped("at once", c.1);
        }

        fn early(a: Dropped<'_>, b: Dropped<'_>, c: Dropped<'_>) -> Result<u8, std::num::ParseIntError> {
            let _first = Dropped("first", c.1);
            pause().await;
            let number = a.0.parse::<u8>()?;
            let _never = Dropped("never", b.1);
            Ok(number)
        }

        fn patterns((a, b): (Dropped<'_>, Dropped<'_>), Pair { left: c, .. }: Pair<'_>) -> () {
            pause().await;
            let _ = (&c, &b, &a);
        }

        fn mutable(mut a: Dropped<'_>, mut b: Vec<Dropped<'_>>, c: Dropped<'_>) -> () {
            b.push(Dropped("pushed", a.1));
            a.0 = "changed";
            pause().await;
            a = c;
            let _ = &a;
        }

        fn temporaries(a: Dropped<'_>, b: Dropped<'_>, _c: Dropped<'_>) -> usize {
            pause().await;
            Dropped("temporary", a.1).0.len() + Dropped("other", b.1).0.len()
        }

        fn panics(a: Dropped<'_>, _b: Dropped<'_>, _c: Dropped<'_>) -> () {
            let _local = Dropped("local", a.1);
            pause().await;
            panic!("on purpose");
        }
    }

    /// What is dropped when the call is polled so often, and then dropped.
    fn log<'a, F: Future + 'a>(
        log: &'a Log,
        polls: usize,
        call: impl FnOnce(Dropped<'a>, Dropped<'a>, Dropped<'a>) -> F,
    ) -> Vec<&'static str> {
        let arguments = ["1", "two", "three"].map(|name| Dropped(name, log));
        let [a, b, c] = arguments;
        let mut future = Box::pin(call(a, b, c));
        for _ in 0..polls {
            match catch_unwind(AssertUnwindSafe(|| poll_once(future.as_mut()))) {
                Ok(false) => log.borrow_mut().push("(pending)"),
                Ok(true) => {
                    log.borrow_mut().push("(ready)");
                    break;
                }
                Err(_) => {
                    log.borrow_mut().push("(panicked)");
                    break;
                }
            }
        }
        drop(future);
        log.take()
    }

    macro_rules! same {
        ($($name:ident: |$a:ident, $b:ident, $c:ident| $($arg:expr),*;)*) => {
            $(
                #[test]
                fn $name() {
                    for polls in 0..4 {
                        let seen = Log::default();
                        let plain = log(&seen, polls, |$a, $b, $c| plain::$name($($arg),*));
                        let measured = log(&seen, polls, |$a, $b, $c| measured::$name($($arg),*));
                        assert_eq!(measured, plain, "after {polls} polls");
                    }
                }
            )*
        };
    }

    same! {
        unused: |a, b, c| a, b, c;
        used_in_another_order: |a, b, c| a, b, c;
        wild: |a, b, c| a, b, c;
        partly_moved: |a, b, c| a, b, c;
        locals: |a, b, c| a, b, c;
        early: |a, b, c| a, b, c;
        mutable: |a, b, c| a, vec![b], c;
        temporaries: |a, b, c| a, b, c;
        panics: |a, b, c| a, b, c;
    }

    /// The one known difference: what a pattern leaves of its argument is dropped
    /// after all that the patterns bound, not right after its own bindings.
    #[test]
    fn patterns() {
        let seen = Log::default();
        fn pair(c: Dropped<'_>) -> Pair<'_> {
            Pair {
                right: Dropped("rest", c.1),
                left: c,
            }
        }
        let plain = log(&seen, 4, |a, b, c| plain::patterns((a, b), pair(c)));
        let measured = log(&seen, 4, |a, b, c| measured::patterns((a, b), pair(c)));
        assert_eq!(plain, ["(pending)", "three", "rest", "two", "1", "(ready)"]);
        assert_eq!(
            measured,
            ["(pending)", "three", "two", "1", "rest", "(ready)"]
        );
    }
}

mod sizes {
    use super::*;

    twins! {
        fn holds_a_kilobyte(seed: u8) -> u8 {
            let held = [seed; 1024];
            tokio::task::yield_now().await;
            held[seed as usize]
        }

        fn takes_a_kilobyte(held: [u8; 1024]) -> u8 {
            tokio::task::yield_now().await;
            held[0]
        }

        fn takes_two(held: [u8; 1024], other: Box<u8>) -> u8 {
            tokio::task::yield_now().await;
            held[0] + *other
        }

        fn small() -> () {}
    }

    #[test]
    fn at_most_128_bytes_more() {
        let pairs = [
            (
                size_of_val(&plain::holds_a_kilobyte(1)),
                size_of_val(&measured::holds_a_kilobyte(1)),
            ),
            (
                size_of_val(&plain::takes_a_kilobyte([1; 1024])),
                size_of_val(&measured::takes_a_kilobyte([1; 1024])),
            ),
            (
                size_of_val(&plain::takes_two([1; 1024], Box::new(1))),
                size_of_val(&measured::takes_two([1; 1024], Box::new(1))),
            ),
            (
                size_of_val(&plain::small()),
                size_of_val(&measured::small()),
            ),
        ];
        for (plain, measured) in pairs {
            assert!(measured <= plain + 128, "{plain} became {measured}");
        }
    }
}

mod auto_traits {
    use super::*;

    twins! {
        fn threads(text: String, shared: &str) -> usize {
            tokio::task::yield_now().await;
            text.len() + shared.len()
        }

        fn one_thread(shared: Rc<String>) -> usize {
            tokio::task::yield_now().await;
            shared.len()
        }

        fn holds_on(length: usize) -> usize {
            let held = Rc::new(length);
            tokio::task::yield_now().await;
            *held
        }

        fn unwind_safe(text: String) -> usize {
            text.len()
        }
    }

    /// `true` for what implements the trait: the inherent method comes first.
    macro_rules! implements {
        ($value:expr, $trait:path) => {{
            struct Asked<T>(std::marker::PhantomData<T>);
            trait No {
                fn answer(&self) -> bool {
                    false
                }
            }
            impl<T> No for Asked<T> {}
            impl<T: $trait> Asked<T> {
                fn answer(&self) -> bool {
                    true
                }
            }
            fn ask<T>(_: &T) -> std::marker::PhantomData<T> {
                std::marker::PhantomData
            }
            Asked(ask(&$value)).answer()
        }};
    }

    macro_rules! the_same {
        ($($call:ident($($arg:expr),*): $send:expr, $sync:expr;)*) => {
            #[test]
            fn send_and_sync_are_the_same() {
                $(
                    assert_eq!(implements!(plain::$call($($arg),*), Send), $send);
                    assert_eq!(implements!(measured::$call($($arg),*), Send), $send);
                    assert_eq!(implements!(plain::$call($($arg),*), Sync), $sync);
                    assert_eq!(implements!(measured::$call($($arg),*), Sync), $sync);
                    assert!(!implements!(measured::$call($($arg),*), Unpin));
                )*
            }
        };
    }

    the_same! {
        threads(String::new(), ""): true, true;
        one_thread(Rc::default()): false, false;
        holds_on(1): false, false;
        unwind_safe(String::new()): true, true;
    }
}

mod lifetimes {
    use super::*;

    #[instrumented]
    async fn elided(text: &str, number: &mut u8) {
        tokio::task::yield_now().await;
        *number += text.len() as u8;
    }

    #[instrumented]
    async fn from_one<'a>(text: &'a str, _other: &str) -> &'a str {
        tokio::task::yield_now().await;
        text
    }

    #[instrumented]
    fn owns_nothing(text: &str) -> impl Future<Output = usize> + use<> {
        let length = text.len();
        async move { length }
    }

    #[test]
    fn the_future_borrows_what_it_did() {
        Recorded::during_async(async |_| {
            let mut number = 1;
            {
                let text = String::from("two");
                let call = elided(&text, &mut number);
                call.await;
            }
            assert_eq!(number, 4);
            let text = String::from("text");
            let found = {
                let other = String::new();
                from_one(&text, &other).await
            };
            assert_eq!(found, "text");
            let call = owns_nothing(&String::from("gone"));
            assert_eq!(call.await, 4);
        });
    }
}
