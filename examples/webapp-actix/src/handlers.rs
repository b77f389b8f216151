//! The handlers. `#[instrumented]` reads the endpoint and the method from the route
//! attribute below.

use std::time::Duration;

use actix_web::get;
use instrument_runtime::instrumented;

use crate::error::AppError;

/// Returns `test`.
#[instrumented]
#[get("/test")]
pub(crate) async fn test() -> &'static str {
    "test"
}

/// Always fails with status 500. The middleware `ErrorHandlers` replaces the body of the
/// response.
#[instrumented]
#[get("/test1")]
pub(crate) async fn test1() -> Result<&'static str, AppError> {
    let answer: u32 = "not a number".parse()?;
    println!("never printed: {answer}");
    Ok("test1")
}

/// Takes two seconds. The call is cancelled if the client disconnects.
#[instrumented]
#[get("/slow")]
pub(crate) async fn slow() -> &'static str {
    actix_web::rt::time::sleep(Duration::from_secs(2)).await;
    "slow"
}
