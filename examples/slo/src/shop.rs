//! The service: a shop whose checkout has an objective, and fails as often as it is told to.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use instrument_runtime::{Exporter, Objective, instrumented};

/// Of 1,000 checkouts, 999 must succeed, and 990 must end within a quarter of a second.
pub(crate) const CHECKOUT: Objective = Objective::new("checkout")
    .success(99.9)
    .latency(Duration::from_millis(250), 99.0);

/// The ratio of checkouts that [`CHECKOUT`] allows to fail.
pub(crate) const BUDGET: f64 = 0.001;

/// How many of 100 checkouts fail.
static FAULTS: AtomicU64 = AtomicU64::new(0);

/// Makes this many of 100 checkouts fail.
pub(crate) fn break_checkouts(of_hundred: u64) {
    FAULTS.store(of_hundred, Ordering::Relaxed);
}

#[instrumented(endpoint = "/cart", method = "POST", objective = CHECKOUT)]
async fn cart() -> StatusCode {
    StatusCode::CREATED
}

#[instrumented(endpoint = "/checkout", method = "POST", objective = CHECKOUT)]
async fn checkout() -> StatusCode {
    if random() % 100 < FAULTS.load(Ordering::Relaxed) {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    StatusCode::OK
}

/// Returns a random number. The standard library seeds each new hasher at random.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A running shop.
#[derive(Debug)]
pub(crate) struct Shop {
    /// The address of the shop.
    pub(crate) addr: SocketAddr,
    /// The exporter of its metrics.
    pub(crate) exporter: Exporter,
}

/// Opens the shop.
///
/// # Errors
///
/// Returns an error if a port cannot be bound.
pub(crate) async fn open() -> anyhow::Result<Shop> {
    let exporter = instrument_runtime::builder("shop")
        .listen(([127, 0, 0, 1], 0))
        .install()?;
    let app = Router::new()
        .route("/cart", post(cart))
        .route("/checkout", post(checkout))
        .route("/", get(|| async { "the shop is open" }))
        .layer(instrument_runtime::axum::layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(Shop { addr, exporter })
}
