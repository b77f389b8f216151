//! [`Objective`]: what the calls of a function, or the requests of a route, must achieve.

use std::fmt;
use std::time::Duration;

/// A service level objective (SLO): how many calls must succeed, and how many must end
/// within a time.
///
/// An objective is a `const`. Give it to a function with the argument `objective` of
/// [`instrumented`](crate::instrumented), or to a route with
/// [`Builder::objective`](crate::Builder::objective). Its name stands for one objective in
/// the whole application: calls of all functions and routes with the same objective are
/// added up.
///
/// # Targets
///
/// An objective has a target for success, a target for latency, or both.
///
/// - A call *succeeds* unless its outcome is `error` or `panicked`.
/// - A call is *fast enough* if its latency is at most the threshold. The threshold becomes a
///   bucket bound of the latency histogram, if it is not one already.
///
/// A target is a percentage below 100. The rest is the error budget: with a target of 99.9,
/// one call in a thousand may fail. A target of 100 would leave no budget.
///
/// # On the page
///
/// Each target is a series of the metric `request_objective_ratio`, from the first scrape on.
/// Its value is the target as a ratio:
///
/// ```text
/// request_objective_ratio{app_name="shop",endpoint="/cart",method="POST",sli="success",slo="checkout"} 0.999
/// request_objective_ratio{app_name="shop",endpoint="/cart",method="POST",sli="latency",slo="checkout",le="0.25"} 0.99
/// ```
///
/// - `method` and `endpoint` are those of the calls that must meet the objective. A query
///   joins the target with these calls by both labels. With
///   [`MetricNames::opentelemetry`](crate::MetricNames::opentelemetry), the labels have the
///   names of the conventions.
/// - `slo` is the name of the objective. `sli` is the indicator, `success` or `latency`.
/// - `le` is the threshold in seconds, written exactly as on the bucket of the histogram.
///
/// The type of the metric is `untyped` (`unknown` in OpenMetrics), because `promtool check
/// metrics` allows the label `le` on histograms and untyped metrics only.
///
/// If a layer counts the requests of an annotated handler, their method and route may be
/// known only when the first request arrives. Until then, the page has a series with what is
/// known: the labels of the function itself, or the route without a method.
///
/// Objectives are written by the exporter of this crate. They have no effect with another
/// recorder, such as that of `testing::Recording`.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), instrument_runtime::InitError> {
/// use std::time::Duration;
///
/// use instrument_runtime::{Objective, builder, instrumented};
///
/// const CHECKOUT: Objective = Objective::new("checkout")
///     .success(99.9)
///     .latency(Duration::from_millis(250), 99.0);
///
/// #[instrumented(endpoint = "/cart", method = "POST", objective = CHECKOUT)]
/// async fn cart() {}
///
/// let exporter = builder("shop").without_listener().install()?;
/// let page = exporter.render();
/// assert!(page.contains(
///     "request_objective_ratio{app_name=\"shop\",endpoint=\"/cart\",method=\"POST\",\
///      sli=\"latency\",slo=\"checkout\",le=\"0.25\"} 0.99\n"
/// ));
/// # Ok(())
/// # }
/// ```
///
/// A second threshold is a second objective:
///
/// ```
/// use std::time::Duration;
///
/// use instrument_runtime::{Objective, instrumented};
///
/// const SEARCH: Objective = Objective::new("search").latency(Duration::from_millis(100), 90.0);
/// const SLOW_SEARCH: Objective = Objective::new("slow_search").latency(Duration::from_secs(1), 99.9);
///
/// #[instrumented(endpoint = "/search", method = "GET", objective = [SEARCH, SLOW_SEARCH])]
/// async fn search() {}
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "an objective has no effect until a function or a route has it"]
pub struct Objective {
    name: &'static str,
    /// The percentage of calls that must succeed.
    success: Option<f64>,
    /// The threshold, and the percentage of calls that must end within it.
    latency: Option<(Duration, f64)>,
}

impl Objective {
    /// Creates an objective without targets. Add [`success`](Self::success),
    /// [`latency`](Self::latency) or both.
    ///
    /// `name` is the label `slo`. Alerts have it too.
    ///
    /// # Panics
    ///
    /// Panics if `name` is empty. In a `const`, this is a compile error:
    ///
    /// ```compile_fail
    /// # use instrument_runtime::Objective;
    /// const UNNAMED: Objective = Objective::new("").success(99.9);
    /// ```
    #[track_caller]
    pub const fn new(name: &'static str) -> Self {
        assert!(
            !name.is_empty(),
            "the name of an objective is empty: write, for example, `Objective::new(\"checkout\")`"
        );
        Self {
            name,
            success: None,
            latency: None,
        }
    }

