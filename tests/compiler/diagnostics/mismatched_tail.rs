use instrument_runtime::instrumented;

#[instrumented]
async fn handler(text: &str) -> u8 {
    let length = text.len();
    length
}

fn main() {
    drop(handler("a"));
}
