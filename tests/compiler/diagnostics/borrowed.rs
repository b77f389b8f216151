use instrument_runtime::instrumented;

#[instrumented]
async fn handler(mut words: Vec<String>) -> usize {
    let first = &words[0];
    words.push(String::new());
    first.len()
}

#[instrumented]
async fn not_mutable(words: Vec<u8>) {
    words.push(1);
}

#[instrumented]
async fn local_reference() -> &'static str {
    let text = String::new();
    &text
}

fn main() {
    drop((handler(vec![]), not_mutable(vec![]), local_reference()));
}
