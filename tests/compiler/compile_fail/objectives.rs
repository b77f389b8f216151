use instrument_runtime::{Objective, instrumented};

const CHECKOUT: Objective = Objective::new("checkout").success(99.9);

#[instrumented(objective)]
async fn no_value() {}

#[instrumented(objective = )]
async fn nothing_after_the_equals_sign() {}

#[instrumented(objective = "checkout")]
async fn a_name() {}

#[instrumented(objective = 99.9)]
async fn a_number() {}

#[instrumented(objective = CHECKOUT, objective = CHECKOUT)]
async fn twice() {}

#[instrumented(objective(CHECKOUT))]
async fn in_parentheses() {}

#[instrumented(objective = (CHECKOUT, CHECKOUT))]
async fn a_tuple() {}

#[instrumented(objective = &[CHECKOUT])]
async fn a_reference() {}

#[instrumented(objective = [CHECKOUT; 2])]
async fn repeated() {}

#[instrumented(objective = [CHECKOUT, "search"])]
async fn a_name_in_a_list() {}

#[instrumented(objective = [])]
async fn an_empty_list() {}

#[instrumented(objektive = CHECKOUT)]
async fn misspelt() {}

#[instrumented(slo = CHECKOUT)]
async fn another_word() {}

struct Shop;

#[instrumented(objective = [])]
impl Shop {
    async fn an_empty_list_on_a_block(&self) {}
}

fn main() {
    drop((
        no_value(),
        nothing_after_the_equals_sign(),
        a_name(),
        a_number(),
        twice(),
        in_parentheses(),
        a_tuple(),
        a_reference(),
        repeated(),
        a_name_in_a_list(),
        an_empty_list(),
        misspelt(),
        another_word(),
        Shop.an_empty_list_on_a_block(),
    ));
}
