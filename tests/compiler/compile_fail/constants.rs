use instrument_runtime::instrumented;

#[instrumented(endpoint = MISSING)]
async fn missing() {}

const NUMBER: u8 = 3;

#[instrumented(endpoint = NUMBER)]
async fn not_a_string() {}

const EMPTY: &str = "";

#[instrumented(endpoint = EMPTY)]
async fn empty() {}

#[instrumented(endpoint = path)]
async fn an_argument(path: &'static str) {
    drop(path);
}

fn main() {
    drop((missing(), not_a_string(), empty(), an_argument("/")));
}
