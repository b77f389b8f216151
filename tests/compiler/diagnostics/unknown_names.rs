use instrument_runtime::instrumented;

#[instrumented]
async fn handler() -> usize {
    missing_value + missing_function() + call
}

#[instrumented]
async fn names_of_ours() {
    drop((body, probe, teller, shape));
}

fn main() {
    drop((handler(), names_of_ours()));
}
