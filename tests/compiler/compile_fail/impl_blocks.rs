use instrument_runtime::instrumented;

struct Shop;

#[instrumented(endpoint = "/shop")]
impl Shop {
    async fn endpoint(&self) {}
}

#[instrumented(method = "GET")]
impl Shop {
    async fn method(&self) {}
}

#[instrumented(outcome = |_| todo!())]
impl Shop {
    async fn outcome(&self) {}
}

#[instrumented(skip)]
impl Shop {
    async fn skip(&self) {}
}

#[instrumented(handler)]
impl Shop {
    async fn handler(&self) {}
}

#[instrumented]
impl Shop {
    fn nothing_async(&self) {}
}

#[instrumented]
impl Shop {
    #[instrumented(skip)]
    #[instrumented(endpoint = "/twice")]
    async fn annotated_twice(&self) {}
}

#[instrumented]
impl Shop {
    #[instrumented(endpoint = 3)]
    async fn wrong_inside(&self) {}
}

fn main() {
    drop((Shop.endpoint(), Shop.method(), Shop.outcome(), Shop.skip()));
    drop(Shop.handler());
    Shop.nothing_async();
    drop((Shop.annotated_twice(), Shop.wrong_inside()));
}