    /// Sets the percentage of calls that must succeed: whose outcome is neither `error` nor
    /// `panicked`.
    ///
    /// # Panics
    ///
    /// Panics if `percent` is not at least 1 and below 100, or if `success` is called twice.
    /// 100 would leave no error budget. A number below 1 is probably a ratio: write 99.9
    /// instead of 0.999. In a `const`, a panic is a compile error:
    ///
    /// ```compile_fail
    /// # use instrument_runtime::Objective;
    /// const PERFECT: Objective = Objective::new("checkout").success(100.0);
    /// ```
    #[track_caller]
    pub const fn success(mut self, percent: f64) -> Self {
        assert!(
            self.success.is_none(),
            "`success` is called twice on an objective: remove one of the calls"
        );
        self.success = Some(checked(percent));
        self
    }

    /// Sets the percentage of calls that must end within `threshold`.
    ///
    /// The threshold becomes a bucket bound of the latency histogram, in addition to those
    /// of [`Builder::buckets`](crate::Builder::buckets).
    ///
    /// # Panics
    ///
    /// Panics in these cases:
    ///
    /// - `threshold` is zero, or longer than the longest latency that the histogram can
    ///   measure (2^63 ns, about 292 years).
    /// - `percent` is not at least 1 and below 100, as for [`success`](Self::success).
    /// - `latency` is called twice. Alerts name the objective and the indicator, so each
    ///   objective has one threshold. A second threshold is a second objective.
    ///
    /// In a `const`, a panic is a compile error:
    ///
    /// ```compile_fail
    /// # use std::time::Duration;
    /// # use instrument_runtime::Objective;
    /// const AT_ONCE: Objective = Objective::new("checkout").latency(Duration::ZERO, 99.0);
    /// ```
    #[track_caller]
    pub const fn latency(mut self, threshold: Duration, percent: f64) -> Self {
        assert!(
            self.latency.is_none(),
            "`latency` is called twice on an objective: make the second threshold an objective with \
             another name, and write `objective = [FIRST, SECOND]`"
        );
        assert!(
            !threshold.is_zero(),
            "the latency threshold of an objective is zero: write, for example, \
             `Duration::from_millis(250)`"
        );
        assert!(
            threshold.as_nanos() <= i64::MAX as u128,
            "the latency threshold of an objective is longer than 292 years, which the histogram \
             cannot measure: write, for example, `Duration::from_millis(250)`"
        );
        self.latency = Some((threshold, checked(percent)));
        self
    }

    /// Returns the name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the ratio of calls that must succeed, if there is such a target.
    pub(crate) fn success_ratio(&self) -> Option<f64> {
        self.success.map(ratio)
    }

    /// Returns the latency threshold with the ratio of calls that must end within it, if there
    /// is such a target.
    pub(crate) fn latency_ratio(&self) -> Option<(Duration, f64)> {
        self.latency
            .map(|(threshold, percent)| (threshold, ratio(percent)))
    }

    pub(crate) const fn has_target(&self) -> bool {
        self.success.is_some() || self.latency.is_some()
    }

    /// Returns the targets as text, for messages.
    pub(crate) fn targets(&self) -> impl fmt::Display {
        let success = self.success.map(|percent| format!("{percent} % success"));
        let latency = self
            .latency
            .map(|(threshold, percent)| format!("{percent} % within {threshold:?}"));
        let targets: Vec<String> = success.into_iter().chain(latency).collect();
        targets.join(" and ")
    }
}

/// Returns the percentage of a target.
#[track_caller]
const fn checked(percent: f64) -> f64 {
    // NaN fails every comparison.
    assert!(
        percent >= 0.0 && percent <= 100.0,
        "the target of an objective is not a percentage from 0 to 100: write, for example, `99.9`"
    );
    assert!(
        percent < 100.0,
        "the target of an objective is 100 percent, which leaves no error budget: write, for \
         example, `99.99`"
    );
    assert!(
        percent >= 1.0,
        "the target of an objective is below 1 percent; is it a ratio? Write the percentage: `99.9` \
         for the ratio 0.999"
    );
    percent
}

/// Returns a percentage as a ratio.
///
/// Moves the decimal point of the shortest text. A division would round once more:
/// `99.9 / 100.0` is 0.9990000000000001.
fn ratio(percent: f64) -> f64 {
    format!("{percent}e-2").parse().unwrap_or(percent / 100.0)
}

