use instrument_runtime::instrumented;

#[instrumented(endpoint = "/a", labels(http_route = "/b"))]
async fn route() {}

#[instrumented(labels(rpc_response_status_code = 1, http_request_method = 2))]
async fn others() {}

fn main() {
    drop((route(), others()));
}
