use instrument_runtime::instrumented;

struct Shop;

#[instrumented]
impl Shop {
    async fn buy(&self, item: &str) -> u8 {
        item.len()
    }

    async fn sell(&self) -> u8 {
        self.missing
    }
}

fn main() {
    drop((Shop.buy("a"), Shop.sell()));
}
