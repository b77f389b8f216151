//! Random applications: what Prometheus sees of their calls.

use instrument_tests::random::Random;

use crate::MINUTE;

/// When samples are taken. All times are in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// The time between two scrapes.
    pub(crate) scrape: usize,
    /// The time between two evaluations of the rules.
    pub(crate) evaluation: usize,
    pub(crate) duration: usize,
}

/// What an objective measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Indicator {
    Success,
    Latency,
}

/// An application with one objective.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) job: String,
    pub(crate) indicator: Indicator,
    /// Such as 0.99.
    pub(crate) objective: f64,
    pub(crate) instances: Vec<Instance>,
}

/// A process at one address, and those that replace it there.
#[derive(Debug)]
pub(crate) struct Instance {
    /// One sample for each scrape. `None` if nothing answers.
    pub(crate) samples: Vec<Option<Counters>>,
}

/// The counters on a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) calls: u64,
    /// The calls that miss the objective.
    pub(crate) errors: u64,
}

/// A time in which the traffic has one character.
#[derive(Clone, Copy, Debug)]
struct Phase {
    end: usize,
    calls_per_minute: f64,
    error_ratio: f64,
    /// Whether only the first instance has errors.
    is_local: bool,
}

/// Burn rates just beside those at which an alert fires, and far from them.
const BURN_RATES: [f64; 17] = [
    0.0, 0.0, 0.3, 0.85, 1.1, 2.6, 3.5, 5.3, 6.7, 12.8, 13.4, 15.2, 16.0, 25.0, 60.0, 1000.0,
    1000.0,
];
const OBJECTIVES: [f64; 6] = [0.9, 0.96, 0.98, 0.99, 0.999, 0.9995];
const CALLS_PER_MINUTE: [f64; 8] = [0.0, 0.05, 1.0, 30.0, 300.0, 300.0, 300.0, 10_000.0];

impl Application {
    pub(crate) fn random(random: &mut Random, job: &str, clock: Clock) -> Self {
        let objective = pick(random, &OBJECTIVES);
        // Some applications keep one error ratio all the time.
        let steady = (random.below(4) == 0).then(|| pick(random, &BURN_RATES));
        let mut phases: Vec<Phase> = Vec::new();
        while phases.last().is_none_or(|last| last.end <= clock.duration) {
            let begin = phases.last().map_or(0, |last| last.end);
            let burn_rate = steady.unwrap_or_else(|| pick(random, &BURN_RATES));
            // Mostly short, compared with the windows of hours.
            let minutes = pick(random, &[4, 10, 20, 40, 80, 160]) + random.below(10) as usize;
            phases.push(Phase {
                end: begin + minutes * MINUTE,
                calls_per_minute: pick(random, &CALLS_PER_MINUTE),
                error_ratio: (burn_rate * (1.0 - objective)).min(1.0),
                is_local: random.below(3) == 0,
            });
        }
        let instances = (0..1 + random.below(3))
            .map(|number| Instance::random(random, &phases, number == 0, clock))
            .collect();
        Self {
            job: job.to_owned(),
            indicator: pick(random, &[Indicator::Success, Indicator::Latency]),
            objective,
            instances,
        }
    }
}

impl Instance {
    fn random(random: &mut Random, phases: &[Phase], is_first: bool, clock: Clock) -> Self {
        // The first instance is there from the start. The others come and go.
        let start = match is_first {
            true => 0,
            false => random.below(clock.duration as u64 / 2) as usize,
        };
        let end = match random.below(2) {
            0 => clock.duration + 1,
            _ => start + random.below(2 * clock.duration as u64) as usize,
        };
        let restarts = restarts(random, start, clock.duration);
        let mut samples = Vec::new();
        let mut counters = Counters::default();
        // The parts of a call and of an error that are not counted yet.
        let (mut calls, mut errors) = (0.0, 0.0);
        for time in (0..=clock.duration).step_by(clock.scrape) {
            let phase = phases
                .iter()
                .find(|phase| time < phase.end)
                .expect("a phase");
            let minutes = clock.scrape as f64 / MINUTE as f64;
            // Between half and one and a half of the mean.
            let jitter = (50 + random.below(101)) as f64 / 100.0;
            calls += phase.calls_per_minute * minutes * jitter;
            let new = calls as u64;
            calls -= new as f64;
            let has_errors = is_first || !phase.is_local;
            errors += new as f64 * if has_errors { phase.error_ratio } else { 0.0 };
            let failed = (errors as u64).min(new);
            errors -= failed as f64;

            let has_restarted =
                |&(begin, _): &(usize, usize)| begin <= time && time < begin + clock.scrape;
            if restarts.iter().any(has_restarted) {
                counters = Counters::default();
            }
            let is_down = restarts
                .iter()
                .any(|(begin, end)| (*begin..*end).contains(&time));
            let is_up = (start..end).contains(&time) && !is_down;
            if is_up {
                counters.calls += new;
                counters.errors += failed;
            }
            samples.push(is_up.then_some(counters));
        }
        Self { samples }
    }
}

/// Returns the times in which a process has ended and the next one has not begun. The next
/// process may begin before the next scrape.
fn restarts(random: &mut Random, start: usize, duration: usize) -> Vec<(usize, usize)> {
    let mut restarts = Vec::new();
    let mut time = start;
    while random.below(3) > 0 {
        time += random.below(duration as u64 / 2) as usize + 10 * MINUTE;
        let end = time + random.below(4) as usize * MINUTE;
        restarts.push((time, end));
        time = end;
    }
    restarts
}

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len() as u64) as usize]
}
