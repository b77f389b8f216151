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

/// An objective that the first page shows.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) objective: Objective,
    /// The labels of its calls.
    pub(crate) labels: Vec<Label>,
    /// Whether a layer may count these calls with other labels, because their method or their
    /// route is not known yet.
    pub(crate) is_guess: bool,
}

#[derive(Clone, Copy, Debug)]
struct Target {
    ratio: f64,
    /// Whether no call has had these labels so far, and a layer may count the calls with others.
    is_guess: bool,
}

/// The targets on the page.
#[derive(Debug)]
pub(crate) struct Objectives {
    globals: Arc<GlobalLabels>,
    /// The maximum number of targets, for routes whose number is unbounded by mistake.
    most: usize,
    /// A copy is changed, so that no call waits for a render.
    targets: RwLock<Arc<BTreeMap<LabelSet, Target>>>,
}

impl Objectives {
    /// Creates the targets that are known when the recorder is installed. `max_series` more can
    /// be added later.
    pub(super) fn new(known: &[Known], globals: &Arc<GlobalLabels>, max_series: usize) -> Self {
        let mut all = BTreeMap::new();
        for known in known {
            for (labels, ratio) in targets(&known.labels, &known.objective, globals) {
                let is_guess = known.is_guess;
                let target = all.entry(labels).or_insert(Target { ratio, is_guess });
                target.is_guess &= is_guess;
            }
        }
        Self {
            globals: Arc::clone(globals),
            most: all.len().saturating_add(max_series),
            targets: RwLock::new(Arc::new(all)),
        }
    }

    /// Adds the targets of an objective for calls that have these labels. Returns whether they
    /// are on the page.
    #[cold]
    pub(crate) fn add(&self, labels: &[Label], objective: &Objective) -> bool {
        let is_guess = false;
        let added: Vec<_> = targets(labels, objective, &self.globals)
            .map(|(labels, ratio)| (labels, Target { ratio, is_guess }))
            .collect();
        let mut all = self.targets.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = |(labels, _): &&(LabelSet, Target)| !all.contains_key(labels);
        let has_room = all.len() + added.iter().filter(is_new).count() <= self.most;
        if has_room {
            Arc::make_mut(&mut all).extend(added);
        }
        has_room
    }

    /// Removes the targets of an objective for these labels, unless calls have had them.
    #[cold]
    pub(crate) fn withdraw(&self, labels: &[Label], objective: &Objective) {
        let mut all = self.targets.write().unwrap_or_else(PoisonError::into_inner);
        for (labels, _) in targets(labels, objective, &self.globals) {
            if all.get(&labels).is_some_and(|target| target.is_guess) {
                Arc::make_mut(&mut all).remove(&labels);
            }
        }
    }

    fn all(&self) -> Arc<BTreeMap<LabelSet, Target>> {
        let targets = self.targets.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&targets)
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
        for (labels, target) in &*self.all() {
            text.clear();
            labels.push_text(&mut text, &self.globals);
            visit(Series {
                labels: &text,
                started: None,
                point: Point::Untyped(Number::F64(target.ratio)),
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

    fn known(endpoint: &'static str) -> Known {
        Known {
            objective: CHECKOUT,
            labels: labels(endpoint),
            is_guess: false,
        }
    }

    fn objectives(known: &[Known], max_series: usize) -> Objectives {
        let globals = [
            ("app_name".to_owned(), "shop".to_owned()),
            ("slo".to_owned(), "global".to_owned()),
        ];
        Objectives::new(known, &Arc::new(GlobalLabels::new(&globals)), max_series)
    }

    #[test]
    fn a_target_is_a_series() {
        let objectives = objectives(&[known("/a\"")], 10);
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
        let objectives = objectives(&["/a", "/b", "/c"].map(known), 2);
        assert_eq!(objectives.len(), 6);
        for (endpoint, is_on_the_page) in [("/d", true), ("/e", false), ("/a", true)] {
            let is_added = objectives.add(&labels(endpoint), &CHECKOUT);
            assert_eq!(is_added, is_on_the_page, "{endpoint}");
        }
        assert_eq!(objectives.len(), 8);
        assert!(texts(&objectives).iter().any(|text| text.contains("/d")));
    }

    #[test]
    fn a_guess_is_withdrawn_unless_a_call_confirms_it() {
        let guess = |endpoint| Known {
            is_guess: true,
            ..known(endpoint)
        };
        let all = ["/a", "/b", "/c", "/d"];
        let objectives = objectives(
            &[
                guess("/a"),
                guess("/b"),
                known("/c"),
                guess("/d"),
                known("/d"),
            ],
            0,
        );
        assert!(objectives.add(&labels("/b"), &CHECKOUT));
        for endpoint in all {
            objectives.withdraw(&labels(endpoint), &CHECKOUT);
        }
        let texts = texts(&objectives);
        let is_left = all.map(|endpoint| texts.iter().any(|text| text.contains(endpoint)));
        assert_eq!(is_left, [false, true, true, true], "{texts:?}");
        assert_eq!(texts.len(), 6);
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
