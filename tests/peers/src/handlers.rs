//! What the handlers of all servers do.

/// Waits for ever. Says on stdout when it starts, and when it is dropped.
pub(crate) async fn wait() -> &'static str {
    struct Left;
    impl Drop for Left {
        fn drop(&mut self) {
            println!("left");
        }
    }
    let _left = Left;
    println!("waits");
    std::future::pending().await
}
