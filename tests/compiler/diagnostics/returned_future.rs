use instrument_runtime::instrumented;
use std::pin::Pin;

#[instrumented]
fn block() -> impl Future<Output = u8> {
    async { missing }
}

#[instrumented]
fn boxed(text: String) -> Pin<Box<dyn Future<Output = usize>>> {
    let length = text.length();
    Box::pin(async move { length })
}

fn main() {
    drop((block(), boxed(String::new())));
}
