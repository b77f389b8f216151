use instrument_runtime::instrumented;

async fn number() -> u8 {
    1
}

#[instrumented]
async fn handler() -> u8 {
    number()
}

#[instrumented]
async fn adds() -> u8 {
    1 + number()
}

fn main() {
    drop((handler(), adds()));
}
