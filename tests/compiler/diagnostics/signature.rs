use instrument_runtime::instrumented;

#[instrumented]
async fn handler(text: Missing) -> Absent {
    text
}

#[instrumented]
async fn generic<T>(value: T) -> String {
    value.to_string()
}

fn main() {}
