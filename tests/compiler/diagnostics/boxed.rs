use instrument_runtime::instrumented;
use std::fmt::Display;

#[instrumented]
async fn handler(number: bool) -> Box<dyn Display> {
    if number {
        return Box::new(1);
    }
    Box::new(())
}

#[instrumented]
async fn opaque(number: bool) -> impl Display {
    if number {
        return 1;
    }
    "one"
}

fn main() {
    drop((handler(true), opaque(true)));
}
