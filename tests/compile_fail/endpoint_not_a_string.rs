use instrument_runtime::instrumented;

#[instrumented(endpoint = 3)]
async fn handler() {}

fn main() {
    drop(handler());
}
