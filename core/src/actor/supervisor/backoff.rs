//! [`Backoff`]: how long a supervisor waits before it restarts a child.
//!
//! A supervisor's process asks for each delay, and tells when the child runs. This module waits for nothing,
//! and never looks at a clock.

use std::time::{Duration, Instant};

use crate::future::random;

/// The part of a delay that is left to chance, unless the user says otherwise.
const JITTER: f64 = 0.5;

/// The delays before the restarts of a child, each twice as long as the one before it, up to a limit. See
/// [`ChildSpec::backoff`](super::ChildSpec::backoff).
///
/// A part of each delay is left to [chance](Backoff::jitter), so that many who have lost the same thing do
/// not all come back for it at once: "Exponential Backoff And Jitter" (Marc Brooker, AWS, 2015), whose "equal
/// jitter" is what is chosen unless something else is said.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::actor::supervisor::Backoff;
///
/// // After 0.1 s, 0.2 s, 0.4 s and so on; after 30 s from the tenth restart on.
/// let (first, most) = (Duration::from_millis(100), Duration::from_secs(30));
/// let exact = Backoff::new(first, most).jitter(0.0);
/// // A child that has run for five minutes begins with 0.1 s again.
/// let patient = exact.reset_after(Duration::from_secs(300));
/// assert_ne!(exact, patient);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    /// The part of each delay that is left to chance, from 0 to 1.
    jitter: f64,
    /// The time for which a child has to run so that it begins with the first delay again.
    quiet: Duration,
}

impl Backoff {
    /// Returns delays that begin with `first` and do not exceed `most`. Half of each is left to chance, and a
    /// child that has run for as long as `most` begins with `first` again.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::Wait;
    /// use twoply::actor::{Process, supervisor::{Backoff, ChildSpec, Supervisor}};
    ///
    /// let client = ChildSpec::process("client", async |mut me: Process<()>| drop(me.receive().await));
    /// let client = client.backoff(Backoff::new(Duration::from_millis(100), Duration::from_secs(30)));
    /// let supervisor = Supervisor::one_for_one().child(client).start().wait()?;
    /// assert_eq!(supervisor.count().wait()?.active, 1, "only restarts are delayed");
    /// # supervisor.stop().wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(first: Duration, most: Duration) -> Backoff {
        Backoff { first, most, jitter: JITTER, quiet: most }
    }

    /// Leaves this part of each delay to chance, from 0 (none) to 1 (all of it): a delay is as long as it
    /// would be without, less a random share of that part. The chance is that of the runtime's selects, so a
    /// simulated world decides it.
    pub fn jitter(mut self, part: f64) -> Backoff {
        self.jitter = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) };
        self
    }

    /// Lets a child begin with the first delay again when it has run for `quiet`.
    pub fn reset_after(mut self, quiet: Duration) -> Backoff {
        self.quiet = quiet;
        self
    }

    /// Returns the longest that the delay after so many others may be.
    fn bound(&self, delays: u32) -> Duration {
        let factor = 1_u32.checked_shl(delays).unwrap_or(u32::MAX);
        self.first.checked_mul(factor).map_or(self.most, |delay| delay.min(self.most))
    }
}

/// The delays of one child.
#[derive(Debug)]
pub(in crate::actor) struct Pace {
    backoff: Backoff,
    /// The number of delays since the child has last run for long.
    delays: u32,
    /// The time since when the child runs; `None` when it does not.
    running_since: Option<Instant>,
}

impl Pace {
    pub(in crate::actor) fn new(backoff: Backoff) -> Pace {
        Pace { backoff, delays: 0, running_since: None }
    }

    /// Records that the child runs since `now`.
    pub(in crate::actor) fn started(&mut self, now: Instant) {
        self.running_since = Some(now);
    }

    /// Returns the time to wait before the child is restarted, which does not run at `now`.
    pub(in crate::actor) fn next_delay(&mut self, now: Instant) -> Duration {
        let ran = self.running_since.take().map(|since| now.saturating_duration_since(since));
        if ran.is_some_and(|ran| ran >= self.backoff.quiet) {
            self.delays = 0;
        }
        let bound = self.backoff.bound(self.delays);
        self.delays = self.delays.saturating_add(1);
        // The product is below the longest duration, which a product with 1 might exceed by rounding.
        bound.saturating_sub(bound.mul_f64(self.backoff.jitter * random::fraction()))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn each_delay_is_twice_the_one_before_up_to_the_limit() {
        let now = Instant::now();
        let mut pace = Pace::new(Backoff::new(ms(10), ms(100)).jitter(0.0));
        let delays: Vec<_> = (0..6).map(|_| pace.next_delay(now)).collect();
        assert_eq!(delays, [10, 20, 40, 80, 100, 100].map(ms));
        let mut endless = Pace::new(Backoff::new(Duration::MAX, Duration::MAX).jitter(0.0));
        assert!((0..100).all(|_| endless.next_delay(now) == Duration::MAX));
        let mut none = Pace::new(Backoff::new(Duration::ZERO, ms(5)));
        assert!((0..100).all(|_| none.next_delay(now).is_zero()));
    }

    #[test]
    fn a_child_that_has_run_for_long_begins_anew() {
        let mut now = Instant::now();
        let mut pace = Pace::new(Backoff::new(ms(10), ms(1000)).jitter(0.0).reset_after(ms(50)));
        for (ran, delay) in [(0, 10), (49, 20), (50, 10), (49, 20), (49, 40), (1000, 10)] {
            pace.started(now);
            now += ms(ran);
            assert_eq!(pace.next_delay(now), ms(delay), "after it has run for {ran} ms");
        }
        // A start that fails is no run.
        now += ms(1000);
        assert_eq!(pace.next_delay(now), ms(20));
    }

    #[test]
    fn chance_takes_no_more_than_its_part() {
        let now = Instant::now();
        for (part, least) in [(0.0, 100), (0.5, 50), (1.0, 0), (7.0, 0), (-1.0, 100), (f64::NAN, 100)] {
            let delays: Vec<_> = (0..1000)
                .map(|_| Pace::new(Backoff::new(ms(100), ms(100)).jitter(part)).next_delay(now))
                .collect();
            let (min, max) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
            assert!(*min >= ms(least) && *max <= ms(100), "{part}: {min:?} to {max:?}");
            let spread = ms(100) - ms(least);
            assert!(*max - *min >= spread.mul_f64(0.9), "{part}: {min:?} to {max:?}");
        }
    }
}
