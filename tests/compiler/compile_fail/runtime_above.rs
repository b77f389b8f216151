use instrument_runtime::instrumented;

/// The expansion of `#[tokio::main]` above `#[instrumented]`.
#[instrumented]
fn main() {
    let body = async { println!("served") };
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("Failed building the Runtime")
        .block_on(body);
}

struct Builder;

impl Builder {
    fn new_multi_thread() -> Self {
        Self
    }

    fn enable_all(self) -> Self {
        self
    }

    fn build(self) -> Result<Self, String> {
        Ok(self)
    }

    fn block_on(self, _: impl Future) {}
}
