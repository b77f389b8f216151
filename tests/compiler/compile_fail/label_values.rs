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

fn main() {
    drop((unknown_value(), not_display(), optional(None)));
}
