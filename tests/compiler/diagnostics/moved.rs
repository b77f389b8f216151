use instrument_runtime::instrumented;

#[instrumented]
async fn handler(text: String) -> usize {
    drop(text);
    text.len()
}

#[instrumented]
async fn twice(text: String) -> String {
    for _ in 0..2 {
        drop(text);
    }
    String::new()
}

fn main() {
    drop((handler(String::new()), twice(String::new())));
}
