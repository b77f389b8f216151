use instrument_runtime::instrumented;

#[instrumented(endpiont = "/test")]
async fn misspelt() {}

#[instrumented(route = "/test")]
async fn another_name() {}

#[instrumented(verb = "GET")]
async fn another_word() {}

#[instrumented(fields(id = 3))]
async fn as_in_tracing() {}

#[instrumented(colour = "red")]
async fn no_hint() {}

fn main() {
    drop((misspelt(), another_name(), another_word(), as_in_tracing()));
    drop(no_hint());
}
