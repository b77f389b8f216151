use instrument_runtime::instrumented;

#[instrumented]
async fn arms(number: u8) -> String {
    match number {
        0 => "zero",
        1 => String::new(),
    }
}

#[instrumented]
async fn no_else(number: u8) -> u8 {
    if number > 1 {
        number
    }
}

fn main() {
    drop((arms(1), no_else(1)));
}
