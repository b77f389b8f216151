//! The application of the programs in `src/bin`: the parts that stay as they are when its
//! metrics change.
//!
//! The pages in `instrument-runtime/src/guide/coming_from` show the programs.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};

pub mod actix_handlers;
pub mod handlers;

/// Sleeps. Says on stdout when it starts, and when it ends or is dropped.
pub async fn sleep(millis: u64) {
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            println!("sleep ends");
        }
    }
    println!("sleep starts");
    let _ends = Ends;
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Returns a body that does not end.
pub fn endless() -> impl Stream<Item = std::io::Result<Bytes>> {
    stream::once(async { Ok(Bytes::from_static(b"the start")) }).chain(stream::pending())
}
