//! The attribute on whole `impl` blocks.

use std::fmt::{self, Display};

use instrument_tests::recorded::{Recorded, one_call};

use super::{error, instrumented, ok, work};

struct Shop {
    open: bool,
}

/// The block keeps its own attributes, in order.
#[instrumented]
#[allow(clippy::unused_self)]
#[cfg(not(any()))]
impl Shop {
    #![allow(clippy::unnecessary_wraps)]

    /// Items other than functions are kept.
    const LIMIT: usize = 3;

    /// Without its own attribute, a function that is not async is not measured.
    fn plain(&self) -> bool {
        self.open
    }

    const fn constant() -> usize {
        Self::LIMIT
    }

    async fn buy(&self, item: &str) -> Result<usize, fmt::Error> {
        work().await;
        if self.plain() {
            Ok(item.len())
        } else {
            Err(fmt::Error)
        }
    }

    #[must_use]
    pub(crate) async fn r#return(self, _item: String) -> Self {
        work().await;
        self
    }

    fn future(&self) -> impl Future<Output = usize> + '_ {
        let open = usize::from(self.open);
        async move {
            work().await;
            open
        }
    }

    #[instrumented(skip)]
    async fn skipped(&self) {
        work().await;
    }

    #[instrumented(endpoint = "/shop", method = "POST", labels(open = self.open))]
    async fn own_attribute(&self) {
        work().await;
    }

    #[cfg(any())]
    async fn not_compiled(&self) -> NoSuchType {}
}

#[test]
fn methods() {
    let shop = Shop { open: true };
    let bought = ok("impl_block::Shop::buy", async || shop.buy("four").await);
    assert_eq!(bought, Ok(4));
    let closed = Shop { open: false };
    error("impl_block::Shop::buy", async || closed.buy("four").await).unwrap_err();
    assert_eq!(
        ok("impl_block::Shop::future", async || shop.future().await),
        1
    );
    super::measured(
        "method=POST endpoint=/shop open=true",
        "outcome=ok",
        async || shop.own_attribute().await,
    );
    Recorded::during_async(async |recorded| {
        shop.skipped().await;
        assert_eq!(recorded.lines(), [""; 0]);
    });
    assert_eq!(Shop::constant(), 3);
    let shop = ok("impl_block::Shop::return", async || {
        shop.r#return(String::new()).await
    });
    assert!(shop.open);
}

struct Configured;

/// Each call counts once, whether or not the attribute on the method applies.
#[instrumented]
impl Configured {
    #[cfg_attr(all(), instrumented(endpoint = "/applies"))]
    async fn applies(&self) {
        work().await;
    }

    #[cfg_attr(any(), instrumented(endpoint = "/never"))]
    async fn does_not_apply(&self) {
        work().await;
    }

    #[cfg_attr(all(), must_use, instrumented(skip))]
    async fn skipped(&self) -> u8 {
        work().await;
        1
    }

    #[cfg_attr(any(), instrumented(endpoint = "/one"))]
    #[cfg_attr(all(), instrumented(endpoint = "/other"))]
    async fn one_of_two(&self) {
        work().await;
    }

    #[cfg_attr(all(), cfg_attr(all(), instrumented(endpoint = "/nested")))]
    async fn nested(&self) {
        work().await;
    }
}

#[test]
fn conditional_attributes() {
    ok("/applies", async || Configured.applies().await);
    ok("impl_block::Configured::does_not_apply", async || {
        Configured.does_not_apply().await;
    });
    Recorded::during_async(async |recorded| {
        assert_eq!(Configured.skipped().await, 1);
        assert_eq!(recorded.lines(), [""; 0]);
    });
    ok("/other", async || Configured.one_of_two().await);
    ok("/nested", async || Configured.nested().await);
}

struct Holder<T>(T);

#[instrumented(labels(kind = "holder"))]
impl<T> Holder<T>
where
    T: Display + Clone,
{
    async fn show(&self) -> String {
        work().await;
        self.0.to_string()
    }

    #[instrumented(labels(value = self.0.clone()))]
    async fn labelled(&self) {
        work().await;
    }
}

trait Visit {
    type Seen;

    async fn visit(&mut self) -> Self::Seen;
}

#[instrumented]
impl<T: Clone> Visit for Holder<T> {
    type Seen = (T, u8);

    async fn visit(&mut self) -> Self::Seen {
        work().await;
        (self.0.clone(), 1)
    }
}

#[instrumented]
impl<'a> Visit for &'a str {
    type Seen = &'a str;

    async fn visit(&mut self) -> &'a str {
        work().await;
        self
    }
}

#[test]
fn generic_blocks_and_traits() {
    let holder = Holder(7);
    let shown = ok("impl_block::Holder::show kind=holder", async || {
        holder.show().await
    });
    assert_eq!(shown, "7");
    ok("impl_block::Holder::labelled value=7", async || {
        holder.labelled().await;
    });
    let seen = ok("impl_block::Holder::visit", async || {
        Holder("a").visit().await
    });
    assert_eq!(seen, ("a", 1));
    let seen = ok("impl_block::str::visit", async || "b".visit().await);
    assert_eq!(seen, "b");
}

macro_rules! service {
    ($name:ident, $method:ident -> $output:ty $body:block) => {
        struct $name;

        #[instrumented]
        impl $name {
            async fn $method(&self) -> $output $body
        }
    };
}

service!(Made, make -> u8 {
    work().await;
    6
});

#[test]
fn blocks_made_by_a_macro() {
    Recorded::during_async(async |recorded| {
        assert_eq!(Made.make().await, 6);
        assert_eq!(
            recorded.lines(),
            one_call("endpoint=impl_block::Made::make", "outcome=ok")
        );
    });
}
