use instrument_runtime::instrumented;

#[instrumented(labels())]
async fn empty() {}

#[instrumented(labels(tenant))]
async fn no_value() {}

#[instrumented(labels(tenant = ))]
async fn no_value_after_the_sign() {}

#[instrumented(labels(tenant = 1, tenant = 2))]
async fn twice() {}

#[instrumented(labels("tenant" = 1))]
async fn quoted() {}

#[instrumented(labels(größe = 1))]
async fn not_ascii() {}

#[instrumented(labels(__tenant = 1))]
async fn two_underscores() {}

#[instrumented(labels(le = 1))]
async fn reserved_by_prometheus() {}

#[instrumented(labels(app_name = "x"))]
async fn reserved_by_us() {}

#[instrumented(labels(overflow = true))]
async fn reserved_for_the_overflow() {}

#[instrumented(labels(tenant-id = "x"))]
async fn with_a_hyphen() {}

#[instrumented(labels(region = "eu", x-tenant-id = 1))]
async fn with_hyphens() {}

#[instrumented(labels(tenant.id = "x"))]
async fn with_a_dot() {}

fn main() {
    drop((empty(), no_value(), no_value_after_the_sign(), twice(), quoted()));
    drop((not_ascii(), two_underscores(), reserved_by_prometheus()));
    drop((reserved_by_us(), reserved_for_the_overflow()));
}
