use instrument_runtime::instrumented;

#[instrumented]
async fn handler(text: &str) -> Result<u8, String> {
    let number = text.parse::<u8>()?;
    Ok(number)
}

#[instrumented]
async fn no_result(text: &str) -> u8 {
    text.parse::<u8>()?
}

fn main() {
    drop((handler("1"), no_result("1")));
}