/// Checks an objective of an attribute at compile time.
#[doc(hidden)]
#[track_caller]
pub const fn objective(objective: Objective) -> Objective {
    assert!(
        objective.has_target(),
        "the objective has no target: add `.success(99.9)` or `.latency(…)` where it is defined"
    );
    objective
}

/// Checks at compile time that the objectives of an attribute have different names.
#[doc(hidden)]
#[track_caller]
pub const fn objectives<const N: usize>(objectives: [Objective; N]) -> [Objective; N] {
    // `for` and `==` on strings are not available in a `const fn`.
    let mut index = 1;
    while index < N {
        let mut earlier = 0;
        while earlier < index {
            assert!(
                !is_same(objectives[earlier].name, objectives[index].name),
                "two objectives of this function have the same name: remove one of them, or rename \
                 it"
            );
            earlier += 1;
        }
        index += 1;
    }
    objectives
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut index = 0;
    while index < one.len() {
        if one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns every percentage with up to `digits` decimals, with its ratio, both as text.
    fn decimals(digits: u32) -> impl Iterator<Item = (String, String)> {
        let unit = 10_u64.pow(digits);
        (unit..100 * unit).map(move |number| {
            let places = digits as usize;
            let percent = format!("{}.{:0places$}", number / unit, number % unit);
            let places = places + 2;
            (percent, format!("0.{number:0places$}"))
        })
    }

    #[test]
    fn a_ratio_is_the_decimal_that_one_expects() {
        for (percent, expected) in [
            (99.9, "0.999"),
            (99.95, "0.9995"),
            (99.999, "0.99999"),
            (99.0, "0.99"),
            (50.0, "0.5"),
            (1.0, "0.01"),
        ] {
            assert_eq!(ratio(percent).to_string(), expected);
        }
        let all = (0..=3).flat_map(decimals);
        for (percent, expected) in all {
            let found = ratio(percent.parse().expect("a number"));
            let expected: f64 = expected.parse().expect("a number");
            assert!(
                found.to_bits() == expected.to_bits(),
                "{percent}: {found:?} is not {expected:?}"
            );
        }
    }

    #[test]
    fn the_limits_are_allowed() {
        let year = Duration::from_nanos(i64::MAX.unsigned_abs());
        let nanosecond = Duration::from_nanos(1);
        for threshold in [nanosecond, year] {
            for percent in [1.0, 99.999_999, 100.0_f64.next_down()] {
                let objective = Objective::new("x").latency(threshold, percent);
                assert_eq!(objective.latency, Some((threshold, percent)));
                assert!(ratio(percent) < 1.0, "{percent}");
            }
        }
    }

    #[test]
    fn what_is_refused_says_what_to_write() {
        type Make = fn() -> Objective;
        let refused: [(Make, &str); 13] = [
            (|| Objective::new(""), "name of an objective is empty"),
            (|| Objective::new("x").success(100.1), "from 0 to 100"),
            (|| Objective::new("x").success(-0.1), "from 0 to 100"),
            (|| Objective::new("x").success(f64::NAN), "from 0 to 100"),
            (
                || Objective::new("x").success(f64::INFINITY),
                "from 0 to 100",
            ),
            (|| Objective::new("x").success(100.0), "no error budget"),
            (
                || Objective::new("x").success(0.999),
                "`99.9` for the ratio",
            ),
            (|| Objective::new("x").success(0.0), "is below 1 percent"),
            (
                || Objective::new("x").success(99.0).success(99.0),
                "`success` is called twice",
            ),
            (
                || Objective::new("x").latency(Duration::ZERO, 99.0),
                "is zero",
            ),
            (
                || Objective::new("x").latency(Duration::MAX, 99.0),
                "292 years",
            ),
            (
                || Objective::new("x").latency(Duration::from_secs(1), 100.0),
                "no error budget",
            ),
            (
                || {
                    let second = Duration::from_secs(1);
                    Objective::new("x")
                        .latency(second, 99.0)
                        .latency(second, 9.0)
                },
                "`latency` is called twice",
            ),
        ];
        for (make, expected) in refused {
            let panic = std::panic::catch_unwind(make).expect_err(expected);
            let message = panic.downcast_ref::<&str>().expect("a message");
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_targets_are_named() {
        let objective = Objective::new("x").success(99.9);
        assert_eq!(objective.targets().to_string(), "99.9 % success");
        let objective = objective.latency(Duration::from_millis(250), 99.0);
        assert_eq!(
            objective.targets().to_string(),
            "99.9 % success and 99 % within 250ms"
        );
    }
}
