//! When the alerts must fire, by the arithmetic of the SRE workbook.

use crate::traffic::{Application, Clock, Counters, Instance};
use crate::{HOUR, MINUTE};

/// The verdict is left open if a burn rate is less than this ratio away from its threshold.
pub(crate) const MARGIN: f64 = 0.01;
/// A window with fewer errors fires no alert.
const ENOUGH_ERRORS: f64 = 5.0;
/// The objective is known for this long after the last instance has gone.
pub(crate) const REMEMBERED: usize = HOUR;
/// The long windows are made of increases of five minutes.
const TILE: usize = 5 * MINUTE;

/// One of the workbook's alerts.
#[derive(Debug)]
pub(crate) struct Alert {
    /// The label `window`.
    pub(crate) window: &'static str,
    factor: f64,
    long: usize,
    short: usize,
    /// How long the condition must hold.
    pending: usize,
}

pub(crate) const ALERTS: [Alert; 4] = [
    Alert {
        window: "1h",
        factor: 14.4,
        long: HOUR,
        short: 5 * MINUTE,
        pending: MINUTE,
    },
    Alert {
        window: "6h",
        factor: 6.0,
        long: 6 * HOUR,
        short: HOUR / 2,
        pending: 5 * MINUTE,
    },
    Alert {
        window: "1d",
        factor: 3.0,
        long: 24 * HOUR,
        short: 2 * HOUR,
        pending: 15 * MINUTE,
    },
    Alert {
        window: "3d",
        factor: 1.0,
        long: 72 * HOUR,
        short: 6 * HOUR,
        pending: HOUR,
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fires,
    Silent,
    Open,
}

/// A truth that may depend on how the calls are sampled.
#[derive(Clone, Copy, Debug)]
struct Truth {
    surely: bool,
    possibly: bool,
}

/// Numbers of calls and of errors, each of which the rules may see multiplied by a factor
/// between `low` and `high`.
#[derive(Clone, Copy, Debug)]
struct Part {
    calls: f64,
    errors: f64,
    low: f64,
    high: f64,
}

/// The calls of an application at each evaluation of the rules.
#[derive(Debug)]
pub(crate) struct Calls {
    /// For each instance, one sample for each evaluation.
    samples: Vec<Vec<Option<Counters>>>,
    /// The calls and errors from the start up to each evaluation.
    sums: Vec<Counters>,
    /// For each increase of five minutes, its parts.
    tiles: Vec<Vec<Part>>,
    budget: f64,
    every: usize,
    end: usize,
}

impl Calls {
    pub(crate) fn of(application: &Application, clock: Clock) -> Self {
        let times: Vec<usize> = (0..=clock.duration).step_by(clock.evaluation).collect();
        let at_evaluations = |instance: &Instance| -> Vec<Option<Counters>> {
            let newest = |time: &usize| instance.samples[time / clock.scrape];
            times.iter().map(newest).collect()
        };
        let samples: Vec<_> = application.instances.iter().map(at_evaluations).collect();
        let mut new = vec![Counters::default(); times.len()];
        for samples in &samples {
            for (at, counters) in increments(samples) {
                new[at].calls += counters.calls;
                new[at].errors += counters.errors;
            }
        }
        let mut sum = Counters::default();
        let add = |new: &Counters| {
            sum.calls += new.calls;
            sum.errors += new.errors;
            sum
        };
        let mut calls = Self {
            sums: new.iter().map(add).collect(),
            samples,
            tiles: Vec::new(),
            budget: 1.0 - application.objective,
            every: clock.evaluation,
            end: clock.duration,
        };
        calls.tiles = (0..=clock.duration)
            .step_by(TILE)
            .map(|time| calls.increase(TILE, time))
            .collect();
        calls
    }

    /// Returns the verdict about an alert at each evaluation.
    pub(crate) fn verdicts(&self, alert: &Alert) -> Vec<Verdict> {
        let burning: Vec<Truth> = (0..=self.end)
            .step_by(self.every)
            .map(|time| self.is_burning(alert, time))
            .collect();
        let pending = alert.pending / self.every;
        (0..burning.len())
            .map(|at| {
                // The condition must hold now and at each evaluation in the time before.
                let Some(first) = at.checked_sub(pending) else {
                    return Verdict::Silent;
                };
                let mut held = burning[first..=at].iter();
                if held.clone().all(|truth| truth.surely) {
                    Verdict::Fires
                } else if held.all(|truth| truth.possibly) {
                    Verdict::Open
                } else {
                    Verdict::Silent
                }
            })
            .collect()
    }

    fn is_burning(&self, alert: &Alert, time: usize) -> Truth {
        let threshold = alert.factor * self.budget;
        let without_instances = self.without_instances(time);
        let mut burning = Truth {
            surely: without_instances < REMEMBERED,
            possibly: without_instances <= REMEMBERED,
        };
        for window in [alert.long, alert.short] {
            let mut truth = Truth {
                surely: true,
                possibly: false,
            };
            for parts in self.windows(window, time) {
                let (low, high) = ratio(&parts).unwrap_or((0.0, 0.0));
                let errors = |factor: fn(&Part) -> f64| -> f64 {
                    parts.iter().map(|part| part.errors * factor(part)).sum()
                };
                let is_enough = |errors| window == alert.short || errors >= ENOUGH_ERRORS;
                truth.surely &=
                    low > threshold * (1.0 + MARGIN) && is_enough(errors(|part| part.low));
                truth.possibly |=
                    high > threshold * (1.0 - MARGIN) && is_enough(errors(|part| part.high));
            }
            burning.surely &= truth.surely;
            burning.possibly &= truth.possibly;
        }
        burning
    }

    /// Returns for how long there has been no instance.
    pub(crate) fn without_instances(&self, time: usize) -> usize {
        let now = time / self.every;
        let newest =
            |samples: &Vec<Option<Counters>>| samples[..=now].iter().rposition(Option::is_some);
        let newest = self.samples.iter().filter_map(newest).max();
        newest.map_or(usize::MAX, |newest| (now - newest) * self.every)
    }

    /// Returns the calls in a window that ends now: as they were, and as the rules may see
    /// them.
    fn windows(&self, window: usize, now: usize) -> Vec<Vec<Part>> {
        let from = now.saturating_sub(window);
        let mut windows = vec![vec![self.exactly(from, now)]];
        if window <= HOUR {
            windows.push(self.increase(window, now));
        } else {
            // Up to five minutes before now, there may be calls that no tile contains yet.
            let last = now / TILE;
            let count = window / TILE;
            for count in [count, count + 1] {
                let first = (last + 1).saturating_sub(count);
                windows.push(self.tiles[first..=last].concat());
            }
        }
        windows
    }

    fn exactly(&self, from: usize, to: usize) -> Part {
        let (from, to) = (self.sums[from / self.every], self.sums[to / self.every]);
        Part {
            calls: (to.calls - from.calls) as f64,
            errors: (to.errors - from.errors) as f64,
            low: 1.0,
            high: 1.0,
        }
    }

    /// Returns what `increase` sees in a window, for each instance.
    ///
    /// It sees only the difference between samples in the window. If a series begins or ends
    /// in the window, `increase` extrapolates by about one evaluation interval.
    fn increase(&self, window: usize, now: usize) -> Vec<Part> {
        let (begin, end) = (now.saturating_sub(window) / self.every, now / self.every);
        let of_instance = |samples: &Vec<Option<Counters>>| {
            let samples = &samples[begin..=end];
            let first = samples.iter().position(Option::is_some)?;
            let last = samples.iter().rposition(Option::is_some)?;
            let mut part = Part {
                calls: 0.0,
                errors: 0.0,
                low: 1.0,
                high: 1.0,
            };
            for (_, new) in increments(samples) {
                part.calls += new.calls as f64;
                part.errors += new.errors as f64;
            }
            let edges = usize::from(first > 0 || now < window) + usize::from(begin + last < end);
            part.high += 1.1 * edges as f64 / (last - first).max(1) as f64;
            Some(part)
        };
        self.samples.iter().filter_map(of_instance).collect()
    }

    /// Returns the range of the ratio of the budget that is left at the end. The calls of the
    /// last five minutes count only in part.
    pub(crate) fn budget_left(&self) -> (f64, f64) {
        let recent = self.end - TILE;
        let old = self.exactly(0, recent);
        let recent = Part {
            low: 0.0,
            ..self.exactly(recent, self.end)
        };
        let (low, high) = ratio(&[old, recent]).unwrap_or((0.0, 0.0));
        let spent = |ratio| ratio / self.budget;
        (1.0 - 1.03 * spent(high), 1.0 - 0.97 * spent(low))
    }
}

/// Returns the increments of a process's counters, with the place of the sample that has them.
/// The first sample has none, because nobody knows when its calls were made. A counter that is
/// smaller than before has started again at 0.
fn increments(samples: &[Option<Counters>]) -> impl Iterator<Item = (usize, Counters)> {
    let known = samples
        .iter()
        .enumerate()
        .filter_map(|(at, sample)| Some((at, (*sample)?)));
    let new = |now: u64, before: u64| if now < before { now } else { now - before };
    known
        .clone()
        .zip(known.skip(1))
        .map(move |((_, before), (at, now))| {
            let counters = Counters {
                calls: new(now.calls, before.calls),
                errors: new(now.errors, before.errors),
            };
            (at, counters)
        })
}

/// Returns the smallest and the largest possible ratio of errors, or `None` without calls.
/// `increase` extrapolates the calls and the errors independently, because neither may be
/// extrapolated to less than 0.
fn ratio(parts: &[Part]) -> Option<(f64, f64)> {
    let sum = |number: fn(&Part) -> f64| -> f64 { parts.iter().map(number).sum() };
    let fewest = sum(|part| part.calls * part.low);
    let most = sum(|part| part.calls * part.high);
    (most > 0.0).then(|| {
        (
            sum(|part| part.errors * part.low) / most,
            sum(|part| part.errors * part.high) / fewest,
        )
    })
}
