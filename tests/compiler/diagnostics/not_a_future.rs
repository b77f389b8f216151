use instrument_runtime::instrumented;

#[instrumented]
async fn handler(number: u8) -> u8 {
    number.await
}

fn main() {
    drop(handler(1));
}
