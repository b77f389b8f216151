//! Visibility, qualifiers and attributes of the function and in its body.

use super::{instrumented, ok, work};

pub(in crate::attributes) mod inner {
    use super::{instrumented, work};

    #[instrumented]
    pub(in crate::attributes) async fn restricted() -> u8 {
        work().await;
        1
    }
}

/// Documented.
#[instrumented]
/// On both sides.
#[must_use = "it is the point"]
#[inline]
#[expect(
    clippy::items_after_statements,
    reason = "the lint still sees the body"
)]
pub(crate) async fn with_attributes() -> usize {
    #![allow(unused_mut)]
    //! And inside.
    let mut length = 1;
    work().await;

    const LIMIT: usize = 3;
    struct Local(usize);
    impl Local {
        async fn get(self) -> usize {
            self.0
        }
    }
    fn add(n: usize) -> usize {
        n + LIMIT
    }
    use std::convert::identity as same;
    Local(add(same(length))).get().await
}

#[allow(unsafe_code)]
#[instrumented]
async unsafe fn unsafe_function(number: u8) -> u8 {
    work().await;
    number
}

#[instrumented]
#[deprecated(note = "on purpose")]
async fn deprecated() {
    work().await;
}

#[instrumented]
#[cfg(any())]
async fn not_compiled() -> NoSuchType {}

#[cfg_attr(all(), instrumented(endpoint = "/conditional"))]
async fn conditional() {
    work().await;
}

#[test]
fn attributes_stay() {
    assert_eq!(
        ok("attributes::inner::restricted", async || {
            inner::restricted().await
        }),
        1
    );
    assert_eq!(
        ok("attributes::with_attributes", async || {
            with_attributes().await
        }),
        4
    );
    #[allow(unsafe_code)]
    let number = ok("attributes::unsafe_function", async || {
        // SAFETY: the function has no preconditions.
        unsafe { unsafe_function(2).await }
    });
    assert_eq!(number, 2);
    #[allow(deprecated)]
    ok("attributes::deprecated", async || deprecated().await);
    ok("/conditional", async || conditional().await);
}
