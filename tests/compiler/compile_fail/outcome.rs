use instrument_runtime::{Outcome, instrumented};

fn of_a_number(_: &u32) -> Outcome {
    Outcome::Ok
}

#[instrumented(outcome = of_a_number)]
async fn text() -> String {
    String::new()
}

#[instrumented(outcome = |number| *number > 3)]
async fn number() -> u32 {
    4
}

fn main() {
    drop((text(), number()));
}
