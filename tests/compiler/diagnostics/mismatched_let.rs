use instrument_runtime::instrumented;

#[instrumented]
async fn handler() -> u8 {
    let number: u8 = "three";
    number
}

fn main() {
    drop(handler());
}
