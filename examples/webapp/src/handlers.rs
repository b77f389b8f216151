//! The handlers, each with one attribute.

use std::time::Duration;

use instrument_runtime::instrumented;

use crate::error::AppError;

/// Answers `test`.
#[instrumented(endpoint = "/test", method = "GET")]
pub(crate) async fn test() -> &'static str {
    "test"
}

/// Fails; the error layer makes a 500 of it.
#[instrumented(endpoint = "/test1", method = "GET")]
pub(crate) async fn test1() -> Result<&'static str, AppError> {
    let answer: u32 = "not a number".parse()?;
    println!("never printed: {answer}");
    Ok("test1")
}

/// Takes two seconds, long enough to hang up on.
#[instrumented(endpoint = "/slow", method = "GET")]
pub(crate) async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_secs(2)).await;
    "slow"
}
