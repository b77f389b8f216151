use instrument_runtime::instrumented;
use std::collections::HashMap;
use std::pin::Pin;

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn get(unused: &str) -> Result<HashMap<String, Vec<Option<u8>>>, Error> {
    Ok(HashMap::new())
}

#[instrumented]
fn by_name<'a>(key: &'a str) -> Pin<Box<dyn Future<Output = Result<HashMap<String, Vec<Option<u8>>>, Error>> + Send + 'a>> {
    if key.is_empty() {
        return Box::pin(get("default"));
    }
    let unused = 1;
    Box::pin(get(key))
}

fn main() {
    drop(by_name(""));
}
