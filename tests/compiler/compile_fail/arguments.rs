use instrument_runtime::instrumented;

#[instrumented(endpoint = 3)]
async fn a_number() {}

#[instrumented(endpoint = concat!("/", "users"))]
async fn a_macro() {}

#[instrumented(endpoint = "")]
async fn an_empty_one() {}

#[instrumented(endpoint)]
async fn a_bare_name() {}

#[instrumented(endpoint = )]
async fn a_name_and_an_equals_sign() {}

#[instrumented("/users")]
async fn a_value_without_a_name() {}

#[instrumented(= 3)]
async fn punctuation() {}

#[instrumented(endpoint = "/users" method = "GET")]
async fn no_comma() {}

#[instrumented(endpoint = "/a", endpoint = "/b")]
async fn twice() {}

#[instrumented(method = "GOT")]
async fn a_misspelt_method() {}

#[instrumented(method = "get")]
async fn a_method_in_small_letters() {}

#[instrumented(method = "PURGE")]
async fn an_odd_method() {}

#[instrumented(method = GET)]
async fn a_method_without_quotes() {}

#[instrumented(labels = "x")]
async fn labels_without_a_list() {}

#[instrumented(outcome)]
async fn outcome_without_a_value() {}

#[instrumented(crate)]
async fn crate_without_a_path() {}

#[instrumented(crate = "instrument_runtime")]
async fn crate_as_text() {}

#[instrumented(skip)]
async fn skip_on_a_function() {}

#[instrumented(skip = true)]
async fn skip_with_a_value() {}

#[instrumented(handler = 3)]
async fn handler_as_a_number() {}

#[instrumented(handler = )]
async fn handler_without_a_value() {}

#[instrumented(handler("GET"))]
async fn handler_with_a_list() {}

#[instrumented(handler, handler = false)]
async fn handler_and_not() {}

// Each function still exists after the error.
fn main() {
    drop((a_number(), a_macro(), an_empty_one(), a_bare_name(), twice()));
    drop((a_name_and_an_equals_sign(), a_value_without_a_name()));
    drop((punctuation(), no_comma(), a_misspelt_method(), an_odd_method()));
    drop((a_method_in_small_letters(), a_method_without_quotes()));
    drop((labels_without_a_list(), outcome_without_a_value()));
    drop((crate_without_a_path(), crate_as_text()));
    drop((skip_on_a_function(), skip_with_a_value()));
    drop((handler_as_a_number(), handler_without_a_value()));
    drop((handler_with_a_list(), handler_and_not()));
}
