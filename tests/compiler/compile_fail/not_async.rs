use instrument_runtime::instrumented;

#[instrumented]
fn plain() -> u8 {
    1
}

#[instrumented]
const fn constant() -> u8 {
    2
}

#[instrumented]
fn nothing_returned() {}

#[instrumented]
fn impl_trait() -> impl std::fmt::Display {
    3
}

trait Greet {
    #[instrumented]
    async fn greet(&self);
}

impl Greet for u8 {
    async fn greet(&self) {}
}

fn main() {
    assert_eq!(plain() + constant(), 3);
    nothing_returned();
    println!("{}", impl_trait());
    drop(1_u8.greet());
}
