use instrument_runtime::instrumented;

#[instrumented]
async fn handler(text: &str) -> usize {
    text.len();
}

fn main() {
    drop(handler("a"));
}
