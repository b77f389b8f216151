//! The targets of objectives: the metric `request_objective_ratio`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use metrics::{Key, Label, SharedString};

use crate::names::own::OBJECTIVES;
use crate::objective::Objective;
use crate::recorder::family::ReadFamily;
use crate::recorder::labels::{GlobalLabels, LabelSet};
use crate::recorder::number::{Number, canonical};
use crate::recorder::point::{Kind, Point, Series};

const HELP: &str = "Target of an objective (slo): the ratio of calls that must succeed, or that \
                    must end within le seconds.";

const SLO: &str = "slo";
/// The indicator that a target is for.
const SLI: &str = "sli";

/// Returns a latency threshold in seconds, as a bucket bound.
pub(crate) fn bound(threshold: Duration) -> f64 {
    Number::Nanos(threshold.as_nanos()).to_f64()
}

/// The targets on the page. A target is never removed.
#[derive(Debug)]
pub(crate) struct Objectives {
    globals: Arc<GlobalLabels>,
    /// The maximum number of targets, for routes whose number is unbounded by mistake.
    most: usize,
    /// A copy is changed, so that no call waits for a render.
    ratios: RwLock<Arc<BTreeMap<LabelSet, f64>>>,
}

impl Objectives {
    /// Creates the targets that are known when the recorder is installed, each with the
    /// labels of its calls. `max_series` more can be added later.
    pub(super) fn new(
        known: &[(Vec<Label>, Objective)],
        globals: &Arc<GlobalLabels>,
        max_series: usize,
    ) -> Self {
        let mut ratios = BTreeMap::new();
        for (labels, objective) in known {
            ratios.extend(targets(labels, objective, globals));
        }
        Self {
            globals: Arc::clone(globals),
            most: ratios.len().saturating_add(max_series),
            ratios: RwLock::new(Arc::new(ratios)),
        }
    }

    /// Adds the targets of an objective for the calls with these labels.
    #[cold]
    pub(crate) fn add(&self, labels: &[Label], objective: &Objective) {
        let targets = targets(labels, objective, &self.globals);
        let mut ratios = self.ratios.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = |(labels, _): &(LabelSet, f64)| !ratios.contains_key(labels);
        let new: Vec<_> = targets.filter(is_new).collect();
        if !new.is_empty() && ratios.len() + new.len() <= self.most {
            Arc::make_mut(&mut ratios).extend(new);
        }
    }

    fn all(&self) -> Arc<BTreeMap<LabelSet, f64>> {
        let ratios = self.ratios.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&ratios)
    }
}

/// Returns the series of an objective.
fn targets(
    labels: &[Label],
    objective: &Objective,
    globals: &GlobalLabels,
) -> impl Iterator<Item = (LabelSet, f64)> {
    let with = |sli: &'static str| {
        let mut labels = labels.to_vec();
        labels.push(Label::from_static_parts(SLO, objective.name()));
        labels.push(Label::from_static_parts(SLI, sli));
        LabelSet::of(&Key::from_parts(OBJECTIVES, labels), globals)
    };
    let success = objective
        .success_ratio()
        .map(|ratio| (with("success"), ratio));
    let latency = objective.latency_ratio().map(|(threshold, ratio)| {
        let le = canonical(bound(threshold));
        (with("latency").with_last("le", &le), ratio)
    });
    success.into_iter().chain(latency)
}

impl ReadFamily for Objectives {
    fn name(&self) -> &str {
        OBJECTIVES
    }

    fn help(&self) -> SharedString {
        HELP.into()
    }

    fn kind(&self) -> Kind {
        // `promtool check metrics` allows the label `le` on histograms and untyped metrics
        // only.
        Kind::Untyped
    }

    fn len(&self) -> usize {
        self.all().len()
    }

    fn each(&self, visit: &mut dyn FnMut(Series<'_>)) {
        let mut text = String::new();
        for (labels, ratio) in &*self.all() {
            text.clear();
            labels.push_text(&mut text, &self.globals);
            visit(Series {
                labels: &text,
                started: None,
                point: Point::Untyped(Number::F64(*ratio)),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKOUT: Objective = Objective::new("checkout")
        .success(99.9)
        .latency(Duration::from_millis(250), 99.0);

    fn labels(endpoint: &'static str) -> Vec<Label> {
        vec![Label::new("endpoint", endpoint)]
    }

    fn texts(objectives: &Objectives) -> Vec<String> {
        let mut texts = Vec::new();
        objectives.each(&mut |series| {
            let Point::Untyped(Number::F64(ratio)) = series.point else {
                panic!("{:?}", series.point);
            };
            texts.push(format!("{} {ratio}", series.labels));
        });
        texts
    }

    fn objectives(known: &[(Vec<Label>, Objective)], max_series: usize) -> Objectives {
        let globals = [
            ("app_name".to_owned(), "shop".to_owned()),
            ("slo".to_owned(), "global".to_owned()),
        ];
        Objectives::new(known, &Arc::new(GlobalLabels::new(&globals)), max_series)
    }

    #[test]
    fn a_target_is_a_series() {
        let objectives = objectives(&[(labels("/a\""), CHECKOUT)], 10);
        let expected = [
            r#"app_name="shop",endpoint="/a\"",sli="latency",slo="checkout",le="0.25" 0.99"#,
            r#"app_name="shop",endpoint="/a\"",sli="success",slo="checkout" 0.999"#,
        ];
        assert_eq!(texts(&objectives), expected);
        objectives.add(&labels("/a\""), &CHECKOUT);
        assert_eq!(texts(&objectives), expected);
    }

    #[test]
    fn what_is_known_at_first_is_not_limited() {
        let known = ["/a", "/b", "/c"].map(|endpoint| (labels(endpoint), CHECKOUT));
        let objectives = objectives(&known, 2);
        assert_eq!(objectives.len(), 6);
        for endpoint in ["/d", "/e", "/a"] {
            objectives.add(&labels(endpoint), &CHECKOUT);
        }
        assert_eq!(objectives.len(), 8);
        assert!(texts(&objectives).iter().any(|text| text.contains("/d")));
    }

    #[test]
    fn a_threshold_is_the_nearest_float() {
        for (threshold, le) in [
            (Duration::from_nanos(1), "1e-09"),
            (Duration::from_millis(1), "0.001"),
            (Duration::from_millis(250), "0.25"),
            (Duration::from_millis(300), "0.3"),
            (Duration::from_millis(1_100), "1.1"),
            (Duration::from_secs(1), "1.0"),
            (Duration::from_secs(3_600), "3600.0"),
            (Duration::from_secs(1_000_000), "1e+06"),
            (Duration::from_nanos(1_234_567_890_123), "1234.567890123"),
        ] {
            assert_eq!(canonical(bound(threshold)), le);
        }
    }
}
