use instrument_runtime::instrumented;

#[instrumented]
async fn value() -> u8 { 1 }

#[instrumented]
async fn call(id: u8) -> Result<u8, ()> { Ok(value().await) }

struct Shop;

#[instrumented]
impl Shop { async fn open(&self) -> String { format!("open") } }

#[instrumented]
fn later() -> impl Future<Output = u8> { value() }

fn main() {
    drop((call(1), Shop.open(), later()));
}
