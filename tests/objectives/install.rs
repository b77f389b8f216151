//! What `install` refuses.

use std::time::Duration;

use instrument_runtime::{InitError, Objective, instrumented};
use instrument_tests::alone;
use instrument_tests::page::{Page, scrape};

use crate::{objectives, ready, shop};

const LOGIN: Objective = Objective::new("layer_login").success(99.9);

#[instrumented(endpoint = "/login", method = "POST", objective = LOGIN)]
async fn login() {}

#[test]
fn a_bad_objective_is_named_and_leaves_nothing_behind() {
    alone(
        "install::a_bad_objective_is_named_and_leaves_nothing_behind",
        || {
            let second = Duration::from_secs(1);
            let other = Objective::new("layer_login")
                .success(99.5)
                .latency(second, 90.0);
            let is_route = |error: &InitError| matches!(error, InitError::ObjectiveRoute { .. });
            for (route, objective, expected) in [
                ("", LOGIN, "the route is empty"),
                ("users/{id}", LOGIN, "write \"/users/{id}\""),
                ("GET /users/{id}", LOGIN, "write \"/users/{id}\""),
                ("unmatched", LOGIN, "`.objective(\"unmatched\", …)`"),
                (
                    "/users",
                    Objective::new("layer_none"),
                    "the objective \"layer_none\" of `.objective(\"/users\", …)` has no target",
                ),
                (
                    "/users",
                    other,
                    "the objective \"layer_login\" has two meanings: 99.9 % success for `POST /login`, \
                 and 99.5 % success and 90 % within 1s for `.objective(\"/users\", …)`",
                ),
            ] {
                let refused = shop()
                    .listen(([127, 0, 0, 1], 0))
                    .objective("/fine", LOGIN)
                    .objective(route, objective)
                    .install()
                    .expect_err(expected);
                assert!(refused.to_string().contains(expected), "{refused}");
                let expects_route = !route.starts_with("/users");
                assert_eq!(is_route(&refused), expects_route, "{refused}");
            }
            ready(login());
            let exporter = shop()
                .listen(([127, 0, 0, 1], 0))
                .objective("/users", LOGIN)
                .install()
                .expect("nothing was installed before");
            let page = scrape(exporter.local_addr().expect("an address")).expect("a page");
            let labels = [("endpoint", "/users"), ("slo", "layer_login")];
            assert_eq!(page.value(crate::RATIO, &labels), Some(0.999));
            let rendered = exporter.render();
            assert!(objectives(&rendered, &["/fine"]).is_empty(), "{rendered}");
            assert_eq!(
                Page::parse(&rendered).value(crate::RATIO, &labels),
                Some(0.999)
            );
        },
    );
}
