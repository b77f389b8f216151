//! Computes medians and quartiles.

/// The measurements of one candidate, one number per round.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds the measurement of a round.
    pub fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// Returns the median, or NaN if there are no measurements.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Returns the lower and the upper quartile.
    #[must_use]
    pub fn quartiles(&self) -> (f64, f64) {
        (self.quantile(0.25), self.quantile(0.75))
    }

    /// Returns the median ratio to `baseline`.
    ///
    /// Ratios are taken round by round, which cancels out load that slowed down a whole
    /// round.
    #[must_use]
    pub fn ratio_to(&self, baseline: &Self) -> f64 {
        let pairs = self.0.iter().zip(&baseline.0);
        Self(pairs.map(|(sample, base)| sample / base).collect()).median()
    }

    /// Returns the difference to `baseline` in each round.
    #[must_use]
    pub fn over(&self, baseline: &Self) -> Self {
        let pairs = self.0.iter().zip(&baseline.0);
        Self(pairs.map(|(sample, base)| sample - base).collect())
    }

    fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else {
            return f64::NAN;
        };
        let place = part * last as f64;
        let below = sorted[place.floor() as usize];
        let above = sorted[place.ceil() as usize];
        below + (above - below) * place.fract()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(of: &[f64]) -> Samples {
        Samples(of.to_vec())
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        assert_eq!(samples(&[9.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(samples(&[4.0, 1.0, 2.0, 100.0]).median(), 3.0);
        assert!(samples(&[]).median().is_nan());
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let slow_second_round = samples(&[10.0, 100.0, 10.0]);
        let twice = samples(&[20.0, 200.0, 20.0]);
        assert_eq!(twice.ratio_to(&slow_second_round), 2.0);
    }
}
