use std::time::Duration;

use instrument_runtime::{Objective, instrumented};

const UNNAMED: Objective = Objective::new("").success(99.9);
const TOO_MUCH: Objective = Objective::new("x").success(100.1);
const NEGATIVE: Objective = Objective::new("x").success(-1.0);
const NOT_A_NUMBER: Objective = Objective::new("x").success(f64::NAN);
const PERFECT: Objective = Objective::new("x").success(100.0);
const RATIO: Objective = Objective::new("x").success(0.999);
const TWICE: Objective = Objective::new("x").success(99.0).success(99.9);
const AT_ONCE: Objective = Objective::new("x").latency(Duration::ZERO, 99.0);
const NEVER: Objective = Objective::new("x").latency(Duration::MAX, 99.0);
const TOO_FAST: Objective = Objective::new("x").latency(Duration::from_secs(1), 101.0);
const TWO_THRESHOLDS: Objective = Objective::new("x")
    .latency(Duration::from_secs(1), 99.0)
    .latency(Duration::from_secs(2), 99.9);

const FINE: Objective = Objective::new("fine").success(99.9);
const NO_TARGET: Objective = Objective::new("no_target");

#[instrumented(objective = NO_TARGET)]
async fn no_target() {}

#[instrumented(objective = [FINE, Objective::new("no_target")])]
fn no_target_in_a_list() {}

#[instrumented(objective = Objective::new("inline").success(100.5))]
async fn inline() {}

#[instrumented(objective = [FINE, FINE])]
async fn the_same_twice() {}

#[instrumented(objective = [FINE, Objective::new("fine").success(99.8)])]
async fn the_same_name() {}

fn main() {
    drop((no_target(), no_target_in_a_list(), inline(), the_same_twice(), the_same_name()));
}
