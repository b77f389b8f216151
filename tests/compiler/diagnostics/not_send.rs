use instrument_runtime::instrumented;
use std::rc::Rc;

fn spawn(_: impl Future + Send) {}

async fn pause() {}

#[instrumented]
async fn handler() -> usize {
    let shared = Rc::new(1);
    pause().await;
    *shared
}

fn main() {
    spawn(handler());
}
