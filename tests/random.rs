//! Random numbers that are the same in each run.

/// A generator of numbers (xorshift).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Creates a generator. `seed` must not be 0.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
