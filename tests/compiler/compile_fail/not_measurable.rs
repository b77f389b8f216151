use std::arch::naked_asm;
use std::pin::Pin;

use instrument_runtime::instrumented;

#[instrumented]
const fn constant() -> u8 {
    2
}

#[instrumented]
#[unsafe(naked)]
extern "C" fn naked() {
    naked_asm!("ret")
}

trait Greet {
    #[instrumented]
    fn greet(&self);

    #[instrumented]
    async fn greet_later(&self);
}

type Later = Pin<Box<dyn Future<Output = u8>>>;

#[instrumented]
fn alias() -> Later {
    Box::pin(async { 1 })
}

#[instrumented]
#[track_caller]
fn named() -> std::future::Ready<u8> {
    std::future::ready(1)
}

#[instrumented]
fn hidden() -> impl Unpin {
    std::future::ready(1)
}

#[instrumented]
fn generic<F: Future>(future: F) -> F {
    future
}

#[instrumented(labels(number = std::future::ready(1).await))]
fn awaits() {}

fn main() {}
