use instrument_runtime::instrumented;

#[must_use]
fn result() -> u8 {
    1
}

async fn pause() {}

#[instrumented]
async fn unused(used: u8, mut never_changed: Vec<u8>) -> usize {
    let local = 1;
    let mut changed = used;
    changed = 2;
    result();
    pause();
    never_changed.len()
}

#[instrumented]
async fn unreachable(early: bool) -> u8 {
    if early {
        return 1;
    }
    return 2;
    3
}

#[instrumented]
async fn dead(value: u8) -> u8 {
    (value)
}

#[instrumented]
async fn nonSnakeCase() -> Result<(), u8> {
    pause().await;
    return Ok(());
    #[allow(unused)]
    {
        Err(1)
    }
}

struct NeverBuilt;

#[instrumented]
#[must_use]
async fn must_use() -> u8 {
    1
}

#[instrumented]
#[deprecated]
async fn deprecated() {}

async fn caller() {
    must_use().await;
    deprecated().await;
    unused(1, vec![]);
}

fn main() {
    drop((unused(1, vec![]), unreachable(true)));
    drop((nonSnakeCase(), caller()));
}
