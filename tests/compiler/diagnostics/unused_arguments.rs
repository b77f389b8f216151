use instrument_runtime::instrumented;

#[instrumented]
async fn one(text: String) {}

#[instrumented]
async fn several(text: String, (first, second): (u8, Vec<u8>), third: &str) {}

fn main() {
    drop((one(String::new()), several(String::new(), (1, vec![]), "")));
}
