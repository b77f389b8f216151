//! Functions that are not `async` and return a future. The code before the future still
//! runs when the function is called, and the measured time is that of the future.

use std::cell::Cell;
use std::fmt::Display;
use std::future::{Future, ready};
use std::pin::Pin;

use ::futures::FutureExt;
use ::futures::future::{BoxFuture, LocalBoxFuture};
use instrument_tests::recorded::{Recorded, one_call};

use super::{error, instrumented, ok, work};

#[instrumented]
fn lone_block() -> impl Future<Output = u8> {
    async { work().map(|()| 1).await }
}

#[instrumented]
fn statements_before(count: &Cell<u8>) -> impl Future<Output = u8> {
    count.set(count.get() + 1);
    let before = count.get();
    async move {
        work().await;
        before
    }
}

#[instrumented]
fn early_return(early: bool) -> Pin<Box<dyn Future<Output = &'static str>>> {
    if early {
        return Box::pin(async {
            work().await;
            "early"
        });
    }
    let late = async {
        work().await;
        "late"
    };
    Box::pin(late)
}

#[instrumented]
fn in_a_variable() -> impl Future<Output = u8> + Send {
    let future = work().map(|()| 2);
    future
}

#[instrumented]
fn from_a_match(which: u8) -> Pin<Box<dyn Future<Output = u8> + Send>> {
    match which {
        0 => Box::pin(async {
            work().await;
            0
        }),
        _ => work().map(|()| 1).boxed(),
    }
}

#[instrumented]
fn fails(text: &str) -> impl Future<Output = Result<u8, std::num::ParseIntError>> + use<> {
    let parsed = text.parse();
    async move {
        work().await;
        let number: u8 = parsed?;
        Ok(number)
    }
}

#[instrumented]
fn borrows<'a>(text: &'a str) -> impl Future<Output = &'a str> + 'a {
    async move {
        work().await;
        text
    }
}

#[instrumented]
fn captures<'a, T: Display>(text: &'a str, value: T) -> impl Future<Output = String> + use<'a, T> {
    let value = value.to_string();
    async move {
        work().await;
        format!("{text}{value}")
    }
}

#[instrumented]
fn lone_box<'a>(text: &'a str) -> Pin<Box<dyn Future<Output = usize> + Send + 'a>> {
    Box::pin(async move {
        work().await;
        text.len()
    })
}

#[instrumented]
fn by_alias(text: &str) -> BoxFuture<'_, usize> {
    async move {
        work().await;
        text.len()
    }
    .boxed()
}

#[instrumented]
fn by_local_alias(text: &str) -> LocalBoxFuture<'_, usize> {
    let text = std::rc::Rc::new(text);
    Box::pin(async move {
        work().await;
        text.len()
    })
}

#[instrumented]
fn of_an_impl_trait() -> impl Future<Output = impl Display> {
    async {
        work().await;
        "shown"
    }
}

#[instrumented]
fn through_another() -> impl Future<Output = u8> {
    lone()
}

async fn lone() -> u8 {
    work().await;
    3
}

#[test]
fn the_future_is_measured() {
    assert_eq!(ok("futures::lone_block", async || lone_block().await), 1);
    let count = Cell::new(0);
    let before = ok("futures::statements_before", async || {
        let future = statements_before(&count);
        assert_eq!(count.get(), 1, "a statement runs when the function does");
        future.await
    });
    assert_eq!(before, 1);
    for (early, text) in [(true, "early"), (false, "late")] {
        let found = ok("futures::early_return", async || early_return(early).await);
        assert_eq!(found, text);
    }
    assert_eq!(
        ok("futures::in_a_variable", async || in_a_variable().await),
        2
    );
    for which in [0, 1] {
        let found = ok("futures::from_a_match", async || from_a_match(which).await);
        assert_eq!(found, which);
    }
    assert_eq!(ok("futures::fails", async || fails("4").await), Ok(4));
    error("futures::fails", async || fails("four").await).unwrap_err();
    assert_eq!(ok("futures::borrows", async || borrows("b").await), "b");
    assert_eq!(
        ok("futures::captures", async || captures("c", 5).await),
        "c5"
    );
    assert_eq!(ok("futures::lone_box", async || lone_box("four").await), 4);
    assert_eq!(ok("futures::by_alias", async || by_alias("four").await), 4);
    assert_eq!(
        ok("futures::by_local_alias", async || {
            by_local_alias("four").await
        }),
        4
    );
    let shown = ok("futures::of_an_impl_trait", async || {
        of_an_impl_trait().await
    });
    assert_eq!(shown.to_string(), "shown");
    assert_eq!(
        ok("futures::through_another", async || through_another().await),
        3
    );
}

/// Functions whose future borrows from a `&mut`, or whose output borrows more than
/// the future does.
mod borrowed {
    use super::*;

    struct Connection {
        pings: u8,
    }

    impl Connection {
        async fn ping(&mut self) -> u8 {
            work().await;
            self.pings += 1;
            self.pings
        }
    }

    struct Pooled(Connection);

