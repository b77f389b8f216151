//! Methods with every form of `self`.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use super::{instrumented, ok, work};

#[derive(Clone, Debug, Default, PartialEq)]
struct Cart {
    items: Vec<u8>,
}

impl Cart {
    #[instrumented]
    async fn by_reference(&self) -> usize {
        work().await;
        self.items.len()
    }

    #[instrumented]
    async fn by_mutable_reference(&mut self, item: u8) -> &mut Self {
        work().await;
        self.items.push(item);
        self
    }

    #[instrumented]
    async fn by_value(self) -> Vec<u8> {
        work().await;
        let Self { items } = self;
        items
    }

    #[instrumented]
    async fn by_mutable_value(mut self, item: u8) -> Self {
        work().await;
        self.items.push(item);
        self
    }

    #[instrumented]
    async fn with_lifetime<'a>(&'a self, default: &'a u8) -> &'a u8 {
        work().await;
        self.items.first().unwrap_or(default)
    }

    #[instrumented]
    async fn in_an_arc(self: Arc<Self>) -> usize {
        work().await;
        self.items.len()
    }

    #[instrumented]
    async fn in_a_box(self: Box<Self>) -> Cart {
        work().await;
        *self
    }

    #[instrumented]
    async fn behind_an_rc(self: &Rc<Self>) -> usize {
        work().await;
        Rc::strong_count(self)
    }

    #[instrumented]
    async fn pinned(self: Pin<&mut Self>, item: u8) {
        work().await;
        self.get_mut().items.push(item);
    }

    #[instrumented(labels(items = self.items.len()))]
    async fn labelled(&self) {
        work().await;
    }

    #[instrumented]
    async fn associated() -> Self {
        work().await;
        Self::default()
    }
}

#[test]
fn every_receiver() {
    let mut cart = Cart::default();
    let after = ok("receivers::by_mutable_reference", async || {
        cart.by_mutable_reference(1).await.clone()
    });
    assert_eq!(after.items, [1]);
    assert_eq!(
        ok("receivers::by_reference", async || cart
            .by_reference()
            .await),
        1
    );
    assert_eq!(
        *ok("receivers::with_lifetime", async || {
            cart.with_lifetime(&9).await
        }),
        1
    );
    ok("receivers::pinned", async || {
        Pin::new(&mut cart).pinned(2).await;
    });
    ok("receivers::labelled items=2", async || {
        cart.labelled().await
    });
    let cart = ok("receivers::by_mutable_value", async || {
        cart.by_mutable_value(3).await
    });
    let items = ok("receivers::by_value", async || {
        cart.clone().by_value().await
    });
    assert_eq!(items, [1, 2, 3]);
    let arc = Arc::new(cart.clone());
    assert_eq!(
        ok("receivers::in_an_arc", async || arc
            .clone()
            .in_an_arc()
            .await),
        3
    );
    let rc = Rc::new(cart.clone());
    assert_eq!(
        ok("receivers::behind_an_rc", async || rc.behind_an_rc().await),
        1
    );
    let unboxed = ok("receivers::in_a_box", async || {
        Box::new(cart.clone()).in_a_box().await
    });
    assert_eq!(unboxed, cart);
    ok("receivers::associated", async || Cart::associated().await);
}
