//! The pauses before the next attempts.

use std::time::Duration;

/// The pauses between attempts: each is chosen at random up to a bound that doubles, so that many who fail at
/// once do not all come back at once. This is "full jitter" of "Exponential Backoff And Jitter" (AWS, 2015).
pub(crate) struct Backoff {
    /// The longest that the next pause may be.
    bound: Duration,
    /// The longest that any pause may be.
    most: Duration,
    /// The number of pauses that are left.
    left: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration, pauses: u32) -> Backoff {
        Backoff { bound: first, most, left: pauses }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let pause = self.bound.mul_f64(fastrand::f64());
        self.bound = (2 * self.bound).min(self.most);
        Some(pause)
    }
}
