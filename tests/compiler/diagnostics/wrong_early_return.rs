use instrument_runtime::instrumented;

#[instrumented]
async fn handler(early: bool) -> Result<u8, String> {
    if early {
        return "early";
    }
    Ok(1)
}

fn main() {
    drop(handler(true));
}
