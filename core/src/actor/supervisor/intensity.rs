//! OTP's restart intensity: how many restarts are too many.
//!
//! A supervisor asks before each restart. This module counts, and never looks at a clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Counts the restarts within one period.
#[derive(Debug)]
pub(super) struct Intensity {
    /// The most restarts that may lie within one period.
    most: usize,
    period: Duration,
    /// The times of restarts, the oldest first. None is older than a period, so there are `most + 1` at most;
    /// and none where any number is allowed, which would grow for as long as a period.
    recent: VecDeque<Instant>,
}

impl Intensity {
    /// Returns a counter without restarts.
    pub(super) fn new(most: usize, period: Duration) -> Intensity {
        Intensity { most, period, recent: VecDeque::new() }
    }

    /// Counts one restart at `now`. Returns whether it may be made: with it, there are no more than `most`
    /// restarts whose age is a period or less.
    ///
    /// The arithmetic is that of `add_restart/1` in OTP's `supervisor.erl`, where ages are counted in seconds
    /// and here as finely as the clock does.
    pub(super) fn allow_restart(&mut self, now: Instant) -> bool {
        if self.most == usize::MAX {
            return true;
        }
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|&oldest| now.saturating_duration_since(oldest) > self.period) {
            self.recent.pop_front();
        }
        self.recent.len() <= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says of each restart at `seconds` whether it may be made.
    fn admitted(most: usize, period: u64, seconds: &[u64]) -> Vec<bool> {
        let start = Instant::now();
        let mut intensity = Intensity::new(most, Duration::from_secs(period));
        seconds.iter().map(|&at| intensity.allow_restart(start + Duration::from_secs(at))).collect()
    }

    #[test]
    fn more_than_the_intensity_within_a_period_is_too_much() {
        assert_eq!(admitted(2, 5, &[0, 1, 2]), [true, true, false]);
    }

    #[test]
    fn a_restart_counts_until_it_is_older_than_a_period() {
        assert_eq!(admitted(1, 5, &[0, 5]), [true, false]);
        assert_eq!(admitted(1, 5, &[0, 6, 12]), [true, true, true]);
        assert_eq!(admitted(2, 5, &[0, 4, 6, 7]), [true, true, true, false]);
    }

    #[test]
    fn what_is_never_too_much_is_not_remembered() {
        let mut intensity = Intensity::new(usize::MAX, Duration::MAX);
        let now = Instant::now();
        assert!((0..100).all(|_| intensity.allow_restart(now)));
        assert_eq!(intensity.recent.capacity(), 0);
    }

    #[test]
    fn an_intensity_of_zero_allows_none() {
        assert_eq!(admitted(0, 5, &[0]), [false]);
    }
}
