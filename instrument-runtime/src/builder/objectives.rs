//! Collects and validates the objectives of the application: those of annotated functions,
//! and those that the builder gives to routes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::call::counted;
use crate::call::site;
use crate::error::InitError;
use crate::names::MetricNames;
use crate::objective::Objective;
use crate::recorder::objectives::{Known, bound};

/// The objectives of the application, after validation.
#[derive(Debug, Default)]
pub(super) struct Objectives {
    /// The objectives that the first page shows.
    pub(super) known: Vec<Known>,
    pub(super) of_routes: BTreeMap<String, Vec<Objective>>,
    /// Each objective by its name, with the first place where it was found.
    by_name: BTreeMap<&'static str, (Objective, String)>,
}

impl Objectives {
    /// Collects the objectives of all functions in the program, and checks those of the
    /// builder.
    pub(super) fn check(
        of_routes: Vec<(String, Objective)>,
        names: &MetricNames,
    ) -> Result<Self, InitError> {
        let mut all = Self::default();
        for (function, labels, objective) in site::objectives(names) {
            all.add(format!("`{function}`"), *objective)?;
            all.known.extend(labels.into_iter().map(|labels| Known {
                objective: *objective,
                labels,
                is_guess: function.may_differ_in_a_request(),
            }));
        }
        for (route, objective) in of_routes {
            all.add_of_route(route, objective, names)?;
        }
        Ok(all)
    }

    fn add_of_route(
        &mut self,
        route: String,
        objective: Objective,
        names: &MetricNames,
    ) -> Result<(), InitError> {
        if let Some(problem) = route_problem(&route) {
            return Err(InitError::ObjectiveRoute { route, problem });
        }
        if !objective.has_target() {
            return Err(InitError::Objective {
                name: objective.name().to_owned(),
                problem: format!(
                    "of `.objective({route:?}, …)` has no target; add `.success(99.9)` or \
                     `.latency(…)` where it is defined"
                ),
            });
        }
        self.add(format!("`.objective({route:?}, …)`"), objective)?;
        self.known.push(Known {
            objective,
            labels: counted::labels_of_route(names, &route),
            is_guess: true,
        });
        self.of_routes.entry(route).or_default().push(objective);
        Ok(())
    }

    /// Adds an objective, unless there is another objective with this name.
    fn add(&mut self, place: String, objective: Objective) -> Result<(), InitError> {
        match self.by_name.entry(objective.name()) {
            Entry::Vacant(entry) => {
                entry.insert((objective, place));
                Ok(())
            }
            Entry::Occupied(entry) if entry.get().0 == objective => Ok(()),
            Entry::Occupied(entry) => {
                let (other, other_place) = entry.get();
                Err(InitError::Objective {
                    name: objective.name().to_owned(),
                    problem: format!(
                        "has two meanings: {} for {other_place}, and {} for {place}; calls with \
                         the same objective are added up, so give both the same targets, or \
                         rename one of the objectives",
                        other.targets(),
                        objective.targets()
                    ),
                })
            }
        }
    }

    /// Adds the latency thresholds to the bounds of a histogram.
    pub(super) fn add_bounds(&self, bounds: &[f64]) -> Vec<f64> {
        let objectives = self.by_name.values().map(|(objective, _)| objective);
        let latencies = objectives.filter_map(Objective::latency_ratio);
        let thresholds = latencies.map(|(threshold, _)| bound(threshold));
        let mut bounds: Vec<f64> = bounds.iter().copied().chain(thresholds).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        bounds
    }
}

/// Returns why requests cannot have this route, or `None` if they can.
fn route_problem(route: &str) -> Option<String> {
    let (method, rest) = route.split_once(' ').unwrap_or(("", route));
    if route.is_empty() {
        Some("the route is empty; give a route pattern, such as \"/users/{id}\"".to_owned())
    } else if route.starts_with('/') {
        None
    } else if !method.is_empty() && rest.starts_with('/') {
        Some(format!(
            "an objective applies to all methods of a route; write \"{rest}\", or give the \
             objective to the function that handles {method}"
        ))
    } else {
        Some(format!(
            "a route begins with `/`; write \"/{route}\" if this is the route"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn added(objectives: &[(&str, Objective)]) -> Result<Objectives, InitError> {
        let mut all = Objectives::default();
        for (place, objective) in objectives {
            all.add((*place).to_owned(), *objective)?;
        }
        Ok(all)
    }

    #[test]
    fn one_name_has_one_meaning() {
        let slow = Objective::new("slow").latency(SECOND, 99.0);
        let other = Objective::new("other").success(50.0);
        assert!(added(&[("a", slow), ("b", slow), ("c", other)]).is_ok());
        for different in [
            Objective::new("slow").success(99.0),
            Objective::new("slow").latency(SECOND, 99.5),
            Objective::new("slow").latency(2 * SECOND, 99.0),
            Objective::new("slow").latency(SECOND, 99.0).success(99.0),
        ] {
            let refused = added(&[("a", slow), ("b", different)]).expect_err("two meanings");
            let meanings = format!("99 % within 1s for a, and {} for b", different.targets());
            let message = refused.to_string();
            assert!(message.contains("\"slow\""), "{message}");
            assert!(message.contains(&meanings), "{message}");
        }
    }

    #[test]
    fn a_threshold_that_is_a_bound_is_not_added() {
        let objectives = added(&[
            ("a", Objective::new("a").latency(SECOND, 99.0)),
            (
                "b",
                Objective::new("b").latency(Duration::from_millis(300), 99.0),
            ),
            (
                "c",
                Objective::new("c").latency(Duration::from_millis(300), 90.0),
            ),
            ("d", Objective::new("d").success(99.0)),
        ]);
        let objectives = objectives.expect("no conflict");
        assert_eq!(
            objectives.add_bounds(&[-1.0, 0.5, 1.0]),
            [-1.0, 0.3, 0.5, 1.0]
        );
        assert_eq!(objectives.add_bounds(&[2.0]), [0.3, 1.0, 2.0]);
        assert_eq!(Objectives::default().add_bounds(&[0.5, 2.0]), [0.5, 2.0]);
    }

    #[test]
    fn a_bad_route_is_explained() {
        for (route, expected) in [
            ("", "is empty"),
            ("users", "write \"/users\""),
            ("unmatched", "begins with `/`"),
            ("GET /users/{id}", "write \"/users/{id}\""),
            ("GET users", "begins with `/`"),
        ] {
            let problem = route_problem(route).expect(route);
            assert!(problem.contains(expected), "{problem}");
        }
        for route in ["/", "/users/{id}", "/a b", "/test.Shop/Buy"] {
            assert_eq!(route_problem(route), None, "{route}");
        }
    }
}
