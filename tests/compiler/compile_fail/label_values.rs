use instrument_runtime::instrumented;

#[instrumented(labels(tenant = missing))]
async fn unknown_value() {}

struct NotDisplay;

#[instrumented(labels(region = "eu", tenant = NotDisplay))]
async fn not_display() {}

#[instrumented(labels(tenant = tenant))]
async fn optional(tenant: Option<String>) {
    drop(tenant);
}

#[instrumented(labels(tenant = tenant, shard = shard().await))]
async fn awaited(tenant: Option<String>) {
    drop(tenant);
}

#[instrumented(labels(tenant = tenant.await, shard = shard().await))]
async fn not_a_future(tenant: u8) {
    drop(tenant);
}

async fn shard() -> u8 {
    1
}

fn main() {
    drop((unknown_value(), not_display(), optional(None), awaited(None), not_a_future(1)));
}
