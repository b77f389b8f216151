use instrument_runtime::instrumented;

async fn two(_: u8, _: &str) {}

#[instrumented]
async fn handler() {
    two(1).await;
    two("one", 2).await;
}

fn main() {
    drop(handler());
}
