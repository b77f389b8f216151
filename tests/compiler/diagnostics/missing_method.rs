use instrument_runtime::instrumented;

#[instrumented]
async fn handler(text: String) -> usize {
    text.length()
}

fn main() {
    drop(handler(String::new()));
}
