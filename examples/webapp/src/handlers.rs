//! The handlers, each with the attribute `#[instrumented]`.
//!
//! Exemplars need the attribute `#[tracing::instrument]` too. It is below `#[instrumented]`, so
//! that its span is still current when the call ends.

use std::time::Duration;

use instrument_runtime::instrumented;

use crate::error::AppError;

/// Returns `test`.
#[instrumented(endpoint = "/test", method = "GET")]
#[tracing::instrument]
pub(crate) async fn test() -> &'static str {
    "test"
}

/// Always fails. The error middleware sends status 500.
#[instrumented(endpoint = "/test1", method = "GET")]
#[tracing::instrument]
pub(crate) async fn test1() -> Result<&'static str, AppError> {
    let answer: u32 = "not a number".parse()?;
    println!("never printed: {answer}");
    Ok("test1")
}

/// Takes two seconds, which leaves the client time to disconnect.
#[instrumented(endpoint = "/slow", method = "GET")]
#[tracing::instrument]
pub(crate) async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_secs(2)).await;
    "slow"
}
