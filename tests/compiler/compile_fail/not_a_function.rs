use instrument_runtime::instrumented;

#[instrumented]
#[derive(Debug)]
struct Data(u8);

#[instrumented]
enum Choice {
    One,
}

#[instrumented]
trait Greet {
    async fn greet(&self);
}

#[instrumented]
mod module {
    pub fn function() {}
}

#[instrumented]
const LIMIT: usize = 3;

#[instrumented]
use std::fmt as formatting;

#[instrumented]
unsafe extern "C" {}

impl Greet for Data {
    async fn greet(&self) {}
}

fn main() {
    let data = Data(1);
    drop(data.greet());
    println!("{:?} {LIMIT} {:?}", Data(2), formatting::Error);
    module::function();
    let Choice::One = Choice::One;
    let _ = data.0;
}
