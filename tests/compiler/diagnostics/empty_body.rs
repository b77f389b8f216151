use instrument_runtime::instrumented;

#[instrumented]
async fn handler() -> usize {}

fn main() {
    drop(handler());
}
