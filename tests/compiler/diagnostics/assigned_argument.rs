use instrument_runtime::instrumented;

#[instrumented]
async fn handler(mut text: String, other: String) {
    text = other;
}

fn main() {
    drop(handler(String::new(), String::new()));
}
