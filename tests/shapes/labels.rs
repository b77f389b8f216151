//! Values of the function's own labels: strings, and other types that implement
//! `Display`.

use std::borrow::Cow;
use std::rc::Rc;

use super::{instrumented, ok, work};

#[derive(Clone, Copy)]
enum Tier {
    Gold,
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("gold")
    }
}

const REGION: &str = "eu";

#[instrumented(labels(
    tier = tier,
    owned = owned,
    borrowed = *borrowed,
    cow = cow,
    computed = { let doubled = number * 2; doubled },
    negative = -number,
    formatted = format!("{number:03}"),
    constant = REGION,
    literal = "text",
    letter = 'c',
    r#type = "raw",
    rc = rc,
    method_ = tier.to_string(),
))]
async fn of_every_kind(
    tier: Tier,
    owned: String,
    borrowed: &&str,
    cow: Cow<'_, str>,
    number: i32,
    rc: Rc<str>,
) -> String {
    drop((tier, borrowed, cow, rc));
    work().await;
    owned
}

#[instrumented(labels(length = text.len(), text = text))]
async fn moved(text: String) -> Vec<u8> {
    work().await;
    text.into_bytes()
}

#[test]
fn values() {
    let moved_out = ok(
        "labels::of_every_kind literal=text type=raw tier=gold owned=o borrowed=b cow=w \
         computed=4 negative=-2 formatted=002 constant=eu letter=c rc=r method_=gold",
        async || of_every_kind(Tier::Gold, "o".into(), &"b", "w".into(), 2, "r".into()).await,
    );
    assert_eq!(moved_out, "o");
    let bytes = ok("labels::moved length=3 text=abc", async || {
        moved("abc".into()).await
    });
    assert_eq!(bytes, b"abc");
}

mod paths {
    pub(super) const USERS: &str = "/users/{id}";
}

#[instrumented(endpoint = paths::USERS, method = "GET")]
async fn constant_endpoint() {
    work().await;
}

const LOCAL: &str = "/local";

#[instrumented(endpoint = LOCAL, labels(region = "eu"))]
fn constant_endpoint_of_a_returned_future() -> impl Future<Output = ()> {
    let before = ();
    async move {
        work().await;
        before
    }
}

#[test]
fn constants_as_endpoints() {
    super::measured(
        "method=GET endpoint=/users/{id}",
        "outcome=ok",
        async || {
            constant_endpoint().await;
        },
    );
    ok("/local region=eu", async || {
        constant_endpoint_of_a_returned_future().await;
    });
}
