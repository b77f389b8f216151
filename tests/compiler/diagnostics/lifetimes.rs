use instrument_runtime::instrumented;

#[instrumented]
async fn handler<'a, 'b>(first: &'a str, second: &'b str) -> &'a str {
    if first.is_empty() { second } else { first }
}

#[instrumented]
async fn stored(text: &str, all: &mut Vec<&'static str>) {
    all.push(text);
}

fn main() {
    drop((handler("a", "b"), stored("a", &mut vec![])));
}
