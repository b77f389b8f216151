//! The handlers. The attribute reads endpoint and method off the route below it.

use std::time::Duration;

use actix_web::get;
use instrument_runtime::instrumented;

use crate::error::AppError;

/// Answers `test`.
#[instrumented]
#[get("/test")]
pub(crate) async fn test() -> &'static str {
    "test"
}

/// Fails; the error handler makes a page of it.
#[instrumented]
#[get("/test1")]
pub(crate) async fn test1() -> Result<&'static str, AppError> {
    let answer: u32 = "not a number".parse()?;
    println!("never printed: {answer}");
    Ok("test1")
}

/// Takes two seconds. It is cancelled when its client hangs up.
#[instrumented]
#[get("/slow")]
pub(crate) async fn slow() -> &'static str {
    actix_web::rt::time::sleep(Duration::from_secs(2)).await;
    "slow"
}