    impl Pooled {
        #[instrumented]
        fn ping(&mut self) -> BoxFuture<'_, u8> {
            Connection::ping(&mut self.0).boxed()
        }

        #[instrumented]
        fn twice(&mut self, early: bool) -> BoxFuture<'_, u8> {
            if early {
                return self.0.ping().boxed();
            }
            async move {
                self.0.ping().await;
                self.0.ping().await
            }
            .boxed()
        }

        #[instrumented]
        fn unboxed(&mut self) -> impl Future<Output = u8> {
            self.0.pings += 1;
            self.0.ping()
        }

        #[instrumented]
        fn early<'a>(&'a mut self, text: &str) -> impl Future<Output = u8> + use<'a> {
            if text.is_empty() {
                return self.0.ping();
            }
            self.0.pings += 10;
            self.0.ping()
        }

        #[instrumented]
        fn by_a_macro(&mut self) -> BoxFuture<'_, u8> {
            macro_rules! unless_zero {
                ($number:expr) => {
                    if $number != 0 {
                        return self.0.ping().boxed();
                    }
                };
            }
            unless_zero!(self.0.pings);
            work().map(|()| 0).boxed()
        }

        #[instrumented(labels(pings = self.0.pings, early = early))]
        fn labelled(&mut self, early: bool) -> BoxFuture<'_, u8> {
            if early {
                return Box::pin(self.0.ping());
            }
            match self.0.pings {
                0 => Box::pin(work().map(|()| 0)),
                _ => self.0.ping().boxed(),
            }
        }
    }

    #[test]
    fn a_future_of_a_mutable_borrow() {
        let mut pooled = Pooled(Connection { pings: 0 });
        let at = |name: &str| format!("futures::borrowed::{name}");
        assert_eq!(ok(&at("by_a_macro"), async || pooled.by_a_macro().await), 0);
        assert_eq!(ok(&at("ping"), async || pooled.ping().await), 1);
        assert_eq!(ok(&at("twice"), async || pooled.twice(true).await), 2);
        assert_eq!(ok(&at("twice"), async || pooled.twice(false).await), 4);
        assert_eq!(ok(&at("unboxed"), async || pooled.unboxed().await), 6);
        assert_eq!(ok(&at("early"), async || pooled.early("").await), 7);
        assert_eq!(ok(&at("early"), async || pooled.early("x").await), 18);
        assert_eq!(
            ok(&at("by_a_macro"), async || pooled.by_a_macro().await),
            19
        );
        let labelled = format!("{} pings=19 early=true", at("labelled"));
        assert_eq!(ok(&labelled, async || pooled.labelled(true).await), 20);
        let labelled = format!("{} pings=20 early=false", at("labelled"));
        assert_eq!(ok(&labelled, async || pooled.labelled(false).await), 21);
    }

    #[derive(Debug)]
    struct Transaction<'a>(std::marker::PhantomData<&'a Pool>);

    #[derive(Debug)]
    struct Pool;

    trait Acquire<'a> {
        fn begin(self) -> BoxFuture<'static, Result<Transaction<'a>, ()>>;
        fn early(self, fails: bool) -> BoxFuture<'static, Result<Transaction<'a>, ()>>;
    }

    impl<'a> Acquire<'a> for &'_ Pool {
        #[instrumented]
        fn begin(self) -> BoxFuture<'static, Result<Transaction<'a>, ()>> {
            let connection = String::from("open");
            Box::pin(async move {
                work().await;
                drop(connection);
                Ok(Transaction(std::marker::PhantomData))
            })
        }

        #[instrumented]
        fn early(self, fails: bool) -> BoxFuture<'static, Result<Transaction<'a>, ()>> {
            if fails {
                return Box::pin(async {
                    work().await;
                    Err(())
                });
            }
            async {
                work().await;
                Ok(Transaction(std::marker::PhantomData))
            }
            .boxed()
        }
    }

    #[test]
    fn an_output_that_borrows_more_than_the_future() {
        let at = |name: &str| format!("futures::borrowed::{name}");
        ok(&at("begin"), async || Pool.begin().await).unwrap();
        error(&at("early"), async || Pool.early(true).await).unwrap_err();
        ok(&at("early"), async || Pool.early(false).await).unwrap();
    }
}

/// With `#[track_caller]`, the body sees the caller of the function.
mod tracked {
    use std::panic::Location;

    use super::*;

    #[instrumented]
    #[track_caller]
    fn boxed() -> Pin<Box<dyn Future<Output = u32>>> {
        let line = Location::caller().line();
        Box::pin(async move {
            work().await;
            line
        })
    }

