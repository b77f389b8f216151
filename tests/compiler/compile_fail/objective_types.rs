use instrument_runtime::{Objective, instrumented};

const CHECKOUT: Objective = Objective::new("checkout").success(99.9);

#[instrumented(objective = MISSING)]
async fn missing() {}

const NUMBER: f64 = 99.9;

#[instrumented(objective = NUMBER)]
fn not_an_objective() {}

#[instrumented(objective = [CHECKOUT, NUMBER])]
async fn not_an_objective_in_a_list() {}

const ALL: [Objective; 1] = [CHECKOUT];

#[instrumented(objective = ALL)]
async fn a_list() {}

#[instrumented(objective = objective)]
async fn an_argument(objective: Objective) {
    let _ = objective;
}

#[instrumented(objective = T::OBJECTIVE)]
async fn of_a_parameter<T: HasObjective>() {}

trait HasObjective {
    const OBJECTIVE: Objective;
}

struct Shop;

impl Shop {
    const OBJECTIVE: Objective = CHECKOUT;

    #[instrumented(objective = Self::OBJECTIVE)]
    async fn of_the_type(&self) {}
}

fn main() {
    let _ = Shop::OBJECTIVE;
    drop((
        missing(),
        not_an_objective(),
        not_an_objective_in_a_list(),
        a_list(),
        an_argument(CHECKOUT),
        Shop.of_the_type(),
    ));
}
