use instrument_runtime::instrumented;

#[instrumented]
fn plain() -> u8 {
    1
}

#[instrumented]
const fn constant() -> u8 {
    2
}

fn main() {
    assert_eq!(plain() + constant(), 3);
}