    #[instrumented]
    #[track_caller]
    fn boxed_early(early: bool) -> LocalBoxFuture<'static, u32> {
        macro_rules! line {
            () => {
                Location::caller().line()
            };
        }
        let line = line!();
        if early {
            return work().map(move |()| line).boxed_local();
        }
        Box::pin(work().map(move |()| line))
    }

    #[instrumented]
    #[track_caller]
    fn hidden() -> impl Future<Output = u32> {
        let line = Location::caller().line();
        work().map(move |()| line)
    }

    async fn after_work(line: u32) -> u32 {
        work().await;
        line
    }

    #[instrumented]
    #[track_caller]
    fn hidden_early(early: bool) -> impl Future<Output = u32> {
        let line = Location::caller().line();
        if early {
            return after_work(line);
        }
        after_work(line + 1000)
    }

    #[test]
    fn the_caller() {
        let at = |name: &str| format!("futures::tracked::{name}");
        let (line, future) = (line!(), boxed());
        assert_eq!(ok(&at("boxed"), async || future.await), line);
        for early in [true, false] {
            let (line, future) = (line!(), boxed_early(early));
            assert_eq!(ok(&at("boxed_early"), async || future.await), line);
            let (line, future) = (line!(), hidden_early(early));
            let expected = if early { line } else { line + 1000 };
            assert_eq!(ok(&at("hidden_early"), async || future.await), expected);
        }
        let (line, future) = (line!(), hidden());
        assert_eq!(ok(&at("hidden"), async || future.await), line);
    }
}

#[instrumented]
fn at_once() -> impl Future<Output = u8> {
    ready(1)
}

#[test]
fn a_future_that_is_never_polled_is_no_call() {
    Recorded::during(|recorded| {
        drop(at_once());
        assert_eq!(recorded.lines(), [""; 0]);
        assert_eq!(at_once().now_or_never(), Some(1));
        assert_eq!(
            recorded.lines(),
            one_call("endpoint=futures::at_once", "outcome=ok")
        );
    });
}

#[instrumented(labels(text = text, length = text.len()))]
fn labelled(text: String) -> impl Future<Output = String> {
    async move {
        work().await;
        text
    }
}

#[test]
fn labels_are_evaluated_before_the_future_takes_the_arguments() {
    let text = ok("futures::labelled text=abc length=3", async || {
        labelled("abc".to_owned()).await
    });
    assert_eq!(text, "abc");
    Recorded::during(|recorded| {
        drop(labelled("never".to_owned()));
        assert_eq!(recorded.lines(), [""; 0]);
    });
}

mod inference {
    use std::error::Error;

    use super::*;

    #[derive(Debug)]
    struct NoStatus;

    #[instrumented]
    fn error_type() -> impl Future<Output = Result<u8, NoStatus>> {
        async {
            work().await;
            Ok(1)
        }
    }

    #[instrumented]
    fn boxed_error_type() -> Pin<Box<dyn Future<Output = Result<u8, NoStatus>> + Send>> {
        Box::pin(async {
            work().await;
            Ok(2)
        })
    }

    #[instrumented]
    fn converted() -> impl Future<Output = String> {
        async {
            work().await;
            "text".into()
        }
    }

    #[instrumented]
    fn collected() -> impl Future<Output = Vec<u8>> {
        async {
            work().await;
            [3].into_iter().collect()
        }
    }

    #[instrumented]
    fn unsized_value() -> impl Future<Output = Box<dyn Display>> {
        async {
            work().await;
            Box::new(4) as _
        }
    }

    #[instrumented]
    fn boxes_the_error(text: &'static str) -> LocalBoxFuture<'static, Result<u8, Box<dyn Error>>> {
        Box::pin(async move {
            work().await;
            let number: u8 = text.parse()?;
            Ok(number)
        })
    }

    #[instrumented]
    fn diverges() -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async { unimplemented!() })
    }

    /// The type parameter of the output has no bounds.
    #[instrumented]
    fn unbounded<'a, F, T>(future: F) -> Pin<Box<dyn Future<Output = T> + Send + 'a>>
    where
        F: Future<Output = T> + Send + 'a,
    {
        Box::pin(future)
    }

    #[test]
    fn types_that_stand_in_the_signature_alone() {
        let at = |name: &str| format!("futures::inference::{name}");
        let number = ok(&at("error_type"), async || error_type().await);
        assert_eq!(number.unwrap(), 1);
        let number = ok(&at("boxed_error_type"), async || boxed_error_type().await);
        assert_eq!(number.unwrap(), 2);
        assert_eq!(ok(&at("converted"), async || converted().await), "text");
        assert_eq!(ok(&at("collected"), async || collected().await), [3]);
        let shown = ok(&at("unsized_value"), async || unsized_value().await);
        assert_eq!(shown.to_string(), "4");
        let number = ok(&at("boxes_the_error"), async || boxes_the_error("5").await);
        assert_eq!(number.unwrap(), 5);
        error(&at("boxes_the_error"), async || boxes_the_error("x").await).unwrap_err();
        assert_eq!(
            ok(&at("unbounded"), async || unbounded(work().map(|()| 6))
                .await),
            6
        );
        let _ = diverges;
    }
}

/// An awaitable return value is returned unchanged.
#[instrumented]
async fn spawned() -> tokio::task::JoinHandle<u8> {
    work().await;
    tokio::spawn(async { 7 })
}

#[test]
fn an_awaitable_value() {
    let seven = ok("futures::spawned", async || {
        let handle = spawned().await;
        handle.await.unwrap()
    });
    assert_eq!(seven, 7);
}
