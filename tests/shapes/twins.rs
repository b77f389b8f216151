//! Compares each annotated function with a plain function made of the same tokens. Apart
//! from the metrics, both must behave the same.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use instrument_tests::recorded::Recorded;

use super::instrumented;

/// Defines the same functions twice: in `plain` without the attribute, in `measured` with
/// it.
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

    /// Logs its name when it is dropped.
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

    /// Polls the call `polls` times, drops it, and returns what was dropped.
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

    /// The only known difference is the drop order of the parts of an argument that its
    /// pattern does not bind. The plain function drops them right after the bindings of
    /// the pattern, the annotated function after the bindings of all patterns.
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

mod drop_state {
    use super::*;

    type Log = RefCell<Vec<(u32, bool)>>;

    /// Logs its state when it is dropped.
    struct Tracker<'a> {
        n: u32,
        is_armed: bool,
        log: &'a Log,
    }

    impl Drop for Tracker<'_> {
        fn drop(&mut self) {
            self.log.borrow_mut().push((self.n, self.is_armed));
        }
    }

    type Alias<'a> = Tracker<'a>;

    async fn pause() {
        tokio::task::yield_now().await;
    }

    twins! {
        fn alone(mut t: Tracker<'_>) -> u32 {
            for n in [1, 2, 3] { t.n += n; pause().await; }
            t.n
        }

        fn beside_a_reference(mut t: Tracker<'_>, numbers: &[u32]) -> u32 {
            for n in numbers { t.n += n; }
            pause().await;
            t.n
        }

        #[rustfmt::skip]
        fn by_alias(mut t: Alias<'_>) -> () { t.is_armed = false; }

        #[allow(non_snake_case)]
        fn in_capitals(mut T: Tracker<'_>) -> () {
            T.n = 4;
            pause().await;
        }

        #[allow(non_snake_case)]
        fn in_capitals_and_a_tuple((mut T, _n): (Tracker<'_>, u8)) -> () {
            T.n = 4;
            pause().await;
        }

        fn boxed(mut t: Box<Tracker<'_>>) -> () {
            t.n = 5;
            pause().await;
        }

        fn in_a_tuple((mut t, n): (Tracker<'_>, u32)) -> u32 {
            t.n = n;
            pause().await;
            t.n
        }

        fn in_a_struct(mut pair: (Tracker<'_>, Tracker<'_>)) -> u32 {
            pair.0.n = 6;
            pair.1.is_armed = false;
            pause().await;
            pair.0.n
        }

        fn fails(mut t: Tracker<'_>) -> Result<u32, std::num::ParseIntError> {
            t.n = 8;
            pause().await;
            let n = "x".parse::<u32>()?;
            t.n = 9;
            Ok(n)
        }

        fn panics(mut t: Tracker<'_>) -> () {
            t.n = 10;
            pause().await;
            panic!("on purpose");
        }
    }

    /// Defines the same methods twice, in two traits.
    macro_rules! methods {
        ($module:ident $($attr:meta)?) => {
            mod $module {
                use super::*;

                pub(super) trait Methods<'a> {
                    async fn by_value(self);
                    async fn takes_self_apart(self) -> bool;
                    fn boxed(self) -> Pin<Box<dyn Future<Output = ()> + 'a>>;
                    fn after(self) -> Pin<Box<dyn Future<Output = ()> + 'a>>;
                    fn by_another(self) -> Pin<Box<dyn Future<Output = ()> + 'a>>;
                    fn early(self) -> Pin<Box<dyn Future<Output = ()> + 'a>>;
                }

                impl<'a> Methods<'a> for Tracker<'a> {
                    $(#[$attr])?
                    async fn by_value(mut self) {
                        self.is_armed = false;
                        pause().await;
                    }

                    $(#[$attr])?
                    async fn takes_self_apart(mut self) -> bool {
                        let Self { n, is_armed, .. } = &mut self;
                        *n = 10;
                        pause().await;
                        *is_armed
                    }

                    $(#[$attr])?
                    fn boxed(mut self) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
                        Box::pin(async move {
                            let whole = &mut self;
                            whole.n = 11;
                            pause().await;
                        })
                    }

                    $(#[$attr])?
                    fn after(mut self) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
                        self.n = 12;
                        Box::pin(async { pause().await })
                    }

                    $(#[$attr])?
                    fn by_another(mut self) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
                        self.n += 13;
                        ::futures::FutureExt::boxed_local(pause())
                    }

                    $(#[$attr])?
                    fn early(mut self) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
                        macro_rules! unless_armed {
                            ($future:expr) => {
                                if self.is_armed {
                                    return $future;
                                }
                            };
                        }
                        self.n = 14;
                        unless_armed!(Box::pin(pause()));
                        self.n = 15;
                        Box::pin(async {})
                    }
                }
            }
        };
    }

    methods!(plain_methods);
    methods!(measured_methods instrumented);

    /// Polls the call `polls` times, drops it, and returns the states that were dropped.
    fn log<'a, F: Future>(
        log: &'a Log,
        polls: usize,
        call: impl FnOnce(Tracker<'a>) -> F,
    ) -> Vec<(u32, bool)> {
        let mut future = Box::pin(call(Tracker {
            n: 0,
            is_armed: true,
            log,
        }));
        for _ in 0..polls {
            match catch_unwind(AssertUnwindSafe(|| poll_once(future.as_mut()))) {
                Ok(false) => {}
                Ok(true) | Err(_) => break,
            }
        }
        drop(future);
        log.take()
    }

    macro_rules! same {
        ($($name:ident: |$t:ident| ($($arg:expr),*);)*) => {
            $(
                #[test]
                fn $name() {
                    for polls in 0..6 {
                        let seen = Log::default();
                        let plain = log(&seen, polls, |$t| plain::$name($($arg),*));
                        let measured = log(&seen, polls, |$t| measured::$name($($arg),*));
                        assert!(!plain.is_empty());
                        assert_eq!(measured, plain, "after {polls} polls");
                    }
                }
            )*
        };
    }

    same! {
        alone: |t| (t);
        beside_a_reference: |t| (t, &[1, 2, 3]);
        by_alias: |t| (t);
        in_capitals: |t| (t);
        in_capitals_and_a_tuple: |t| ((t, 1));
        boxed: |t| (Box::new(t));
        in_a_tuple: |t| ((t, 3));
        in_a_struct: |t| ((another(&t), t));
        fails: |t| (t);
        panics: |t| (t);
    }

    fn another<'a>(t: &Tracker<'a>) -> Tracker<'a> {
        Tracker {
            n: 1,
            is_armed: t.is_armed,
            log: t.log,
        }
    }

    macro_rules! same_methods {
        ($($name:ident)*) => {
            $(
                #[test]
                fn $name() {
                    for polls in 0..4 {
                        let seen = Log::default();
                        let plain = log(&seen, polls, |t| plain_methods::Methods::$name(t));
                        let measured = log(&seen, polls, |t| measured_methods::Methods::$name(t));
                        assert!(!plain.is_empty());
                        assert_eq!(measured, plain, "after {polls} polls");
                    }
                }
            )*
        };
    }

    mod methods {
        use super::*;

        same_methods!(by_value takes_self_apart boxed after by_another early);
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

        fn not_unwind_safe(number: &mut u8) -> u8 {
            tokio::task::yield_now().await;
            *number
        }

        fn awaits_it(number: &Cell<u8>) -> u8 {
            not_unwind_safe(&mut number.get()).await
        }
    }

    /// Evaluates to `true` if the value's type implements the trait: method resolution
    /// prefers the inherent method.
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

            #[test]
            fn what_may_cross_an_unwinding_is_the_same() {
                $(
                    assert_eq!(
                        implements!(measured::$call($($arg),*), UnwindSafe),
                        implements!(plain::$call($($arg),*), UnwindSafe),
                    );
                    assert_eq!(
                        implements!(measured::$call($($arg),*), RefUnwindSafe),
                        implements!(plain::$call($($arg),*), RefUnwindSafe),
                    );
                )*
            }
        };
    }

    the_same! {
        threads(String::new(), ""): true, true;
        one_thread(Rc::default()): false, false;
        holds_on(1): false, false;
        unwind_safe(String::new()): true, true;
        not_unwind_safe(&mut 1): true, true;
        awaits_it(&Cell::new(1)): false, false;
    }

    #[test]
    fn some_may_cross_an_unwinding() {
        assert!(implements!(plain::unwind_safe(String::new()), UnwindSafe));
        assert!(!implements!(plain::not_unwind_safe(&mut 1), UnwindSafe));
    }

    /// The expression of the second label awaits. The value of the first label is neither
    /// `Copy` nor a reference.
    #[instrumented(labels(first = text, second = length(&text).await, third = text.trim()))]
    async fn awaited_labels(text: String) -> usize {
        instrument_tests::recorded::work().await;
        text.len()
    }

    async fn length(text: &str) -> usize {
        tokio::task::yield_now().await;
        text.len()
    }

    #[test]
    fn an_awaited_label_keeps_the_future_send() {
        assert!(implements!(awaited_labels(String::new()), Send));
        let at = "twins::auto_traits::awaited_labels";
        super::super::ok(&format!("{at} first= ab second=3 third=ab"), async || {
            awaited_labels(String::from(" ab")).await
        });
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
