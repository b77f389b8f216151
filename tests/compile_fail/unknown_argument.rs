use instrument_runtime::instrumented;

#[instrumented(endpiont = "/test")]
async fn misspelt() {}

#[instrumented(route = "/test")]
async fn another_name() {}

#[instrumented(colour = "red")]
async fn no_hint() {}

fn main() {
    drop((misspelt(), another_name(), no_hint()));
}
