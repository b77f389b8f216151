use instrument_runtime::instrumented;

#[instrumented]
async fn handler() -> ! {
    drop(1);
}

fn main() {
    drop(handler());
}
