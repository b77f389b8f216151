//! Functions with a second attribute macro that rewrites them too.

use std::pin::Pin;

use ::async_trait::async_trait;
use tracing::instrument;

use super::{instrumented, ok, work};

/// Returns the name of the span that is entered around the body, after an await.
async fn span_name() -> Option<&'static str> {
    work().await;
    tracing::Span::current().metadata().map(|span| span.name())
}

struct Spans;

impl tracing::Subscriber for Spans {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        SPANS.with_borrow_mut(|spans| {
            spans.push(span.metadata());
            tracing::span::Id::from_u64(spans.len() as u64)
        })
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, span: &tracing::span::Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.clone()));
    }
    fn exit(&self, _: &tracing::span::Id) {
        ENTERED.with_borrow_mut(Vec::pop);
    }
    fn current_span(&self) -> tracing_core::span::Current {
        ENTERED.with_borrow(|entered| match entered.last() {
            Some(id) => {
                let metadata = SPANS.with_borrow(|spans| spans[id.into_u64() as usize - 1]);
                tracing_core::span::Current::new(id.clone(), metadata)
            }
            None => tracing_core::span::Current::none(),
        })
    }
}

thread_local! {
    static SPANS: std::cell::RefCell<Vec<&'static tracing::Metadata<'static>>> =
        const { std::cell::RefCell::new(Vec::new()) };
    static ENTERED: std::cell::RefCell<Vec<tracing::span::Id>> =
        const { std::cell::RefCell::new(Vec::new()) };
}

#[instrumented]
#[instrument]
async fn above() -> Option<&'static str> {
    span_name().await
}

#[instrument]
#[instrumented]
async fn below() -> Option<&'static str> {
    span_name().await
}

#[instrumented]
#[instrument]
fn boxed() -> Pin<Box<dyn Future<Output = Option<&'static str>>>> {
    Box::pin(async move { span_name().await })
}

#[instrumented]
#[instrument]
fn opaque() -> impl Future<Output = Option<&'static str>> {
    async move { span_name().await }
}

#[async_trait]
trait Traced {
    async fn method(&self) -> Option<&'static str>;
}

#[async_trait]
impl Traced for u8 {
    #[instrumented]
    #[instrument(skip_all)]
    async fn method(&self) -> Option<&'static str> {
        span_name().await
    }
}

#[async_trait]
#[instrumented]
impl Traced for i8 {
    #[instrument(skip_all)]
    async fn method(&self) -> Option<&'static str> {
        span_name().await
    }
}

#[test]
fn a_span_stays_around_the_body() {
    tracing::subscriber::with_default(Spans, || {
        for (name, endpoint, span) in [
            (
                "above",
                "other_macros::above",
                ok("other_macros::above", async || above().await),
            ),
            (
                "below",
                "other_macros::below",
                ok("other_macros::below", async || below().await),
            ),
            (
                "boxed",
                "other_macros::boxed",
                ok("other_macros::boxed", async || boxed().await),
            ),
            (
                "opaque",
                "other_macros::opaque",
                ok("other_macros::opaque", async || opaque().await),
            ),
            (
                "method",
                "other_macros::method",
                ok("other_macros::method", async || 1_u8.method().await),
            ),
            (
                "method",
                "other_macros::i8::method",
                ok("other_macros::i8::method", async || 1_i8.method().await),
            ),
        ] {
            assert_eq!(span, Some(name), "{endpoint}");
        }
    });
}

/// The body does not use one argument. Another macro parses the expansion again.
#[allow(unused)]
#[instrumented]
#[instrument(skip_all)]
async fn half_written(used: String, unused: Vec<u8>) -> String {
    work().await;
    used
}

#[test]
fn what_another_macro_parses_again() {
    let used = ok("other_macros::half_written", async || {
        half_written("used".to_owned(), vec![]).await
    });
    assert_eq!(used, "used");
}
